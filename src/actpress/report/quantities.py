"""How numbers are written for a reader: one function per kind of quantity."""

from collections.abc import Iterable

KIB_BITS = 8 * 1024
_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"))
_JOULE = ((1e12, "J"), (1e9, "mJ"), (1e6, "\N{MICRO SIGN}J"), (1e3, "nJ"), (1.0, "pJ"))


def kib(bits: float) -> str:
    """Bits as KiB without the unit: `kib(8192 * 12.5)` is `'12.5'`."""
    return f"{bits / KIB_BITS:,.1f}"


def memory(size_bytes: float) -> str:
    """Bytes with the unit that suits them, KiB below one MiB."""
    kibibytes = size_bytes / 1024
    return f"{kibibytes:.1f} KiB" if abs(kibibytes) < 1024 else f"{kibibytes / 1024:,.2f} MiB"


def ratio(value: float) -> str:
    """A factor: `'5.97x'`."""
    return f"{value:,.2f}x"


def percent(share: float, digits: int = 2) -> str:
    """A share in [0, 1] as per cent: `'91.96 %'`."""
    return f"{share * 100:.{digits}f} %"


def points(drop_pp: float) -> str:
    """A drop as a signed change: a drop of 0.5 is `'-0.50 points'`."""
    change = round(-drop_pp, 2)
    return f"{change:+.2f} points" if change else "0.00 points"


def count(number: float) -> str:
    """A count, with a prefix from a million on: `'43,210'`, `'1.23 M'`."""
    for unit, prefix in _LARGE:
        if abs(number) >= unit:
            return f"{number / unit:.2f} {prefix}"
    return f"{number:,.0f}"


def energy(picojoule: float) -> str:
    """Energy with the prefix that leaves one to three digits before the point."""
    for unit, name in _JOULE:
        if abs(picojoule) >= unit:
            return f"{picojoule / unit:.2f} {name}"
    return f"{picojoule:.2f} pJ"


def duration(seconds: float) -> str:
    """Wall clock: `'0.4 s'`, `'3 min 05 s'`, `'2 h 07 min'`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def dimensions(shape: Iterable[int]) -> str:
    """A shape: `'64x28x28'`."""
    return "x".join(str(size) for size in shape)
