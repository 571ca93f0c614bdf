"""The text of net.c, net.h, weights.c and weights.h."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

from actpress._version import __version__
from actpress.deploy.c.arrays import wrapped
from actpress.deploy.c.kinds import KINDS, Kind
from actpress.deploy.c.runs import pack_function, unpack_function, unrolled
from actpress.deploy.c.weights import Structures
from actpress.deploy.integer import IntegerNetwork
from actpress.deploy.memory import MemoryPlan

TEMPLATES = "actpress.deploy.c.templates"
WITH_WINDOWS = ("convolve", "depthwise", "largest", "total")
PRINT_MESSAGE = "    fwrite(outputs, sizeof outputs[0], NET_OUTPUTS, stdout);\n"
PRINT_LOGITS = """\
    for (unsigned i = 0; i < NET_OUTPUTS; i++)
        printf("%u %ld %.6g\\n", i, (long)outputs[i], outputs[i] * NET_LOGIT_SCALE);
"""
PRINT_FLOATS = """\
    for (unsigned i = 0; i < NET_OUTPUTS; i++) printf("%u %.9g\\n", i, (double)outputs[i]);
"""
SWEPT = ("absorb_total", "absorb_largest")
BYTE = "uint8_t"


@dataclass(frozen=True)
class Sources:
    """C text by file name.

    Attributes:
        files: net.c, net.h, weights.c, weights.h, main.c.
        weight_bytes: flash that constants of weights.c take.
    """

    files: Mapping[str, str]
    weight_bytes: int


def template(name: str, **values: object) -> str:
    """A file of templates, `@NAME@` replaced by what it stands for."""
    text = (files(TEMPLATES) / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


def sources(network: IntegerNetwork, plan: MemoryPlan, title: str) -> Sources:
    """C text of a network.

    Raises:
        ExportError: something has no C form; names the module.
    """
    kind = KINDS[network.weights]
    structures = Structures(plan, kind)
    image = structures.map(network.input.map)
    chains: list[list[str]] = []
    for chain, begin in zip(plan.chains, plan.buffer_offsets, strict=True):
        chains.append([])
        at = begin
        for stage, buffers in zip(chain.stages, chain.buffers, strict=True):
            chains[-1].append(structures.stage(stage, buffers, at))
            at += buffers.bytes
    named = {
        "TITLE": title,
        "SUMMARY": (
            f"actpress {__version__}, {len(plan.maps) - 1} maps, arena {plan.arena_bytes:,} bytes."
        ),
    }
    declared = "\n".join(structures.constants.declarations)
    return Sources(
        {
            "main.c": template("main.c", PRINT=_print(network, kind)),
            "net.h": _header(network, plan, named),
            "net.c": _network(network, plan, structures, chains, image, named),
            "weights.h": template(
                "weights.h",
                **structures.types,
                NUMBERS=_own(kind, "numbers.h"),
                READINGS=_own(kind, "readings.h"),
                DECLARATIONS=declared,
            ),
            "weights.c": '#include "weights.h"\n\n' + "\n".join(structures.constants.definitions),
        },
        structures.constants.size_bytes,
    )


def _print(network: IntegerNetwork, kind: Kind) -> str:
    if network.sent:
        return PRINT_MESSAGE
    return PRINT_FLOATS if kind.is_float else PRINT_LOGITS


def _own(kind: Kind, name: str, **values: object) -> str:
    """A template of a kind of weights."""
    return template(f"{kind.weights}/{name}", **values)


def _header(network: IntegerNetwork, plan: MemoryPlan, named: Mapping[str, str]) -> str:
    image = network.input.map
    return template(
        "net.h",
        **named,
        ARENA=plan.arena_bytes,
        INPUT=image.channels * image.height * image.width,
        INPUT_SHAPE=f"{image.height} rows, {image.width} pixels, {image.channels} channels",
        **_outputs(network, plan),
        MAPS=len(plan.maps) - 1,
        INPUT_SCALE=repr(network.input.scale),
        INPUT_ZERO=network.input.zero,
    )


def _outputs(network: IntegerNetwork, plan: MemoryPlan) -> dict[str, object]:
    """What net.h says of them."""
    kind = KINDS[network.weights]
    if network.sent:
        return {
            "OUTPUTS": sum(plan.layouts[name].size_bytes for name in network.sent),
            "OUTPUT_TYPE": "uint8_t",
            "OUTPUT_MEANING": f"Outputs are the bytes of packed maps: {', '.join(network.sent)}.",
            "SCALE": "",
        }
    return {
        "OUTPUTS": network.stages[-1].rescale.channels,
        "OUTPUT_TYPE": kind.output,
        "OUTPUT_MEANING": "Outputs are logits."
        if kind.is_float
        else "Outputs are logits; times NET_LOGIT_SCALE they are the float network's.",
        "SCALE": "" if kind.is_float else f"#define NET_LOGIT_SCALE {network.logit_scale!r}\n",
    }


def _network(
    network: IntegerNetwork,
    plan: MemoryPlan,
    structures: Structures,
    chains: list[list[str]],
    image: str,
    named: Mapping[str, str],
) -> str:
    used, kind = structures.used, structures.kind
    stages = [stage for chain in plan.chains for stage in chain.stages]
    tallest = max(
        [s.operation.window.kernel[0] for s in stages if s.operation is not None], default=1
    )
    text = template(
        "head.c",
        **named,
        LONGEST_CHAIN=max(len(chain.stages) for chain in plan.chains),
        TALLEST_KERNEL=tallest,
        WORD=kind.word,
    )
    text += _own(kind, "arithmetic.c") + template("joined.c") + _own(kind, "put.c")
    text += _matrices(used, kind)
    text += template("table.c") + _codes(unrolled(plan, network.maps))
    text += template("rans.c" if "coding" in used else "rows.c")
    text += _readers(used, kind) + template("window.c")
    if used & set(WITH_WINDOWS):
        text += template("window_rows.c")
    if "hand_over" in used:
        text += template("absorb.c")
    for name in (*WITH_WINDOWS, *SWEPT, "add_up"):
        if name in used:
            text += _operator(name, kind)
    text += _drive(used, kind) + "\n" + "".join(structures.descriptors)
    return text + _main(network, plan, chains, image)


def _codes(widths: list[int]) -> str:
    runs = "".join(unpack_function(bits) + pack_function(bits) for bits in widths)
    return template(
        "codes.c",
        RUNS=runs,
        SAME=wrapped(map(str, range(256))),
        UNPACK_CASES="".join(
            f"    case {b}: unpack_{b}(from, count, table, to); return;\n" for b in widths
        ),
        PACK_CASES="".join(f"    case {b}: pack_{b}(from, count, to); return;\n" for b in widths),
    )


def _matrices(used: set[str], kind: Kind) -> str:
    """Functions that multiply: one where line values are bytes, as codes are."""
    functions = {}
    if "decoder" in used:
        functions[kind.decode] = template("matrix.c", NAME=kind.decode, FROM=BYTE, TO=kind.pixel)
    if "encoder" in used:
        functions[kind.encode] = template("matrix.c", NAME=kind.encode, FROM=kind.pixel, TO=BYTE)
    return (_own(kind, "finished.c") if functions else "") + "".join(functions.values())


def _operator(name: str, kind: Kind) -> str:
    if name == "add_up":
        return template("sums.c")
    if name != "convolve":
        return template(f"{name}.c")
    products = _own(kind, "products.c")
    steps = {"INPUTS": kind.inputs, "WEIGHTS": 4 * kind.inputs}
    helpers = "" if kind.is_float else _own(kind, "simd.c")
    return helpers + template("convolve.c", PRODUCTS=products, **steps)


def _readers(used: set[str], kind: Kind) -> str:
    decodes = "decoder" in used
    lines = (_own(kind, "decode.c") if decodes else "") + _own(kind, "to_lines.c")
    row = _own(kind, "read.c" if decodes else "read_plain.c")
    return template("read.c", TO_LINES=lines, READ_ROW=row)


def _drive(used: set[str], kind: Kind) -> str:
    finish = ""
    if "table" in used:
        finish += (
            "    if (stage->table)\n"
            "        look_up(stage->table, stage->width, stage->outputs, result, result);\n"
        )
    if "encoder" in used:
        finish += (
            "    if (stage->encoder) {\n"
            "        uint8_t *codes = arena(stage->codes_at);\n"
            f"        {kind.encode}(stage->encoder, stage->width, {kind.row}, codes);\n"
            "        return codes;\n"
            "    }\n"
        )
    begin = "    if (stage->absorb) begin_sums(stage);\n" if "hand_over" in used else ""
    return template("drive.c", FILL=_own(kind, "fill.c"), FINISH=finish, BEGIN=begin)


def _main(network: IntegerNetwork, plan: MemoryPlan, chains: list[list[str]], image: str) -> str:
    lines = []
    calls = []
    first = 0
    for number, (chain, texts) in enumerate(zip(plan.chains, chains, strict=True)):
        lines += texts
        calls.append(f"    run_chain(&stages[{first}], {len(texts)}u); /* {chain.name} */\n")
        if chain.last.target is not None:
            calls.append(_watched(number, chain.last.target.name, plan))
        first += len(texts)
    if network.sent:
        calls += _sent(network, plan)
    else:
        calls.append(
            f"    memcpy(outputs, arena(stages[{first - 1}].row_at), "
            f"NET_OUTPUTS * sizeof outputs[0]);\n"
        )
    return (
        "\nstatic const struct stage stages[] = {\n" + "".join(lines) + "};\n"
        f"\nuint8_t *net_input(void) {{ return arena({image}.offset); }}\n"
        "\nvoid net_run(net_output outputs[NET_OUTPUTS])\n{\n" + "".join(calls) + "}\n"
    )


def _sent(network: IntegerNetwork, plan: MemoryPlan) -> Iterator[str]:
    """Copies of the maps that are sent, one after the other."""
    at = 0
    for name in network.sent:
        size = plan.layouts[name].size_bytes
        yield f"    memcpy(outputs + {at}u, arena({plan.offsets[name]}u), {size}u); /* {name} */\n"
        at += size


def _watched(number: int, name: str, plan: MemoryPlan) -> str:
    offset, size = plan.offsets[name], plan.layouts[name].size_bytes
    return f"#ifdef NET_WATCH\n    net_watch({number}u, arena({offset}u), {size}u);\n#endif\n"
