"""``lanecli uncertainty``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lanecli.cli.help import INPUT, MODEL, OUTPUT, Command
from lanecli.cli.options import DeviceOption
from lanecli.cli.output import JsonOption, emit, note, progress_bar
from lanecli.hardware import let_threads_sleep

if TYPE_CHECKING:
    from lanecli.inference.study import Study

app = typer.Typer(
    help="Fit the feature statistics that some measures of uncertainty need, and compare measures.",
    no_args_is_help=True,
)


@app.callback()
def uncertainty() -> None:
    """Hold the subcommands."""


@app.command(cls=Command, epilog="lanecli uncertainty fit runs/train --data data/mine")
def fit(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A model file, run folder or shipped model.", rich_help_panel=MODEL),
    ],
    data: Annotated[
        list[Path],
        typer.Option(metavar="DIR", help="A dataset the model was trained on; repeatable.", rich_help_panel=INPUT),
    ],
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Split of the dataset to fit on.", rich_help_panel=INPUT)
    ] = "train",
    components: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Principal components to reduce features to.  [default: as many as are quick]",
            rich_help_panel=MODEL,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The .safetensors file.  [default: a run's own model]", rich_help_panel=OUTPUT
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.", rich_help_panel=OUTPUT)
    ] = False,
    json: JsonOption = False,
) -> None:
    """Add feature statistics for density and neco to a model file."""
    source, target = source_and_target(model, out, overwrite)

    from lanecli.inference.fitting import fit_density

    with progress_bar() as bar:
        task = bar.add_task("features")
        statistics = fit_density(
            source,
            data,
            target,
            split=split,
            components=components,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    figures = statistics.figures
    counted = zip(figures["classes"], figures["pixels"], strict=False)
    lines = [
        f"{target}  (density of {figures['components']} features, {figures['groups']} classes)",
        "pixels: " + ", ".join(f"{name} {count}" for name, count in counted),
        *(f"note: {note}" for note in statistics.notes),
        f"next:   lanecli predict VIDEO --model {model if out is None else target} --uncertainty density "
        "--save overlay,uncertainty",
    ]
    emit({"file": str(target), **figures}, lines, json)


@app.command(cls=Command, epilog="lanecli uncertainty study study.yaml --out runs/study")
def study(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG",
            help="A YAML file with data, methods and out-of-distribution pictures.",
            rich_help_panel=INPUT,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for tables and figures.  [default: the file's own]", rich_help_panel=OUTPUT
        ),
    ] = None,
    json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Compare measures alike: a table, curves and maps.

    The same command continues an interrupted study. The device is that of trainings.
    """
    from lanecli.inference.study import read_study, run_study
    from lanecli.ownership import owned
    from lanecli.report.study import write_study

    plan = read_study(config, out)
    if plan.train is not None:
        plan = _trained(plan, config, device)
    with owned(plan.out), progress_bar() as bar:
        task = bar.add_task("")
        rows = run_study(
            plan,
            say=note,
            progress=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )
        files = write_study(plan, rows)
    shown = ("miou_foreground", "pavpu", "auroc_error", "aurc", "ms")
    lines = [f"{row['method']} ({row['map']}): " + ", ".join(f"{k} {_cell(row[k])}" for k in shown) for row in rows]
    emit({"rows": rows, "files": [str(path) for path in files]}, [*lines, *map(str, files)], json)


def _trained(plan: Study, path: Path, device: str) -> Study:
    """Train the models of a study and return the study with them."""
    let_threads_sleep()
    from lanecli.cli.train_progress import watched_trainings
    from lanecli.training.study_models import train_models

    with watched_trainings() as watch:
        return train_models(plan, path, watch, device=device, say=note)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def source_and_target(model: str, out: Path | None, overwrite: bool) -> tuple[Path, Path]:
    """Return the model file to read and the file to write.

    Args:
        model: a model file, run folder or shipped model.
        out: the file to write; None rewrites the model of a run folder, and of nothing else.
        overwrite: whether `out` may exist.

    Raises:
        InputError: `out` is missing although `model` is not a run folder, or the file exists.
    """
    from lanecli.errors import InputError
    from lanecli.shipped import find_model

    source = find_model(model, prefer=".safetensors")
    if out is None:
        if not Path(model).expanduser().is_dir():
            raise InputError(f"{model}: only a run's own model is rewritten; give --out FILE.safetensors")
        return source, source
    if out.exists() and not overwrite:
        raise InputError(f"{out}: exists already; add --overwrite to replace it")
    return source, out
