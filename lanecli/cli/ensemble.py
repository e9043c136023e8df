"""``lanecli ensemble``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lanecli.cli.help import INPUT, MODEL, OUTPUT, SPEED, Command
from lanecli.cli.options import DeviceOption, choice
from lanecli.cli.output import JsonOption, emit, note, progress_bar
from lanecli.hardware import let_threads_sleep

app = typer.Typer(
    help="Learn how to combine several models, average their weights into one model, and compare ways of doing so.",
    no_args_is_help=True,
)
_METHODS = ("weights", "stacking", "blending")
_FIT, _META = "Fit", "Meta-model of stacking and blending"
FIT_EXAMPLES = """
lanecli ensemble fit runs/a runs/b --data data/held-out --out pair.yaml
lanecli ensemble fit runs/folds/fold* --data data/mine --method stacking
"""
SOUP_EXAMPLE = "lanecli ensemble soup runs/a runs/b --data data/mine --out soup.safetensors"

STUDY_EXAMPLE = "lanecli ensemble study configs/studies/ensembles.yaml --out runs/ensembles"


@app.callback()
def ensemble() -> None:
    """Hold the subcommands."""


@app.command(cls=Command, epilog=FIT_EXAMPLES)
def fit(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Model files, run folders or shipped models; for stacking the folders of train --folds.",
            rich_help_panel=MODEL,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="A dataset no model was trained on; for stacking, that of the folds.",
            rich_help_panel=INPUT,
        ),
    ],
    method: Annotated[str, choice(_METHODS, "what to fit.", _FIT)] = "weights",
    split: Annotated[
        str,
        typer.Option(metavar="NAME", help="Split to fit on; stacking fits on the folds.", rich_help_panel=INPUT),
    ] = "val",
    criterion: Annotated[
        str, choice(("nll", "iou"), "what weights optimise: likelihood, or foreground IoU by a search.", _FIT)
    ] = "nll",
    inputs: Annotated[
        str,
        typer.Option(metavar="NAME,…", help="Any of probabilities, entropy, picture.", rich_help_panel=_META),
    ] = "probabilities",
    context: Annotated[
        int,
        typer.Option(
            metavar="N", help="Odd side of a square whose mean is an input too; 1: none.", rich_help_panel=_META
        ),
    ] = 1,
    hidden: Annotated[int, typer.Option(metavar="N", help="Hidden units.", rich_help_panel=_META)] = 16,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Seed for the pixels drawn and the initial weights.", rich_help_panel=_FIT
        ),
    ] = 0,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Ensemble file; a meta-model is written beside it.", rich_help_panel=OUTPUT),
    ] = Path("ensemble.yaml"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.", rich_help_panel=OUTPUT)
    ] = False,
    json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Learn how to combine models, on pictures none has seen.

    The file it writes is a MODEL for every other command.
    """
    from lanecli.atomic import prepare_target
    from lanecli.errors import InputError

    if method not in _METHODS:
        raise InputError(f"--method is {', '.join(_METHODS)}; not '{method}'")
    if out.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"{out}: an ensemble file ends in .yaml")
    learnt = method != "weights"
    for target in (out, *([out.with_suffix(".meta.safetensors")] if learnt else [])):
        prepare_target(target, overwrite=overwrite)

    with progress_bar() as bar:
        task = bar.add_task("pictures")

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if learnt:
            from lanecli.training.stacking import fit_stack

            result = fit_stack(
                model,
                data,
                out,
                method=method,
                split=split,
                inputs=[name.strip() for name in inputs.split(",")],
                context=context,
                hidden=hidden,
                seed=seed,
                device=device,
                progress=progress,
            )
        else:
            from lanecli.inference.ensemble_fit import fit_weights

            result = fit_weights(
                model, data, out, split=split, criterion=criterion, seed=seed, device=device, progress=progress
            )
    for line in result.notes:
        note(f"note: {line}")
    figures = result.figures
    if learnt:
        mean = f", of the mean {figures['nll_mean']:.5f}" if "nll_mean" in figures else ""
        lines = [
            f"{out}  (with {figures['meta']})",
            f"negative log-likelihood on {figures['pixels_held_out']} held-out pixels: {figures['nll']:.5f}{mean}",
        ]
    else:
        weights = zip(model, figures["weights"], figures["nll_members"], strict=True)
        lines = [
            str(out),
            *(
                f"  {name}: weight {weight:.4f}, by itself {alone:.5f} nats per pixel"
                for name, weight, alone in weights
            ),
            f"negative log-likelihood {figures['nll']:.5f}, of equal weights {figures['nll_equal']:.5f}; "
            f"foreground IoU {figures['iou']:.4f}, of equal weights {figures['iou_equal']:.4f} "
            f"({figures['pixels']} pixels)",
        ]
    lines.append(f"next:   lanecli evaluate {out} --data DIR   (on pictures it was not fitted on)")
    emit({"file": str(out), "method": method, **figures}, lines, json)


@app.command(cls=Command, epilog=SOUP_EXAMPLE)
def soup(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Model files or run folders of one architecture.", rich_help_panel=MODEL
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR",
            help="A dataset for the statistics of batch normalisation; repeatable.",
            rich_help_panel=INPUT,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .safetensors file.", rich_help_panel=OUTPUT)],
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Split of the dataset to use.", rich_help_panel=INPUT)
    ] = "train",
    keep_statistics: Annotated[
        bool,
        typer.Option(
            "--keep-statistics",
            help="Average the statistics of the models, too, which fits models that are close to one another.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.", rich_help_panel=OUTPUT)
    ] = False,
    json: JsonOption = False,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures in one batch.", rich_help_panel=SPEED)] = 8,
    device: DeviceOption = "auto",
) -> None:
    """Average the weights of models of one architecture into one model."""
    from lanecli.atomic import prepare_target

    prepare_target(out, overwrite=overwrite)

    from lanecli.training.soup import make_soup

    with progress_bar() as bar:
        task = bar.add_task("statistics")
        result = make_soup(
            model,
            data,
            out,
            renew=not keep_statistics,
            split=split,
            batch=batch,
            device=device,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for line in result.notes:
        note(f"note: {line}")
    figures = result.figures
    lines = [
        f"{out}  (mean of {figures['models']} models)",
        "statistics averaged, too"
        if keep_statistics
        else f"statistics of {figures['norm_layers']} layers computed again on {figures['pictures']} pictures",
        f"next:   lanecli evaluate {out} --data {data[0]}",
    ]
    emit({"file": str(out), **figures}, lines, json)


@app.command(cls=Command, epilog=STUDY_EXAMPLE)
def study(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG",
            help="A YAML file with test pictures, a hold-out, trainings and rows.",
            rich_help_panel=INPUT,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for models and tables.  [default: the file's own]", rich_help_panel=OUTPUT
        ),
    ] = None,
    json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Train ensembles and compare ways of combining them.

    The table has intervals; the same command continues an interrupted study.
    """
    let_threads_sleep()
    from lanecli.cli.train_progress import watched_trainings
    from lanecli.ownership import owned
    from lanecli.report.ensemble_study import table_lines, write_table
    from lanecli.training.ensemble_pictures import check_pictures
    from lanecli.training.ensemble_rows import Rows
    from lanecli.training.ensemble_runs import train_all
    from lanecli.training.ensemble_study import read_study

    plan = read_study(config, out)
    check_pictures(plan)
    with owned(plan.out):
        with watched_trainings() as watch:
            train_all(plan, watch, device=device, say=note)
        with progress_bar() as bar:
            task = bar.add_task("")

            def progress(what: str, done: int, total: int) -> None:
                bar.update(task, description=what, completed=done, total=total)

            rows = Rows(plan, device=device, say=note, progress=progress).table()
        files = write_table(plan, rows)
    emit({"rows": rows, "files": [str(path) for path in files]}, [*table_lines(plan, rows), *map(str, files)], json)
