"""Commands that make or take bytes: `encode` and `decode`."""

from pathlib import Path
from typing import Annotated

import typer

from actpress.cli.options import (
    DeviceOption,
    RunArgument,
    WeightsOption,
    alone,
    complain,
    guarded,
)
from actpress.errors import RunError
from actpress.files import followed
from actpress.interruption import work_begins
from actpress.settings import MAX_IMAGES, MAX_MIB


@guarded
@alone
def encode_command(
    run: RunArgument,
    image: Annotated[
        Path, typer.Argument(help="Image file, or .npy that holds what the network takes.")
    ],
    out: Annotated[Path, typer.Argument(help="Stream to write, such as out.apz.")],
    site: Annotated[
        list[str] | None, typer.Option("--site", help="Site to write; all by default.")
    ] = None,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write the activations of one image, or of a .npy of several, as bytes."""
    from actpress.cli.loaded import (  # noqa: PLC0415 - torch takes seconds to load
        Encoder,
        device_of,
        load_image,
        new_file,
        open_run,
    )

    opened = open_run(run, weights=weights, device=device_of(device))
    source = opened.source
    x = load_image(image, source.data, input_shape=source.input, preparation=source.preparation)
    work_begins()
    with new_file(out, force=force) as file, Encoder(opened.pressed, file, site) as encoder:
        output = encoder.encode(x.to(device_of(device)))
    values = len(x) * sum(opened.graph.site(name).values for name in encoder.sites)
    size = out.stat().st_size
    complain(
        f"{_classes(output)}{len(encoder.sites)} sites in {size:,} bytes, "
        f"{8 * size / values:.2f} bits/value; written to {out}"
    )


def _classes(output: object) -> str:
    """The classes of images, where outputs are logits of classes."""
    from actpress.tasks import CLASSIFICATION  # noqa: PLC0415 - torch takes seconds to load

    known = CLASSIFICATION.classes_of(output)
    return "" if known is None else f"class {', '.join(map(str, known.tolist()))}; "


@guarded
@alone
def decode_command(  # noqa: PLR0917 - every argument is an option of the command line
    run: RunArgument,
    stream: Annotated[Path, typer.Argument(help="What actpress encode wrote.")],
    out: Annotated[Path, typer.Argument(help="New folder: one .safetensors file per frame.")],
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    max_images: Annotated[int, typer.Option(min=1, help="Of a frame that is taken.")] = MAX_IMAGES,
    max_mib: Annotated[
        int, typer.Option("--max-mib", min=1, help="Memory that decoding a frame may need.")
    ] = MAX_MIB,
) -> None:
    """Read activations back: one tensor per site, (images, channels, ...)."""
    if followed(out).exists():
        raise RunError(f"{out} exists already; choose another folder")
    from actpress.cli.loaded import (  # noqa: PLC0415 - torch takes seconds to load
        Decoder,
        device_of,
        new_folder,
        open_run,
        write_tensors,
    )

    opened = open_run(run, weights=weights, device=device_of(device))
    work_begins()
    with stream.open("rb") as file, new_folder(out, force=False) as partial:
        decoder = Decoder(opened.pressed, file, max_images=max_images, max_bytes=max_mib << 20)
        for index, values in enumerate(decoder):
            tensors = {name: value.cpu().contiguous() for name, value in values.items()}
            write_tensors(partial / f"frame-{index:05}.safetensors", tensors)
    complain(f"written to {out}")
