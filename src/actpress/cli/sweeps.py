"""`actpress sweep`: methods against budgets."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from actpress.budget import Budget, Count, View
from actpress.cli.asked import Asked
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
    PrecisionOption,
    RateOption,
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
    guarded,
    warn_of_unused,
)
from actpress.errors import RunError
from actpress.interruption import EXIT_INTERRUPTED
from actpress.settings import (
    CALIBRATION_IMAGES,
    METHOD_NAMES,
    SEARCH_IMAGES,
    WORKING_MIB,
    Capture,
    EngineName,
    NumberBits,
    Trainable,
    TuneSettings,
    WidthSettings,
)


@guarded
@alone
def sweep_command(  # noqa: PLR0917 - every argument is an option of the command line
    model: ModelOption,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for all runs; continued if begun.")],
    methods: Annotated[
        str, typer.Option(help=f"Some of {','.join(METHOD_NAMES)}.")
    ] = "int8,gdr,cap,codesign",
    budgets: Annotated[
        str, typer.Option(help="Such as 1bits,2bits,6x.")
    ] = "0.75bits,1bits,1.5bits,2bits",
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
    view: Annotated[View, typer.Option(help="How the budgets count bits.")] = View.ENTROPY,
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
    on: Annotated[
        EngineName, typer.Option("--on", help="ray makes several runs at a time on a Ray cluster.")
    ] = EngineName.HERE,
    *,
    any_size: AnySizeOption = False,
    unlabelled: UnlabelledOption = False,
) -> None:
    """Compress with several methods at several budgets, and draw accuracy against bits."""
    names = _listed("--methods", methods)
    for name in names:
        check_choice("--methods", name, METHOD_NAMES)
        warn_of_unused(name, block, train)
    wanted = [
        Budget.parse(text, view=view, count=count, batch=batch)
        for text in _listed("--budgets", budgets)
    ]
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
        HTML,
        EnergyModel,
        begun,
        print_sweep,
        progress_on,
        sweep,
    )

    own = begun(asked, wanted)
    try:
        with progress_on(Console(stderr=True)) as bars:
            found = sweep(
                own.network,
                own.images,
                out,
                methods=names,
                budgets=wanted,
                settings=own.settings,
                energy=EnergyModel.of_memory(memory),
                source=own.source,
                leaves=own.source.leaves,
                capture=own.source.capture,
                any_size=own.source.any_size,
                on=on,
                progress=bars,
                on_run=lambda run: complain(
                    f"run {run.number} of {run.runs}: {run.method} at {run.budget}"
                ),
            )
    except KeyboardInterrupt:
        complain("interrupted; run the same command again to go on")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    print_sweep(found.runs, Console())
    for method, budget, reason in found.failed:
        complain(f"{method} at {budget}: {reason}")
    complain(f"written to {out}; open {out / HTML}")


def _listed(option: str, text: str) -> list[str]:
    """Names between commas.

    Raises:
        RunError: there are none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise RunError(f"{option} is empty; give at least one, and several between commas")
    return names
