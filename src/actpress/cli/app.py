"""`actpress inspect | compress | evaluate | report | encode | decode | split | export | ...`."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from actpress._version import __version__
from actpress.budget import LARGEST_BATCH, Budget, Count, View
from actpress.cli.arguments import check_alone, check_model, parse_input
from actpress.cli.asked import Asked
from actpress.cli.config import ConfigOption, rules_in
from actpress.cli.export import export_command
from actpress.cli.options import (
    AnySizeOption,
    BatchOption,
    BatchSizeOption,
    BlockOption,
    CalibrationOption,
    CaptureOption,
    ClassesOption,
    CountOption,
    DataOption,
    DeviceOption,
    GroupsOption,
    InputOption,
    LabelWeightOption,
    LeafOption,
    MeanOption,
    MemoryOption,
    ModelArgsOption,
    ModelOption,
    NumberBitsOption,
    PlanOption,
    PrecisionOption,
    RateOption,
    RunArgument,
    SearchOption,
    SeedOption,
    StdOption,
    StepsOption,
    TaskOption,
    TrainOption,
    TransformOption,
    UnlabelledOption,
    WeightsOption,
    WidthStepsOption,
    WorkersOption,
    WorkingOption,
    alone,
    check_choice,
    complain,
    complain_of_plan,
    guarded,
    warn_of_unused,
)
from actpress.cli.ram import ram_command
from actpress.cli.speaker import said_once
from actpress.cli.splits import split_command
from actpress.cli.streams import decode_command, encode_command
from actpress.cli.sweeps import sweep_command
from actpress.errors import BudgetError, RunError
from actpress.files import check_writable
from actpress.interruption import EXIT_INTERRUPTED, work_begins
from actpress.plan import Plan
from actpress.rules import check_rules
from actpress.settings import (
    CALIBRATION_IMAGES,
    MEMORY_PJ_PER_BIT,
    METHOD_NAMES,
    SEARCH_IMAGES,
    WORKING_MIB,
    Capture,
    NumberBits,
    Trainable,
    TuneSettings,
    WidthSettings,
)

DEFAULT_BUDGET = "8x"

app = typer.Typer(
    name="actpress",
    help="Make the activations of a trained CNN small, and say what it costs.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its tables cut the names of options where a terminal is narrow
)


def main() -> None:
    """Entry point of the `actpress` command."""
    said_once(app)()


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if wanted:
        sys.stdout.write(f"actpress {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    del version


@app.command("inspect")
@guarded
@alone
def inspect_command(
    model: ModelOption,
    input_shape: Annotated[
        str, typer.Option("--input", help="Shape of one image, such as 3x224x224.")
    ],
    model_args: ModelArgsOption = None,
    weights: WeightsOption = None,
    leaf: LeafOption = None,
    capture: CaptureOption = Capture.AUTO,
    *,
    any_size: AnySizeOption = False,
) -> None:
    """List the activations that a network stores: sizes, reads, traffic, what can be folded."""
    shape = parse_input(input_shape)
    check_model(model, model_args)
    from actpress.cli.loaded import (  # noqa: PLC0415 - torch takes seconds to load
        inspect,
        load_model,
        print_sites,
        site_rows,
        torch,
    )

    network = load_model(model, args=model_args, weights=weights)
    example = torch.zeros(1, *shape)
    sites = inspect(network, example, leaves=leaf or (), capture=capture, any_size=any_size)
    print_sites(site_rows(sites), Console())


@app.command("compress")
@guarded
def compress_command(  # noqa: PLR0917 - every argument is an option of the command line
    model: ModelOption,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Run directory to write.")],
    config: ConfigOption = None,
    plan: PlanOption = None,
    model_args: ModelArgsOption = None,
    weights: WeightsOption = None,
    input_shape: InputOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    classes: ClassesOption = None,
    task: TaskOption = None,
    workers: WorkersOption = 0,
    leaf: LeafOption = None,
    capture: CaptureOption = Capture.AUTO,
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHOD_NAMES)}.")] = "cap",
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<str>",
            help="8x less moved, 6x-energy, 1bits per value, 0.5pp or 0.3dB lost, or 24KiB-ram.",
            show_default=DEFAULT_BUDGET,
        ),
    ] = None,
    view: Annotated[View, typer.Option(help="How the budget counts bits.")] = View.ENTROPY,
    count: CountOption = Count.NET,
    batch: BatchOption = 1,
    transform: TransformOption = None,
    parameter_bits: NumberBitsOption = int(NumberBits.BYTE),
    steps: StepsOption = TuneSettings.steps,
    batch_size: BatchSizeOption = TuneSettings.batch_size,
    lr_scale: RateOption = TuneSettings.lr_scale,
    label_weight: LabelWeightOption = TuneSettings.task,
    train: TrainOption = Trainable.PROJECTIONS,
    calibration_images: CalibrationOption = CALIBRATION_IMAGES,
    search_images: SearchOption = SEARCH_IMAGES,
    working_mib: WorkingOption = WORKING_MIB,
    width_steps: WidthStepsOption = WidthSettings.steps,
    groups: GroupsOption = None,
    block: BlockOption = None,
    memory: MemoryOption = "lpddr4",
    seed: SeedOption = 0,
    device: DeviceOption = "cpu",
    mixed_precision: PrecisionOption = None,
    *,
    any_size: AnySizeOption = False,
    unlabelled: UnlabelledOption = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier run.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after an interruption.")] = False,
) -> None:
    """Compress a trained network and write a run directory: plan, codec, metrics, report."""
    wanted = Budget.parse(_only(budget), view=view, count=count, batch=batch)
    check_choice("--method", method, METHOD_NAMES)
    rules = rules_in(config)
    check_rules(rules, method, has_plan=plan is not None)
    planned = None if plan is None else Plan.load(plan)
    if planned is not None:
        method = method if planned.method not in METHOD_NAMES else planned.method
        complain_of_plan(budget)
    if method == "int8" and budget:
        complain("int8 stores 8 bits for every value, whatever --budget says")
    warn_of_unused(method, block, train)
    asked = Asked(
        model=model,
        model_args=model_args,
        weights=weights,
        leaf=leaf,
        capture=capture,
        any_size=any_size,
        data=data,
        input_shape=input_shape,
        mean=mean,
        std=std,
        classes=classes,
        unlabelled=unlabelled,
        task=task,
        workers=workers,
        device=device,
        memory=memory,
        steps=steps,
        batch_size=batch_size,
        lr_scale=lr_scale,
        label_weight=label_weight,
        train=train,
        mixed_precision=mixed_precision,
        seed=seed,
        calibration_images=calibration_images,
        search_images=search_images,
        working_mib=working_mib,
        width_steps=width_steps,
        groups=groups,
        block=block,
        transform=transform,
        parameter_bits=parameter_bits,
    )
    asked.check()
    from actpress.cli.loaded import (  # noqa: PLC0415 - torch takes seconds to load
        REPORT,
        EnergyModel,
        begun,
        check_complete,
        compress,
        facts_besides,
        facts_of,
        is_complete,
        joined,
        print_metrics,
        progress_on,
        settle,
        workplace_of,
    )

    with joined(gpu=device.startswith("cuda")) as team:
        own = begun(asked, [wanted])
        source = own.source
        request = {
            "source": source.model_dump(mode="json"),
            "method": method,
            "budget": str(wanted),
            "settings": facts_of(own.settings) | facts_besides(rules, planned),
            "device": device,
            "memory": memory,
        }

        def is_finished() -> bool:
            settled = settle(out)
            if not resume or (force and not settled) or not is_complete(out):
                return False
            check_complete(out, request)
            return True

        if team.from_first(is_finished):
            complain(f"{out} is complete already; nothing is left to resume")
            return
        try:
            with (
                workplace_of(team, out, request, force=force, resume=resume) as place,
                progress_on(Console(stderr=True)) as bars,
            ):
                result = compress(
                    own.network,
                    own.images,
                    method=method,
                    budget=wanted,
                    rules=rules,
                    plan=planned,
                    settings=own.settings,
                    energy=EnergyModel.of_memory(memory),
                    source=source,
                    leaves=source.leaves,
                    capture=source.capture,
                    any_size=source.any_size,
                    folder=None if place is None else place.held,
                    progress=bars,
                    team=team,
                )
                if place is not None:
                    place.publish(result.write_files)
        except KeyboardInterrupt:
            complain("interrupted; run the same command with --resume to go on")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        print_metrics(result.metrics, Console())
        complain(f"written to {out}; open {out / REPORT}")


def _only(budgets: list[str] | None) -> str:
    """The budget that was asked for.

    Raises:
        BudgetError: there are several.
    """
    if budgets and len(budgets) > 1:
        raise BudgetError(f"--budget was given as {' and as '.join(budgets)}; choose one")
    return budgets[0] if budgets else DEFAULT_BUDGET


@app.command("evaluate")
@guarded
def evaluate_command(  # noqa: PLR0917 - every argument is an option of the command line
    run: RunArgument,
    data: Annotated[str | None, typer.Option("--data", help="Other data than the run's.")] = None,
    weights: WeightsOption = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write metrics there.")] = None,
    memory: MemoryOption = "lpddr4",
    batch: Annotated[
        int, typer.Option(min=1, max=LARGEST_BATCH, help="Images per batch and per frame.")
    ] = 100,
    device: DeviceOption = "cpu",
    *,
    measured: Annotated[
        bool, typer.Option("--measured", help="Send every activation through real bytes.")
    ] = False,
    integer: Annotated[
        bool, typer.Option("--integer", help="Accuracy of the integer form (docs/integer.md).")
    ] = False,
) -> None:
    """Measure a compressed network again, on its own or on other test data."""
    check_choice("--memory", memory, MEMORY_PJ_PER_BIT)
    if integer and (measured or device != "cpu"):
        raise RunError("--integer runs on the CPU and without --measured; give it alone")
    if integer or measured:
        check_alone()
    if json_file is not None:
        check_writable(json_file)
    from actpress.cli.loaded import (  # noqa: PLC0415 - torch takes seconds to load
        EnergyModel,
        RunInfo,
        data_of,
        device_of,
        evaluate,
        joined,
        load_metrics,
        metrics_json,
        open_run,
        print_evaluation,
        print_integer_score,
        progress_on,
        write_text,
    )

    with joined(gpu=device.startswith("cuda")) as team:
        opened = open_run(run, weights=weights, device=device_of(device))
        source, graph, pressed = opened.source, opened.graph, opened.pressed
        images = data_of(source, data)
        work_begins()
        if integer:
            print_integer_score(opened, images, json_file)
            return
        earlier = load_metrics(run)
        info = RunInfo.again(earlier, data=data or source.data)
        with progress_on(Console(stderr=True)) as bars:
            bars.start("evaluate", 2 * len(images.test))
            metrics = evaluate(
                pressed,
                replace(graph, task=images.task),
                images.test,
                info,
                energy=EnergyModel.of_memory(memory),
                measured=measured,
                batch=batch,
                on_batch=bars.advance,
                team=team,
            )
        if json_file is not None and team.is_first:
            write_text(json_file, metrics_json(metrics))
        print_evaluation(metrics, earlier, Console())


@app.command("report")
@guarded
@alone
def report_command(run: RunArgument) -> None:
    """Print the numbers of a run and write its report.html again."""
    from actpress.cli.loaded import (  # noqa: PLC0415 - torch takes seconds to load
        REPORT,
        load_metrics,
        print_metrics,
        render_html,
        write_text,
    )

    metrics = load_metrics(run)
    work_begins()
    write_text(run / REPORT, render_html(metrics))
    print_metrics(metrics, Console())
    complain(f"written to {run / REPORT}")


app.command("encode")(encode_command)
app.command("decode")(decode_command)
app.command("split")(split_command)
app.command("export")(export_command)
app.command("ram")(ram_command)
app.command("sweep")(sweep_command)
