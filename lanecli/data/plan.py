"""Everything decided before the first picture of a layout is read: label map, geometry, splits, where things go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lanecli.data.layout import Layout, Pair
from lanecli.data.manifest import safe_relative
from lanecli.data.splits import DEFAULT_SHARES, assign, parse_split
from lanecli.errors import InputError
from lanecli.geometry import Geometry, Size
from lanecli.labelmaps import resolve_label_map
from lanecli.labels import LabelMap

_LOSSY = (".jpg", ".jpeg")


@dataclass(frozen=True)
class Plan:
    """A layout and what is to be made of it.

    Attributes:
        layout: what the reader found.
        label_map: what its labels become.
        geometry: what is done to pictures and masks.
        out: the dataset's folder.
        splits, groups: one per pair.
        tolerance: how far each channel of a colour may be off.
    """

    layout: Layout
    label_map: LabelMap
    geometry: Geometry
    out: Path
    splits: tuple[str, ...]
    groups: tuple[str, ...]
    tolerance: int = 0

    @property
    def cached(self) -> bool:
        """Whether pictures change and are written into ``images/``."""
        return self.geometry != Geometry()

    def mask_path(self, pair: Pair) -> Path:
        """Where a pair's mask goes."""
        return self.out / "masks" / f"{pair.name}.png"

    def image_path(self, pair: Pair) -> Path:
        """Where a pair's picture is in the dataset: lossless stays lossless."""
        if not self.cached:
            return pair.image
        return self.out / "images" / f"{pair.name}{'.jpg' if pair.image.suffix.lower() in _LOSSY else '.png'}"


def choose_label_map(layout: Layout, classes: str | None) -> LabelMap:
    """The label map the user named, for this layout, or the layout's own."""
    if classes is None:
        chosen = layout.classes
        return chosen if isinstance(chosen, LabelMap) else resolve_label_map(chosen, layout.key, layout.labels)
    if classes == "lane" and layout.lane is not None:
        return layout.lane()
    return resolve_label_map(classes, layout.key, layout.labels)


def choose_splits(pairs: Sequence[Pair], split: str | None, by: str, seed: int) -> tuple[list[str], list[str]]:
    """(split, group) of every pair.

    Without `split`, a layout's official splits are used when every pair has one, else whole groups are shared out.
    """
    if by not in ("group", "folder", "frame"):
        raise InputError(f"--by: '{by}' is not one of group, folder, frame")
    groups = {
        "group": [p.group for p in pairs],
        "folder": [p.name.rpartition("/")[0] or p.group for p in pairs],
        "frame": [p.name for p in pairs],
    }[by]
    official = [p.split for p in pairs if p.split is not None]
    if split is None and len(official) == len(pairs):
        return official, groups
    return assign(groups, parse_split(split or DEFAULT_SHARES), seed), groups


def make_plan(
    layout: Layout,
    out: Path,
    *,
    label_map: str | LabelMap | None = None,
    crop_top: int = 0,
    size: Size | None = None,
    split: str | None = None,
    by: str = "group",
    seed: int = 0,
    tolerance: int = 0,
) -> Plan:
    """Decide label map, geometry and splits. Raises InputError for what does not fit together."""
    chosen = label_map if isinstance(label_map, LabelMap) else choose_label_map(layout, label_map)
    if tolerance and chosen.coding != "colors":
        raise InputError(f"--tolerance is for colours; label map '{chosen.name}' reads ids")
    known = {v for c in chosen.classes for v in c.sources} | set(chosen.ignored)
    forgotten = [word for word, value in layout.labels.items() if value not in known]
    if forgotten:
        raise InputError(
            f"label map '{chosen.name}' says nothing about label '{forgotten[0]}'"
            + (f" and {len(forgotten) - 1} more" if len(forgotten) > 1 else "")
            + "; name every label in it, among the sources of a class or under 'ignored'"
        )
    for pair in layout.pairs:
        try:
            safe_relative(pair.name)
        except ValueError as error:
            raise InputError(f"{pair.image}: {error}") from error
    if len({p.name for p in layout.pairs}) < len(layout.pairs):
        raise InputError("two pictures of the layout share a name; prepare them as two datasets")
    splits, groups = choose_splits(layout.pairs, split, by, seed)
    geometry = Geometry(size, (0, crop_top, 0, 0))
    return Plan(layout, chosen, geometry, out, tuple(splits), tuple(groups), tolerance)
