"""The text of net.c, net.h, weights.c and weights.h."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

from actpress._version import __version__
from actpress.deploy.c.arrays import wrapped
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
SWEPT = ("absorb_total", "absorb_largest")


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
    structures = Structures(plan)
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
            "main.c": template("main.c", PRINT=PRINT_MESSAGE if network.sent else PRINT_LOGITS),
            "net.h": _header(network, plan, named),
            "net.c": _network(network, plan, structures, chains, image, named),
            "weights.h": template("weights.h", **structures.types, DECLARATIONS=declared),
            "weights.c": '#include "weights.h"\n\n' + "\n".join(structures.constants.definitions),
        },
        structures.constants.size_bytes,
    )


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
    if network.sent:
        return {
            "OUTPUTS": sum(plan.layouts[name].size_bytes for name in network.sent),
            "OUTPUT_TYPE": "uint8_t",
            "OUTPUT_MEANING": f"Outputs are the bytes of packed maps: {', '.join(network.sent)}.",
            "SCALE": "",
        }
    return {
        "OUTPUTS": len(network.stages[-1].rescale.shift),
        "OUTPUT_TYPE": "int32_t",
        "OUTPUT_MEANING": "Outputs are logits; times NET_LOGIT_SCALE they are the float network's.",
        "SCALE": f"#define NET_LOGIT_SCALE {network.logit_scale!r}\n",
    }


def _network(
    network: IntegerNetwork,
    plan: MemoryPlan,
    structures: Structures,
    chains: list[list[str]],
    image: str,
    named: Mapping[str, str],
) -> str:
    used = structures.used
    stages = [stage for chain in plan.chains for stage in chain.stages]
    tallest = max(
        [s.operation.window.kernel[0] for s in stages if s.operation is not None], default=1
    )
    text = template(
        "head.c",
        **named,
        LONGEST_CHAIN=max(len(chain.stages) for chain in plan.chains),
        TALLEST_KERNEL=tallest,
    )
    text += template("put.c")
    if used & {"decoder", "encoder"}:
        text += template("matrix.c")
    text += _codes(unrolled(plan, network.maps)) + template(
        "rans.c" if "coding" in used else "rows.c"
    )
    if used & {"table", "decoder"}:
        text += template("table.c")
    text += _readers(used) + template("window.c")
    if used & set(WITH_WINDOWS):
        text += template("window_rows.c")
    if "hand_over" in used:
        text += template("absorb.c")
    for name in (*WITH_WINDOWS, *SWEPT, "add_up"):
        if name in used:
            text += template(f"{name}.c" if name != "add_up" else "sums.c")
    text += _drive(used) + "\n" + "".join(structures.descriptors)
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


def _readers(used: set[str]) -> str:
    plain = (
        "    for (uint32_t x = 0; x < map->width; x++)\n"
        "        for (uint32_t c = 0; c < map->channels; c++) {\n"
        "            const struct table *table = reading->table;\n"
        "            *line++ = table->values[(table->start ? table->start[c] : 0u) + *codes++];\n"
        "        }\n"
    )
    if "decoder" not in used:
        row = "    (void)codes_at;\n    unpack_row(reading->map, y, reading->table, line);\n"
        return template("read.c", TO_LINES=plain, READ_ROW=row)
    decoded = (
        "    if (reading->decoder) {\n"
        "        multiply(reading->decoder, map->width, codes, line);\n"
        "        if (reading->decoder->table)\n"
        "            look_up(reading->decoder->table, map->width, reading->channels, line);\n"
        "        return;\n"
        "    }\n"
    )
    row = (
        "    if (reading->table) {\n"
        "        unpack_row(reading->map, y, reading->table, line);\n"
        "        return;\n"
        "    }\n"
        "    unpack_row(reading->map, y, NULL, arena(codes_at));\n"
        "    to_lines(reading, arena(codes_at), line);\n"
    )
    return template("read.c", TO_LINES=decoded + plain, READ_ROW=row)


def _drive(used: set[str]) -> str:
    finish = ""
    if "table" in used:
        finish += (
            "    if (stage->table)\n"
            "        look_up(stage->table, stage->width, stage->outputs, result);\n"
        )
    if "encoder" in used:
        finish += (
            "    if (stage->encoder) {\n"
            "        uint8_t *codes = arena(stage->codes_at);\n"
            "        multiply(stage->encoder, stage->width, result, codes);\n"
            "        return codes;\n"
            "    }\n"
        )
    begin = "    if (stage->absorb) begin_sums(stage);\n" if "hand_over" in used else ""
    return template("drive.c", FINISH=finish, BEGIN=begin)


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
