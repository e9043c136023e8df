"""A weighted sum of losses as one module, built from names and arguments."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lanecli.errors import InputError, did_you_mean
from lanecli.losses import LOSSES
from lanecli.losses.arguments import number
from lanecli.losses.base import Loss
from lanecli.losses.pixels import Pixels, Task

if TYPE_CHECKING:
    from lanecli.losses import Term


class CombinedLoss(Loss):
    """The sum of weight times loss over the terms."""

    def __init__(self, task: Task, terms: Mapping[str, tuple[float, Loss]]) -> None:
        """Join the terms.

        Args:
            task: see :class:`Task`.
            terms: the weight and the loss of each term, by the name under which it is logged.

        Raises:
            InputError: the terms name more than one teacher.
        """
        super().__init__(task)
        self.weights = {name: weight for name, (weight, _) in terms.items()}
        self.terms = nn.ModuleDict({name: loss for name, (_, loss) in terms.items()})
        self.needs_teacher = any(loss.needs_teacher for _, loss in terms.values())
        teachers = {loss.teacher for _, loss in terms.values() if loss.teacher is not None}
        if len(teachers) > 1:
            raise InputError(f"a loss can learn from one teacher only, not from {', '.join(sorted(teachers))}")
        self.teacher = teachers.pop() if teachers else None

    def compute(self, pixels: Pixels) -> Tensor:
        return self._sum(self._values(pixels))

    def with_terms(
        self, logits: Tensor, target: Tensor, teacher: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch together with the value of each term.

        Args:
            logits: as in :meth:`forward`.
            target: as in :meth:`forward`.
            teacher: as in :meth:`forward`.

        Returns:
            The weighted sum, and the value of each term before its weight. The values are detached scalars on the
            device of the logits, by the name of the loss (``dice``; a second one is ``dice_2``), with the same names
            in every call.
        """
        with torch.autocast(logits.device.type, enabled=False):
            values = self._values(Pixels(logits, target, self.task, teacher))
            return self._sum(values), {name: value.detach() for name, value in values.items()}

    def without_teacher(self) -> CombinedLoss | None:
        """Return the sum of the terms that learn from the labels alone, or None where every term needs a teacher."""
        terms = {n: (self.weights[n], loss) for n, loss in self.terms.items() if not loss.needs_teacher}
        return CombinedLoss(self.task, terms) if terms else None  # type: ignore[arg-type]

    def _values(self, pixels: Pixels) -> dict[str, Tensor]:
        return {name: loss.compute(pixels) for name, loss in self.terms.items()}  # type: ignore[operator]

    def _sum(self, values: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([self.weights[name] * value for name, value in values.items()]).sum()


def build(
    terms: Sequence[Term],
    *,
    classes: int,
    mode: str,
    ignore_id: int,
    pixel_counts: Sequence[int] | None,
    background: int | None,
) -> CombinedLoss:
    """Build a combined loss; :func:`lanecli.losses.build_loss` documents the arguments."""
    counts = None if pixel_counts is None else tuple(int(n) for n in pixel_counts)
    task = Task(classes, mode, ignore_id, counts, background)
    if not terms:
        raise InputError("a loss needs at least one term, such as ce")
    losses: dict[str, tuple[float, Loss]] = {}
    seen: Counter[str] = Counter()
    for term in terms:
        name = LOSSES.canonical(term.name)
        seen[name] += 1
        losses[name if seen[name] == 1 else f"{name}_{seen[name]}"] = _build_one(name, task, term)
    return CombinedLoss(task, losses)


def _build_one(name: str, task: Task, term: Term) -> tuple[float, Loss]:
    loss = LOSSES.get(name)
    known = arguments(loss)
    for argument in term.args:
        if argument not in known:
            hint = did_you_mean(str(argument), known) or f"; its arguments are: {', '.join(known) or 'none'}"
            raise InputError(f"loss '{name}' has no argument '{argument}'{hint}")
    try:
        return number("weight", term.weight), loss(task, **term.args)
    except InputError as error:
        raise InputError(f"loss '{name}': {error}") from error


def arguments(loss: type[Loss]) -> dict[str, Any]:
    """Return the names and defaults of a loss's arguments, including those that it passes on to its base class."""
    defaults: dict[str, Any] = {}
    for kind in loss.__mro__:
        if "__init__" not in vars(kind):
            continue
        parameters = inspect.signature(vars(kind)["__init__"]).parameters.values()
        for parameter in parameters:
            if parameter.kind is parameter.KEYWORD_ONLY:
                defaults.setdefault(parameter.name, parameter.default)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return defaults
