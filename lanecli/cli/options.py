"""Options that several commands share, and what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lanecli.inference.combiners import COMBINERS
from lanecli.inference.measures import MEASURES
from lanecli.inference.sinks import SINKS
from lanecli.inference.views import VIEWS

if TYPE_CHECKING:
    from lanecli.inference.recipe import Recipe

SaveOption = Annotated[str, typer.Option(help=f"What to write, separated by commas: {', '.join(SINKS)}.")]
CombineOption = Annotated[
    str | None, typer.Option(help=f"How several models become one answer: {', '.join(COMBINERS)}.")
]
WeightsOption = Annotated[str | None, typer.Option(help="A number for each model, separated by commas.")]
TtaOption = Annotated[str, typer.Option(help=f"Test-time augmentation: {', '.join(VIEWS)}.")]
UncertaintyOption = Annotated[str, typer.Option(help=f"How far to trust each pixel: none, {', '.join(MEASURES)}.")]
PassesOption = Annotated[int, typer.Option(min=2, help="Passes of a measure that samples dropout.")]
BackendOption = Annotated[str, typer.Option(help="auto, openvino, onnxruntime or torch.")]
PrecisionOption = Annotated[str, typer.Option(help="auto, fp32, bf16, fp16 or int8.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Frames a question to the backend holds.")]
CrfOption = Annotated[
    bool, typer.Option("--crf", help="Refine class borders on the picture's edges; some 0.1 s a frame.")
]
CleanOption = Annotated[
    bool, typer.Option("--clean", help="Take specks and the car's own bonnet out of class maps: what is no paint.")
]


def recipe_of(
    models: list[str] | None,
    *,
    combine: str | None,
    weights: str | None,
    tta: str,
    uncertainty: str,
    passes: int,
    crf: bool,
    clean: bool = False,
    smooth: float = 0.0,
    certain: float | None = None,
    backend: str,
    precision: str,
    device: str,
    batch: int = 1,
) -> Recipe:
    """The recipe that options spell; the shipped model where none is named."""
    from lanecli.inference.recipe import Recipe
    from lanecli.shipped import DEFAULT_MODEL

    steps: dict[str, dict[str, object]] = {}
    if crf:
        steps["crf"] = {}
    if clean:
        steps["clean"] = {}
    if smooth:
        steps["smooth"] = {"half_life": smooth}
    if certain is not None:
        steps["certain"] = {"threshold": certain}
    return Recipe(
        models=tuple(models or [DEFAULT_MODEL]),
        combine=combine,
        weights=parse_weights(weights),
        tta=tta,
        uncertainty=uncertainty,
        passes=passes,
        steps=steps,
        backend=backend,
        precision=precision,
        device=device,
        batch=batch,
    )


def parse_weights(text: str | None) -> tuple[float, ...] | None:
    """``"2,1"`` as numbers. Raises InputError for anything else."""
    from lanecli.errors import InputError

    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--weights are numbers separated by commas such as 2,1; got '{text}'") from error
