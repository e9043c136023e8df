"""``lanecli calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lanecli.cli.help import INPUT, MODEL, OUTPUT
from lanecli.cli.output import JsonOption, emit, progress_bar
from lanecli.cli.uncertainty import source_and_target

EXAMPLES = """
lanecli calibrate runs/train --data data/held-out
lanecli calibrate lane --data data/mine --out lane-mine.safetensors
"""


def calibrate(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A model file, run folder or shipped model.", rich_help_panel=MODEL),
    ],
    data: Annotated[
        list[Path],
        typer.Option(metavar="DIR", help="A dataset the model was not trained on; repeatable.", rich_help_panel=INPUT),
    ],
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Split of the dataset to fit on.", rich_help_panel=INPUT)
    ] = "val",
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
    """Fit the temperature that calibrates a model's probabilities. No pixel changes its class."""
    source, target = source_and_target(model, out, overwrite)

    from lanecli.inference.fitting import calibrate as fit

    with progress_bar() as bar:
        task = bar.add_task("logits")
        fitted = fit(
            source,
            data,
            target,
            split=split,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    figures = fitted.figures
    lines = [
        f"{target}  (temperature {figures['temperature']:.4g}, before {figures['temperature_before']:.4g})",
        f"negative log-likelihood {figures['nll_at_1']:.5f} at temperature 1, {figures['nll']:.5f} now "
        f"({figures['pixels']} of {figures['pixels_seen']} pixels)",
        f"expected calibration error {figures['ece_at_1']:.4f} at temperature 1, {figures['ece']:.4f} now",
        f"next:   lanecli evaluate {model if out is None else target} --data {data[0]} --split {split}",
    ]
    emit({"file": str(target), **figures}, lines, json)
