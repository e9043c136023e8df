"""Decides label map, geometry, splits and output paths before the first picture of a layout is read."""

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
_MOST_LISTED = 10


@dataclass(frozen=True)
class Plan:
    """How a dataset is prepared from a layout.

    Attributes:
        layout: the layout.
        pairs: the pairs of the layout that are prepared.
        label_map: the classes that labels are encoded to.
        geometry: the crop and resize of pictures and masks.
        out: the folder that masks and pictures are written to.
        splits: the split of each pair.
        groups: the group of each pair.
        splitting: where the split comes from, in words for the user.
        notes: lines for the user.
        tolerance: largest deviation of a colour, per channel.
        by: what stays together in one split: ``group``, ``folder`` or ``frame``.
        copied: whether pictures are copied, because some of them, but not all, were embedded in annotations.
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
        """Whether pictures are cropped or resized, and written into ``images/``."""
        return self.geometry != Geometry()

    def mask_path(self, pair: Pair) -> Path:
        """Return the path of a pair's prepared mask."""
        return self.out / "masks" / f"{pair.name}.png"

    def image_path(self, pair: Pair) -> Path:
        """Return the path of a pair's picture in the dataset. Only JPEG pictures are written as JPEG."""
        suffix = pair.image.suffix.lower()
        if self.cached:
            return self.out / "images" / f"{pair.name}{'.jpg' if suffix in _LOSSY else '.png'}"
        return self.out / "images" / f"{pair.name}{suffix}" if self.copied else pair.image


def choose_label_map(layout: Layout, classes: str | LabelMap | None) -> LabelMap:
    """Return the label map that the user gave, with the source ids of this layout; or else the layout's own."""
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
    """How pairs are divided among splits.

    Attributes:
        pairs: the pairs that are in a split.
        splits: the split of each pair.
        groups: the group of each pair.
        splitting: where the split comes from, in words for the user.
        notes: lines for the user.
    """

    pairs: tuple[Pair, ...]
    splits: tuple[str, ...]
    groups: tuple[str, ...]
    splitting: str
    notes: tuple[str, ...] = ()


def divide(layout: Layout, split: str | None, by: str, seed: int) -> Division:
    """Divide a layout's pairs among splits.

    Without `split`, the layout's official splits are used, and pairs that are in none of them are left out with a note.
    If there are no official splits, whole groups are distributed by :data:`lanecli.data.splits.DEFAULT_SHARES`.

    Args:
        layout: the layout.
        split: a rule for `parse_split`, or None.
        by: what stays together: ``group``, ``folder`` or ``frame``.
        seed: seed for the order of groups of equal size.

    Raises:
        InputError: `by` or `split` is not valid, or `split` leaves a group without a split.
    """
    if by not in ("group", "folder", "frame"):
        raise InputError(f"--by: '{by}' is not one of group, folder, frame")
    pairs = layout.pairs
    notes: list[str] = []
    official = split is None and any(pair.split is not None for pair in pairs)
    if official:
        unlisted = [pair.name for pair in pairs if pair.split is None]
        pairs = tuple(pair for pair in pairs if pair.split is not None)
        if unlisted:
            more = f" and {len(unlisted) - _MOST_LISTED} more" if len(unlisted) > _MOST_LISTED else ""
            notes.append(
                f"{len(unlisted)} pictures are in no official split and are left out (--split distributes all): "
                f"{', '.join(unlisted[:_MOST_LISTED])}{more}"
            )
    groups = {
        "group": [p.group for p in pairs],
        "folder": [p.name.rpartition("/")[0] or p.group for p in pairs],
        "frame": [p.name for p in pairs],
    }[by]
    if official:
        return Division(pairs, tuple(str(p.split) for p in pairs), tuple(groups), layout.splitting, tuple(notes))
    if any(pair.split is not None for pair in pairs):
        notes.append("--split replaces the official split")
    rule = split or DEFAULT_SHARES
    splitting = f"--split {rule}" if split else f"none in the files: whole groups by shares, {rule}, seed {seed}"
    return Division(pairs, tuple(assign(groups, parse_split(rule), seed)), tuple(groups), splitting, tuple(notes))


def make_plan(layout: Layout, job: Job, out: Path) -> Plan:
    """Decide label map, geometry and splits.

    Args:
        layout: the layout.
        job: the user's options.
        out: the folder that masks and pictures are written to.

    Raises:
        InputError: options and layout do not fit together.
    """
    chosen = choose_label_map(layout, job.classes)
    if job.tolerance and chosen.coding != "colors":
        raise InputError(f"--tolerance is for labels in colours, but label map '{chosen.name}' has ids")
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
            f"label map '{chosen.name}' has only one class, '{chosen.names[0]}': every pixel would be of this class, "
            "and nothing could be learnt; add a background class to it"
        )
    known = {v for c in chosen.classes for v in c.sources} | set(chosen.ignored)
    own = chosen is layout.classes
    forgotten = [word for word, value in layout.labels.items() if value not in known]
    if forgotten and not (own and set(forgotten) <= set(layout.unused)):
        raise InputError(
            f"label map '{chosen.name}' says nothing about label '{forgotten[0]}'"
            + (f" and {len(forgotten) - 1} more" if len(forgotten) > 1 else "")
            + "; list every label in it, under the sources of a class or under 'ignored'"
        )


def _check_names(pairs: Sequence[Pair]) -> None:
    """Raise InputError if the masks of two pictures would be the same file."""
    names = Counter(pair.name for pair in pairs)
    if len(names) < len(pairs):
        twice = next(name for name, count in names.items() if count > 1)
        both = [str(pair.image) for pair in pairs if pair.name == twice][:2]
        raise InputError(f"{both[0]} and {both[1]} share the name '{twice}'; prepare them as two datasets")
