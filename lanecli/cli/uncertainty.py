"""``lanecli uncertainty``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lanecli.cli.help import Command
from lanecli.cli.output import JsonOption, emit, note, progress_bar

if TYPE_CHECKING:
    from lanecli.inference.study import Study

app = typer.Typer(help="Teach a model what it knows, and compare the ways of telling.", no_args_is_help=True)


@app.callback()
def uncertainty() -> None:
    """What is done is a subcommand."""


@app.command(cls=Command)
def fit(
    model: Annotated[str, typer.Argument(help="A model file, run folder or shipped name.")],
    data: Annotated[Path, typer.Option(help="The prepared dataset the model was trained on.")],
    split: Annotated[str, typer.Option(help="Of the dataset's manifest.")] = "train",
    components: Annotated[
        int | None, typer.Option(min=1, help="Principal components features are reduced to; default: what is quick.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The .safetensors file; default: a run's own model is rewritten.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    json: JsonOption = False,
) -> None:
    """Add statistics of features to a model file, for --uncertainty density and neco."""
    source, target = source_and_target(model, out, overwrite)

    from lanecli.inference.fitting import fit_density

    with progress_bar() as bar:
        task = bar.add_task("features")
        found = fit_density(
            source,
            data,
            target,
            split=split,
            components=components,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    figures = found.figures
    counted = zip(figures["classes"], figures["pixels"], strict=False)
    lines = [
        f"{target}  (density of {figures['components']} features, {figures['groups']} classes)",
        "pixels: " + ", ".join(f"{name} {count}" for name, count in counted),
        *(f"note: {note}" for note in found.notes),
        f"next:   lanecli predict VIDEO --model {model if out is None else target} --uncertainty density "
        "--save overlay,uncertainty",
    ]
    emit({"file": str(target), **figures}, lines, json)


@app.command(cls=Command)
def study(
    config: Annotated[Path, typer.Argument(help="A YAML file: data, methods, strange pictures.")],
    out: Annotated[Path | None, typer.Option(help="Folder for tables and figures; default: the file's own.")] = None,
    device: Annotated[str, typer.Option(help="Of trainings: auto, cpu, cuda or cuda:N.")] = "auto",
    json: JsonOption = False,
) -> None:
    """Compare measures on equal terms: a table, curves, maps. What is done already is not done again."""
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
    """The study with its models trained."""
    import os

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from lanecli.cli.train_progress import TerminalWatcher, progress_columns
    from lanecli.interruption import Interrupted
    from lanecli.training.study_models import train_models

    with progress_bar(*progress_columns()) as bar:
        try:
            return train_models(plan, path, lambda _name, run: TerminalWatcher(bar, run), device=device, say=note)
        except KeyboardInterrupt as error:
            raise Interrupted("the same command goes on") from error


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def source_and_target(model: str, out: Path | None, overwrite: bool) -> tuple[Path, Path]:
    """The model file to read and the one to write: a run's own model only is rewritten without `out`.

    Raises:
        InputError: there is nowhere to write, or something is there already.
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
