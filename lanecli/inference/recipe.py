"""The recipe: the one way from a command line or an ensemble file to members, combiner, measures and steps.

`predict`, `evaluate`, `select`, `bench` and the Python interface all open their Predictor here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.inference.backends import Backend, Load, open_backend
from lanecli.inference.combiners import COMBINERS, Combiner
from lanecli.inference.ensemble import read_ensemble
from lanecli.inference.measures import MEASURES, Measure, default_measure
from lanecli.inference.member import Member
from lanecli.inference.predictor import Predictor
from lanecli.inference.steps import STEPS, Step
from lanecli.inference.views import View, views_of
from lanecli.shipped import DEFAULT_MODEL, find_model

_MULTIPLE = 32  # sides of scaled views are multiples of this, which every network takes without padding
DEFAULT_PASSES = 5
ANY_MEASURE = "uncertainty"
"""Stands, among the parts of a Prediction, for whichever measure the user chose."""


@dataclass(frozen=True)
class Recipe:
    """What a prediction is made with, whichever command makes it.

    Attributes:
        models: model files, run folders, shipped names, or one ensemble file; several are combined.
        combine: name of a registered rule; None means ``weighted`` if there are weights, else ``mean``.
        weights: weight of each model, in the same order; they need not sum to one.
        tta: registered views of a frame, several joined by ``+``.
        uncertainty: name of a registered measure, or ``"none"``.
        passes: how often each member is run for a measure that samples dropout.
        steps: settings of each chosen step, by its registered name.
        backend, precision, device: what the models run on.
        batch: how many frames a request to a backend holds.
        learners: number of the learner each model belongs to; by default each model is a learner of its own.
        meta: file of the meta-model, for a fitted rule.

    Example:
        >>> predictor = Recipe(models=("lane",), tta="flip", precision="fp32").open()
        >>> len(predictor.members), predictor.label_map.names
        (2, ('background', 'lane marking'))
    """

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    combine: str | None = None
    weights: tuple[float, ...] | None = None
    tta: str = "none"
    uncertainty: str = "none"
    passes: int = DEFAULT_PASSES
    steps: dict[str, dict[str, object]] = field(default_factory=dict)
    backend: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    batch: int = 1
    learners: tuple[int, ...] = ()
    meta: Path | None = None

    def open(self, keep: Collection[str] = (), extra_measures: Sequence[Measure] = ()) -> Predictor:
        """Load the models and return a Predictor.

        Args:
            keep: parts of Predictions that something will read: ``"planes"``, ``"lanes"``, ``"shown_map"``, names of
                maps. The measures and steps that provide them are added.
            extra_measures: further measures, made by the caller.

        Raises:
            InputError: a name is unknown, the models do not go together, or a file cannot be loaded.
        """
        recipe = self._with_ensemble_file()
        steps = recipe._steps(keep)
        keep = {*keep, *(need for step in steps for need in step.needs)}
        measures = [*recipe._measures(keep), *extra_measures]
        members, combiner = recipe._members(measures)
        return Predictor(members, combiner, measures=measures, steps=steps, keep=keep, batch=self.batch)

    def files(self) -> list[Path]:
        """Return the files it uses: the ensemble file and the models. Raises InputError if one is missing."""
        expanded = self._with_ensemble_file()
        own = [] if expanded is self else [Path(self.models[0])]
        return own + [find_model(name) for name in expanded.models]

    def _with_ensemble_file(self) -> Recipe:
        """Return the recipe with an ensemble file replaced by what it says; options given by the user beat the file."""
        if len(self.models) != 1 or Path(self.models[0]).suffix.lower() not in (".yaml", ".yml"):
            return self
        ensemble = read_ensemble(Path(self.models[0]))
        return replace(
            self,
            models=ensemble.models,
            combine=self.combine or ensemble.combine,
            weights=self.weights or ensemble.weights,
            tta=self.tta if self.tta != "none" else ensemble.tta,
            learners=ensemble.learners,
            meta=ensemble.meta,
        )

    def _measures(self, keep: Collection[str]) -> list[Measure]:
        """Return the chosen measure (or the default one) and those that provide the other maps in `keep`."""
        names = [] if self.uncertainty == "none" else [MEASURES.canonical(self.uncertainty)]
        if ANY_MEASURE in keep and not names:
            names = [default_measure()]
        measures = [MEASURES.get(name)() for name in names]
        no_maps = {"planes", "lanes", "shown_map", ANY_MEASURE}
        missing = set(keep) - no_maps - {part for m in measures for part in m.maps}
        others = [MEASURES.get(name)() for name in MEASURES] if missing else []
        return measures + [measure for measure in others if missing & set(measure.maps)]

    def _steps(self, keep: Collection[str]) -> list[Step]:
        """Return the chosen steps and those that provide the parts in `keep`, in their order."""
        names = {STEPS.canonical(name) for name in self.steps}
        missing = set(keep) - {"planes", ANY_MEASURE}
        while missing:
            found = {name for name in STEPS if set(STEPS.get(name).gives) & missing} - names
            missing = {need for name in found for need in STEPS.get(name).needs}
            names |= found
        ordered = sorted(names, key=lambda name: STEPS.entry(name).facts.get("order", 50))
        return [STEPS.get(name)(**self.steps.get(name, {})) for name in ordered]

    def _members(self, measures: Sequence[Measure]) -> tuple[list[Member], Combiner]:
        """Return every model in every view with every seed, and the rule that combines them."""
        shares = self._shares()
        views = views_of(self.tta)
        sampled = any(measure.samples for measure in measures)
        seeds: list[int | None] = list(range(1, self.passes + 1)) if sampled else [None]
        alone = len(self.models) * len(views) * len(seeds) == 1
        # every rule returns a single answer unchanged
        rule = self._rule()
        learnt = COMBINERS.entry(rule).facts.get("meta", False)
        kind: Any = COMBINERS.get("mean" if alone and not learnt else rule)
        combiner: Combiner = kind(self.meta) if learnt else kind()
        wanted = {*combiner.needs, *(need for measure in measures for need in measure.needs)}
        load = Load(Path(), tuple(sorted(wanted)), self.precision, self.device, batch=self.batch)
        members: list[Member] = []
        learners = self.learners or tuple(range(len(self.models)))
        for model, share, learner in zip(self.models, shares, learners, strict=True):
            backend = open_backend(model, backend=self.backend, samples=sampled, load=load)
            first = members[0].label_map if members else backend.spec.label_map
            weight = share / (len(views) * len(seeds))
            for view, seen in _at_scales(backend, views):
                geometry = seen.spec.geometry
                members += [Member(seen, geometry, first, view, weight, seed, learner) for seed in seeds]
        return members, combiner

    def _rule(self) -> str:
        return COMBINERS.canonical(self.combine or ("weighted" if self.weights else "mean"))

    def _shares(self) -> list[float]:
        """Return each model's share of the answer; the shares sum to one."""
        rule, count = self._rule(), len(self.models)
        takes = COMBINERS.entry(rule).facts.get("weights", False)
        if self.weights is None:
            if rule == "weighted" and count > 1:
                raise InputError("--combine weighted needs --weights with one number for each model")
            return [1 / count] * count
        if not takes:
            others = [name for name in COMBINERS if COMBINERS.entry(name).facts.get("weights")]
            raise InputError(f"--weights needs --combine {', '.join(others)}; '{rule}' weights all models alike")
        if len(self.weights) != count:
            raise InputError(f"--weights has {len(self.weights)} numbers, but there are {count} models")
        total = sum(self.weights)
        if not (all(0 <= weight < float("inf") for weight in self.weights) and total > 0):
            raise InputError(f"--weights must be numbers from 0 up, not all 0; got {', '.join(map(str, self.weights))}")
        return [weight / total for weight in self.weights]


def _at_scales(backend: Backend, views: Iterable[View]) -> Iterable[tuple[View, Backend]]:
    """Yield each view with the backend for its size; every size is loaded once."""
    sizes: dict[Size, Backend] = {backend.size: backend}
    for view in views:
        size = backend.size
        if view.scale != 1:
            width, height = (max(1, round(side * view.scale / _MULTIPLE)) * _MULTIPLE for side in backend.size)
            size = (width, height)
        if size not in sizes:
            sizes[size] = backend.at_size(size)
        yield view, sizes[size]
