"""``lanecli ensemble``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lanecli.cli.help import Command
from lanecli.cli.output import JsonOption, emit, note, progress_bar

app = typer.Typer(help="Fit how several models become one answer, or make one model of them.", no_args_is_help=True)
_METHODS = ("weights", "stacking", "blending")


@app.callback()
def ensemble() -> None:
    """What is done is a subcommand."""


@app.command(cls=Command)
def fit(
    model: Annotated[
        list[str],
        typer.Argument(help="Model files, run folders or shipped names; for stacking folders of train --folds."),
    ],
    data: Annotated[
        Path, typer.Option(help="A prepared dataset no model was trained on; for stacking the one of the folds.")
    ],
    method: Annotated[str, typer.Option(help=f"One of {', '.join(_METHODS)}.")] = "weights",
    split: Annotated[str, typer.Option(help="Of the dataset's manifest; stacking takes what the folds hold.")] = "val",
    criterion: Annotated[
        str, typer.Option(help="Of weights: nll (likelihood) or iou (foreground IoU, by a search).")
    ] = "nll",
    inputs: Annotated[
        str, typer.Option(help="Of stacking and blending: probabilities, entropy, picture, separated by commas.")
    ] = "probabilities",
    context: Annotated[
        int, typer.Option(help="Side of a square whose mean the meta-model sees too, odd; 1 for none.")
    ] = 1,
    hidden: Annotated[int, typer.Option(help="Hidden values of the meta-model.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw of pixels and of first weights.")] = 0,
    out: Annotated[Path, typer.Option(help="The ensemble file; a meta-model lies beside it.")] = Path("ensemble.yaml"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    json: JsonOption = False,
) -> None:
    """Fit how models are combined, on pictures none of them has seen; the file written is a MODEL."""
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

            found = fit_stack(
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

            found = fit_weights(
                model, data, out, split=split, criterion=criterion, seed=seed, device=device, progress=progress
            )
    for line in found.notes:
        note(f"note: {line}")
    figures = found.figures
    if learnt:
        mean = f", of the plain mean {figures['nll_mean']:.5f}" if "nll_mean" in figures else ""
        lines = [
            f"{out}  (with {figures['meta']})",
            f"negative log-likelihood on {figures['pixels_held_out']} pixels kept aside: {figures['nll']:.5f}{mean}",
        ]
    else:
        weights = zip(model, figures["weights"], figures["nll_members"], strict=True)
        lines = [
            str(out),
            *(f"  {name}: weight {weight:.4f}, alone {alone:.5f} nats a pixel" for name, weight, alone in weights),
            f"negative log-likelihood {figures['nll']:.5f}, of equal weights {figures['nll_equal']:.5f}; "
            f"foreground IoU {figures['iou']:.4f}, of equal weights {figures['iou_equal']:.4f} "
            f"({figures['pixels']} pixels)",
        ]
    lines.append(f"next:   lanecli evaluate {out} --data DIR   (pictures it was not fitted on)")
    emit({"file": str(out), "method": method, **figures}, lines, json)


@app.command(cls=Command)
def soup(
    model: Annotated[list[str], typer.Argument(help="Model files or run folders of one architecture.")],
    data: Annotated[Path, typer.Option(help="A prepared dataset, for the statistics of batch normalisation.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file.")],
    split: Annotated[str, typer.Option(help="Of the dataset's manifest.")] = "train",
    batch: Annotated[int, typer.Option(min=1, help="Pictures at once.")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    json: JsonOption = False,
) -> None:
    """Average the weights of models of one architecture into one model."""
    from lanecli.atomic import prepare_target

    prepare_target(out, overwrite=overwrite)

    from lanecli.training.soup import make_soup

    with progress_bar() as bar:
        task = bar.add_task("statistics")
        found = make_soup(
            model,
            data,
            out,
            split=split,
            batch=batch,
            device=device,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for line in found.notes:
        note(f"note: {line}")
    figures = found.figures
    lines = [
        f"{out}  (mean of {figures['models']} models)",
        f"statistics of {figures['norm_layers']} layers computed again on {figures['pictures']} pictures",
        f"next:   lanecli evaluate {out} --data {data}",
    ]
    emit({"file": str(out), **figures}, lines, json)
