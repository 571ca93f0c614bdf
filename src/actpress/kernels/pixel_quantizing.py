"""The quantizer between two products with matrices: in one pass each way, on the CPU.

Products leave components in their own units, and take them so: what depends on steps is done here,
value by value, and no matrix is multiplied by them.
"""

from torch import Tensor


def quantize_pixels(w: Tensor, bounds: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Restored components, and how large components are in steps.

    Args:
        w: components, shape (n, p, k), contiguous.
        bounds: smallest and largest symbol of each, shape (2, k), in the type of w.
        step: of the quantizer, shape (k,).

    Returns:
        step * clamp(round(w / step), low, high), shape (n, p, k); and E|w / step|, shape (k,).
    """
    from actpress.kernels import pixel_loops  # noqa: PLC0415 - numba is slow to load

    return pixel_loops.forward(w, bounds, step)


def pass_gradients(
    w: Tensor, bounds: Tensor, step: Tensor, slopes: Tensor, of_mean: Tensor
) -> tuple[Tensor, Tensor]:
    """Bring gradients from restored components to components, in place.

    They pass the rounding straight through, and not the clamp.

    Args:
        w: as for `quantize_pixels`.
        bounds: likewise.
        step: likewise.
        slopes: gradient of what the first `a` components are restored as, shape (n, p, a),
            contiguous, those of the others being zero; becomes that of the components.
        of_mean: gradient of E|w / step|, shape (k,); only the first `a` count.

    Returns:
        Gradient of the steps as far as it comes from `slopes`, and that of the components summed
        over all pixels; each shape (a,).
    """
    from actpress.kernels import pixel_loops  # noqa: PLC0415 - numba is slow to load

    return pixel_loops.backward(w, bounds, step, slopes, of_mean)
