"""Hypothesis strategies for batches and arguments, and how a case is put to the package."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from loss_reference import Case

from lanecli.losses import LOSSES, build_loss
from lanecli.losses.combined import CombinedLoss

NAMES = tuple(LOSSES)
MODES = ("multiclass", "multilabel", "binary")
REGION = ("dice", "dice_squared", "jaccard", "tversky", "focal_tversky", "lovasz", "mcc")
OVERLAP = REGION[:5]


class Term(NamedTuple):
    name: str
    weight: float = 1.0
    args: dict[str, Any] = {}  # noqa: RUF012


def shapes(mode: str, n: int, classes: int, height: int, width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of logits and target."""
    channels = 1 if mode == "binary" else classes
    full = (n, channels, height, width)
    return full, full if mode == "multilabel" else (n, height, width)


def make(name: str, mode: str, classes: int = 2, **options: Any) -> CombinedLoss:
    """One loss by itself, default arguments but for `args`."""
    args = options.pop("args", {})
    return build_loss([Term(name, 1.0, args)], classes=classes, mode=mode, **options)


def value(name: str, case: Case, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """What the package says of a case."""
    loss = make(name, case.mode, case.classes, args=case.args, ignore_id=case.ignore_id, background=case.background)
    teacher = None if case.teacher is None else torch.from_numpy(case.teacher).to(dtype)
    return loss(torch.from_numpy(case.logits).to(dtype), torch.from_numpy(case.target), teacher)


def weights(count: int) -> st.SearchStrategy[list[float] | None]:
    return st.none() | st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0]), min_size=count, max_size=count).filter(
        lambda w: all(w[1:])
    )


def ranges(name: str, mode: str, classes: int) -> dict[str, st.SearchStrategy[Any]]:
    """The values that each argument of a loss is tried with; `cases` adds `absent`."""
    entries = 2 if mode == "binary" else classes
    every: dict[str, st.SearchStrategy[Any]] = {}
    if name in REGION:
        every = {
            "classes": st.sampled_from(["foreground", "all"]),
            "per_image": st.booleans(),
        }
        if mode != "binary":
            every["class_weights"] = weights(classes)
    if name in OVERLAP:
        every["smooth"] = st.sampled_from([0.0, 0.5, 1.0])
    own: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "nll": {"reduction": st.sampled_from(["mean", "sum"])},
        "ce": {"class_weights": weights(entries), "label_smoothing": st.sampled_from([0.0, 0.1, 0.5])},
        "bce": {"class_weights": weights(entries), "label_smoothing": st.sampled_from([0.0, 0.1, 0.5])},
        "weighted_ce": {"beta": st.floats(0.1, 50)},
        "balanced_ce": {"beta": st.none() | st.floats(0, 1)},
        "focal": {
            "gamma": st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.7]),
            "alpha": st.none() | st.floats(0, 1),
            "class_weights": weights(entries),
        },
        "tversky": {"beta": st.floats(0.1, 1), "alpha": st.none() | st.floats(0.1, 2)},
        "focal_tversky": {"gamma": st.floats(0.5, 3), "alpha": st.floats(0, 1), "beta": st.floats(0.1, 1)},
        "kl": {"temperature": st.floats(0.5, 8)},
        "ohem": {
            "threshold": st.floats(0.05, 1),
            "min_kept": st.floats(0.01, 1),
            "class_weights": weights(entries),
        },
        "boundary": {
            "strength": st.floats(0, 20),
            "sigma": st.floats(0.3, 4),
            "class_weights": weights(entries),
        },
    }
    return every | own.get(name, {})


@st.composite
def cases(draw: st.DrawFn, name: str) -> Case:
    """Random batches: sizes from one pixel, every mode, nothing to everything ignored, classes missing."""
    mode = draw(st.sampled_from(MODES))
    classes = 2 if mode == "binary" else draw(st.integers(2, 4))
    n, height, width = draw(st.integers(1, 3)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    full, plane = shapes(mode, n, classes, height, width)
    values = draw(st.integers(1, classes)) if mode == "multiclass" else 2
    target = rng.integers(0, values, plane) * (rng.random(plane) < draw(st.sampled_from([0.0, 0.2, 0.7])))
    ignore_id = draw(st.sampled_from([255, 9, -100]))
    target[rng.random(plane) < draw(st.sampled_from([0.0, 0.0, 0.3, 1.0]))] = ignore_id
    scale = draw(st.sampled_from([0.3, 2.0, 6.0]))
    logits, teacher = rng.normal(0, scale, full), rng.normal(0, 2, full)
    args = draw(st.fixed_dictionaries({}, optional=ranges(name, mode, classes)))  # any may be left out
    if args.get("smooth") and draw(st.booleans()):
        args["absent"] = "count"
    if name == "tversky" and "beta" not in args and (args.get("alpha") or 0) > 1:
        args["beta"] = 0.6
    # A background that nothing is weighed against would be refused by these
    needs = name in ("weighted_ce", "balanced_ce") or args.get("alpha") is not None or name in REGION
    background = draw(st.sampled_from([0, classes - 1] + ([] if needs else [None]))) if mode == "multiclass" else None
    if args.get("classes", "foreground") == "foreground" and background and name in REGION:
        args.pop("class_weights", None)
    return Case(logits, target, mode, ignore_id, background, teacher, args)
