"""Everything decided before the first picture of a layout is read: label map, geometry, splits, where things go."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lanecli.data.job import Job
from lanecli.data.layout import Layout, Pair
from lanecli.data.manifest import safe_relative
from lanecli.data.splits import DEFAULT_SHARES, assign, parse_split
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labelmaps import resolve_label_map
from lanecli.labels import LabelMap

_LOSSY = (".jpg", ".jpeg")
_NAMED = 10


@dataclass(frozen=True)
class Plan:
    """A layout and what is to be made of it.

    Attributes:
        layout: what the reader found.
        pairs: those of the layout that are prepared.
        label_map: what its labels become.
        geometry: what is done to pictures and masks.
        out: where masks and pictures are written.
        splits, groups: one per pair.
        splitting: where the split comes from, for the user.
        notes: what the user should know; one line each.
        tolerance: how far each channel of a colour may be off.
        by: what was asked to be kept together: ``group``, ``folder`` or ``frame``.
        copied: whether pictures are copied, since some were inside of annotations and some were not.
    """

    layout: Layout
    pairs: tuple[Pair, ...]
    label_map: LabelMap
    geometry: Geometry
    out: Path
    splits: tuple[str, ...]
    groups: tuple[str, ...]
    splitting: str
    notes: tuple[str, ...] = ()
    tolerance: int = 0
    by: str = "group"
    copied: bool = False

    @property
    def cached(self) -> bool:
        """Whether pictures change and are written into ``images/``."""
        return self.geometry != Geometry()

    def mask_path(self, pair: Pair) -> Path:
        """Where a pair's mask goes."""
        return self.out / "masks" / f"{pair.name}.png"

    def image_path(self, pair: Pair) -> Path:
        """Where a pair's picture is in the dataset: lossless stays lossless."""
        suffix = pair.image.suffix.lower()
        if self.cached:
            return self.out / "images" / f"{pair.name}{'.jpg' if suffix in _LOSSY else '.png'}"
        return self.out / "images" / f"{pair.name}{suffix}" if self.copied else pair.image


def choose_label_map(layout: Layout, classes: str | LabelMap | None) -> LabelMap:
    """The label map the user named, for this layout, or the layout's own."""
    if isinstance(classes, LabelMap):
        return classes
    if classes is None:
        chosen = layout.classes
        return chosen if isinstance(chosen, LabelMap) else resolve_label_map(chosen, layout.key, layout.labels)
    if classes == "lane" and layout.lane is not None:
        return layout.lane()
    return resolve_label_map(classes, layout.key, layout.labels)


@dataclass(frozen=True)
class Division:
    """How pairs are divided: those that take part, the split and the group of each, where that comes from, notes."""

    pairs: tuple[Pair, ...]
    splits: tuple[str, ...]
    groups: tuple[str, ...]
    splitting: str
    notes: tuple[str, ...] = ()


def divide(layout: Layout, split: str | None, by: str, seed: int) -> Division:
    """Splits and groups of a layout's pairs.

    Without `split`, the layout's official splits are used as soon as it has any: pairs outside of them are left out and
    named. Where it has none, whole groups are shared out.

    Raises:
        InputError: `by` or `split` is not understood, or does not take every group.
    """
    if by not in ("group", "folder", "frame"):
        raise InputError(f"--by: '{by}' is not one of group, folder, frame")
    pairs = layout.pairs
    notes: list[str] = []
    official = split is None and any(pair.split is not None for pair in pairs)
    if official:
        alone = [pair.name for pair in pairs if pair.split is None]
        pairs = tuple(pair for pair in pairs if pair.split is not None)
        if alone:
            more = f" and {len(alone) - _NAMED} more" if len(alone) > _NAMED else ""
            notes.append(
                f"{len(alone)} pictures are in no official split and are left out (--split shares out all): "
                f"{', '.join(alone[:_NAMED])}{more}"
            )
    groups = {
        "group": [p.group for p in pairs],
        "folder": [p.name.rpartition("/")[0] or p.group for p in pairs],
        "frame": [p.name for p in pairs],
    }[by]
    if official:
        return Division(pairs, tuple(str(p.split) for p in pairs), tuple(groups), layout.splitting, tuple(notes))
    if any(pair.split is not None for pair in pairs):
        notes.append("the official split is set aside for --split")
    rule = split or DEFAULT_SHARES
    how = f"--split {rule}" if split else f"none in the files: whole groups shared out, {rule}, seed {seed}"
    return Division(pairs, tuple(assign(groups, parse_split(rule), seed)), tuple(groups), how, tuple(notes))


def make_plan(layout: Layout, job: Job, out: Path) -> Plan:
    """Decide label map, geometry and splits. Raises InputError for what does not fit together."""
    chosen = choose_label_map(layout, job.classes)
    if job.tolerance and chosen.coding != "colors":
        raise InputError(f"--tolerance is for colours; label map '{chosen.name}' reads ids")
    _check_classes(layout, chosen)
    for pair in layout.pairs:
        try:
            safe_relative(pair.name)
        except ValueError as error:
            raise InputError(f"{pair.image}: {error}") from error
    _check_names(layout.pairs)
    division = divide(layout, job.split, job.by, job.seed)
    geometry = Geometry(job.size, (0, job.crop_top, 0, 0))
    inside = [str(pair.image).startswith(f"{out}{os.sep}") for pair in division.pairs]
    return Plan(
        layout,
        division.pairs,
        chosen,
        geometry,
        out,
        division.splits,
        division.groups,
        division.splitting,
        (*layout.notes, *_left_out(layout), *division.notes),
        job.tolerance,
        job.by,
        any(inside) and not all(inside),
    )


def _left_out(layout: Layout) -> list[str]:
    reasons = ", ".join(f"{count} {reason}" for reason, count in layout.left_out.items())
    return [f"annotations left out: {reasons}"] if reasons else []


def _check_classes(layout: Layout, chosen: LabelMap) -> None:
    if len(chosen.classes) < 2 and not chosen.multilabel and chosen is not layout.classes:
        raise InputError(
            f"label map '{chosen.name}' has one class only, '{chosen.names[0]}': every pixel would be it and nothing "
            "could be learnt; add a background class to it"
        )
    known = {v for c in chosen.classes for v in c.sources} | set(chosen.ignored)
    own = chosen is layout.classes
    forgotten = [word for word, value in layout.labels.items() if value not in known]
    if forgotten and not (own and set(forgotten) <= set(layout.unused)):
        raise InputError(
            f"label map '{chosen.name}' says nothing about label '{forgotten[0]}'"
            + (f" and {len(forgotten) - 1} more" if len(forgotten) > 1 else "")
            + "; name every label in it, among the sources of a class or under 'ignored'"
        )


def _check_names(pairs: Sequence[Pair]) -> None:
    """Raise InputError naming the pictures whose masks would be one file."""
    names = Counter(pair.name for pair in pairs)
    if len(names) < len(pairs):
        twice = next(name for name, count in names.items() if count > 1)
        both = [str(pair.image) for pair in pairs if pair.name == twice][:2]
        raise InputError(f"{both[0]} and {both[1]} share the name '{twice}'; prepare them as two datasets")
