"""Options that several commands share, and the recipe they make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lanecli.cli.complete import among, listed, models
from lanecli.cli.help import MODEL, OUTPUT, REFINE, SPEED, TRUST
from lanecli.inference.combiners import COMBINERS
from lanecli.inference.measures import MEASURES
from lanecli.inference.sinks import SINKS
from lanecli.inference.views import VIEWS

if TYPE_CHECKING:
    from lanecli.inference.recipe import Recipe

BACKENDS = ("auto", "openvino", "onnxruntime", "torch")
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")
DEVICES = ("auto", "cpu", "cuda")
STYLES = ("fill", "contour", "solid")


def choice(names: Iterable[str], what: str, heading: str, metavar: str = "NAME") -> Any:
    """Return an option that takes one of `names`; its help begins with them, and the shell completes them."""
    names = tuple(names)
    return typer.Option(
        metavar=metavar, help=f"{'|'.join(names)}: {what}", rich_help_panel=heading, autocompletion=among(names)
    )


SaveOption = Annotated[
    str,
    typer.Option(
        metavar="NAME,…",
        help=f"What to write, any of {', '.join(SINKS)}.",
        rich_help_panel=OUTPUT,
        autocompletion=listed(SINKS),
    ),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODEL",
        help="Model file, run folder, ensemble file or shipped model; given several times, the models are combined.  "
        "[default: lane]",
        rich_help_panel=MODEL,
        autocompletion=models,
    ),
]
CombineOption = Annotated[str | None, choice(COMBINERS, "how several models are combined.", MODEL)]
WeightsOption = Annotated[
    str | None, typer.Option(metavar="A,B,…", help="The weight of each model, such as 2,1.", rich_help_panel=MODEL)
]
TtaOption = Annotated[str, choice(VIEWS, "views of each picture to average.", MODEL)]
UncertaintyOption = Annotated[str, choice(("none", *MEASURES), "how to measure it for each pixel.", TRUST)]
PassesOption = Annotated[
    int,
    typer.Option(metavar="N", min=2, help="Passes of a measure that samples dropout.", rich_help_panel=TRUST),
]
BackendOption = Annotated[str, choice(BACKENDS, "what runs the network.", SPEED)]
PrecisionOption = Annotated[str, choice(PRECISIONS, "number format to compute in.", SPEED)]
DeviceOption = Annotated[str, choice((*DEVICES, "cuda:N"), "where to run.", SPEED)]
BatchOption = Annotated[
    int, typer.Option(metavar="N", min=1, help="Frames in one request to the network.", rich_help_panel=SPEED)
]
CrfOption = Annotated[
    bool,
    typer.Option("--crf", help="Refine class borders (dense CRF); about 0.1 s per frame.", rich_help_panel=REFINE),
]
CleanOption = Annotated[
    bool,
    typer.Option(
        "--clean", help="Remove specks from masks and scores too, not just from overlays.", rich_help_panel=REFINE
    ),
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
    """Return the recipe that options describe, with the shipped model if none is named."""
    from lanecli.inference.recipe import Recipe
    from lanecli.shipped import DEFAULT_MODEL

    steps: dict[str, dict[str, object]] = {}
    if crf:
        steps["crf"] = {}
    if clean:
        steps["clean"] = {"everywhere": True}
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
    """Return ``"2,1"`` as numbers.

    Raises:
        InputError: the text is not a list of numbers.

    Example:
        >>> parse_weights("2,1")
        (2.0, 1.0)
    """
    from lanecli.errors import InputError

    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--weights are numbers separated by commas such as 2,1; got '{text}'") from error
