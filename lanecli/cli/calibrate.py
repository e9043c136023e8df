"""``lanecli calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lanecli.cli.help import INPUT, MODEL, OUTPUT
from lanecli.cli.output import JsonOption, emit, progress_bar
from lanecli.cli.uncertainty import source_and_target
from lanecli.errors import InputError

EXAMPLES = """
lanecli calibrate runs/train --data data/held-out
lanecli calibrate lane --data data/mine --out lane-mine.safetensors
lanecli calibrate runs/all --temperature 1.7
"""


def calibrate(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A model file, run folder or shipped model.", rich_help_panel=MODEL),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A dataset the model was not trained on; repeatable.", rich_help_panel=INPUT),
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Split of the dataset to fit on.", rich_help_panel=INPUT)
    ] = "val",
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            help="Write this temperature instead of fitting one, such as that of the same model before it was also "
            "trained on the pictures it was fitted on.",
            rich_help_panel=INPUT,
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
    """Fit the temperature that calibrates a model's probabilities. No pixel changes its class."""
    if (temperature is None) == (not data):
        raise InputError("calibrate needs either --data to fit on, or --temperature")
    source, target = source_and_target(model, out, overwrite)

    from lanecli.inference.fitting import calibrate as fit
    from lanecli.inference.fitting import set_temperature

    if temperature is not None:
        before = set_temperature(source, temperature, target)
        line = f"{target}  (temperature {temperature:.4g}, before {before:.4g})"
        emit({"file": str(target), "temperature": temperature, "temperature_before": before}, [line], json)
        return
    assert data
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
