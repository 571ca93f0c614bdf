"""C functions that pack and unpack runs of symbols of one width, several at a time."""

from collections import Counter
from collections.abc import Iterable

from actpress.deploy.integer import IntegerMap
from actpress.deploy.memory import MemoryPlan
from actpress.deploy.memory.layout import BYTE

WORD = 32
UNPACKED_AT_ONCE = {bits: 32 if bits <= 4 else BYTE for bits in range(1, BYTE)}
"""Symbols, by width; what is around them in the loop weighs less for more of them."""

WORTH = 1 / 16
"""Share of all stored symbols that a width must have for functions of its own."""


def unrolled(plan: MemoryPlan, maps: Iterable[IntegerMap]) -> list[int]:
    """Widths with functions of their own, rising; a slow loop, and less flash, does the others.

    Rows of rANS that do not fit their slots are packed, too, but they are few.

    Args:
        plan: whose layouts.
        maps: of the network.
    """
    counts: Counter[int] = Counter()
    total = 0
    for stored in maps:
        if stored.name in plan.offsets:
            pixels = stored.height * stored.width
            total += pixels * stored.channels
            layout = plan.layouts[stored.name]
            if layout.coding is None:
                for group in layout.groups:
                    counts[group.bits] += pixels * len(group.members)
    return sorted(bits for bits, count in counts.items() if bits and count >= WORTH * total)


def unpack_function(bits: int) -> str:
    """`unpack_N`: symbols come from bytes, each through a table of bytes."""
    if bits == BYTE:
        body = ["        to[i] = table[from[i]];"]
        return _function(
            "unpack_8",
            "const uint8_t *table, uint8_t *to",
            "    for (uint32_t i = 0; i < count; i++)",
            body,
        )
    count = UNPACKED_AT_ONCE[bits]
    taken = count * bits // BYTE
    body = _loads(taken) + [f"        to[{i}] = table[{_symbol(bits, i)}];" for i in range(count)]
    tail = f"    unpack_rest(from, {bits}u, count, table, to);"
    step = f"count -= {count}u, from += {taken}, to += {count}"
    head = f"    for (; count >= {count}u; {step}) {{"
    return _function(f"unpack_{bits}", "const uint8_t *table, uint8_t *to", head, body, tail)


def pack_function(bits: int) -> str:
    """`pack_N`: eight symbols become N bytes."""
    if bits == BYTE:
        return _function("pack_8", "uint8_t *to", "    memcpy(to, from, count);", [])
    body = []
    for word in range(-(-bits * BYTE // WORD)):
        parts = [_shifted(f"from[{i}]", i * bits - word * WORD) for i in range(BYTE)]
        inside = [
            part
            for i, part in enumerate(parts)
            if i * bits < (word + 1) * WORD and (i + 1) * bits > word * WORD
        ]
        body.append(f"        const uint32_t w{word} = {_joined(inside)};")
    for byte in range(bits):
        word, at = divmod(byte * BYTE, WORD)
        source = f"w{word}" if not at else f"(w{word} >> {at})"
        body.append(f"        to[{byte}] = (uint8_t){source};")
    tail = f"    pack_rest(from, {bits}u, count, to);"
    head = f"    for (; count >= 8u; count -= 8u, from += 8, to += {bits}) {{"
    return _function(f"pack_{bits}", "uint8_t *to", head, body, tail)


def _function(name: str, arguments: str, head: str, body: list[str], tail: str = "") -> str:
    lines = ["", f"static void {name}(const uint8_t *from, uint32_t count, {arguments})", "{", head]
    lines += body
    if tail:
        lines += ["    }", tail]
    return "\n".join([*lines, "}", ""])


def _loads(count: int) -> list[str]:
    """So many bytes as words."""
    lines = []
    for first in range(0, count, WORD // BYTE):
        parts = [
            _shifted(f"from[{i}]", (i - first) * BYTE)
            for i in range(first, min(first + WORD // BYTE, count))
        ]
        lines.append(f"        const uint32_t w{first * BYTE // WORD} = {_joined(parts)};")
    return lines


def _symbol(bits: int, index: int) -> str:
    word, at = divmod(index * bits, WORD)
    mask = f"{(1 << bits) - 1}u"
    if at + bits == WORD:
        return f"w{word} >> {at}"
    if at + bits < WORD:
        return f"w{word} & {mask}" if not at else f"(w{word} >> {at}) & {mask}"
    return f"((w{word} >> {at}) | (w{word + 1} << {WORD - at})) & {mask}"


def _shifted(value: str, by: int) -> str:
    word = f"(uint32_t){value}"
    if by == 0:
        return word
    return f"{word} << {by}" if by > 0 else f"{word} >> {-by}"


def _joined(parts: list[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return " | ".join(part if " " not in part else f"({part})" for part in parts)
