"""Summarises in four lines what `lanecli prepare` did, and warns about what is likely a mistake."""

from __future__ import annotations

from collections.abc import Mapping

from lanecli.data.manifest import IGNORED, DatasetInfo
from lanecli.data.plan import Plan
from lanecli.labels import LabelMap

_MANY_CLASSES = 12
_MANY_SOURCES = 6
_FEW = 10
_BY = {"group": "", "folder": "folder (--by folder)", "frame": "picture, neighbours apart (--by frame)"}


def summarise(plan: Plan) -> dict[str, str]:
    """Return a line each on ``classes`` (which labels became which class), ``annotations``, ``groups``, ``splits``."""
    by = _BY[plan.by] or plan.layout.grouping
    return {
        "classes": _classes(plan),
        "annotations": _annotations(plan),
        "groups": f"{_count(len(set(plan.groups)), 'group')} of {_count(len(plan.pairs), 'picture')}, by {by}",
        "splits": _splits(plan),
    }


def _classes(plan: Plan) -> str:
    label_map, labels = plan.label_map, plan.layout.labels
    if len(label_map.classes) > _MANY_CLASSES:
        coding = "names" if labels else "colours" if label_map.coding == "colors" else "ids"
        text = f"the {len(label_map.classes)} classes of label map {label_map.name}, from the {coding} of the labels"
    else:
        parts = [f"{c.name} ← {_sources(c.sources, labels, label_map)}" for c in label_map.classes]
        if label_map.ignored and (found := _sources(label_map.ignored, labels, label_map)):
            parts.append(f"ignored ← {found}")
        text = "; ".join(parts)
    if plan.layout.unused and label_map is plan.layout.classes:
        text += f"; left out, since nothing has this label: {', '.join(plan.layout.unused)}"
    return text


def _sources(values: tuple[int, ...], labels: Mapping[str, int], label_map: LabelMap) -> str:
    """Describe source values by the words, colours or ids of the labels."""
    words = [word for word, value in labels.items() if value in values]
    if labels:
        return ", ".join(f"'{word}'" for word in words) or ("what is not labelled" if 0 in values else "nothing")
    shown = [f"#{v:06x}" if label_map.coding == "colors" else str(v) for v in values[:_MANY_SOURCES]]
    more = f" and {len(values) - _MANY_SOURCES} more" if len(values) > _MANY_SOURCES else ""
    return ", ".join(shown) + more if shown else "nothing"


def _annotations(plan: Plan) -> str:
    left_out = plan.layout.left_out
    total = sum(left_out.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    masks = plan.layout.annotations is None
    what = _count(len(plan.pairs), "mask") if masks else _count(plan.layout.annotations or 0, "shape")
    return f"{what} used, " + (f"{total} left out ({reasons})" if total else "none left out")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _splits(plan: Plan) -> str:
    counts = {split: plan.splits.count(split) for split in dict.fromkeys(plan.splits)}
    return f"{', '.join(f'{split} {count}' for split, count in counts.items())} ({plan.splitting})"


def warnings_about(info: DatasetInfo, plan: Plan) -> list[str]:
    """Return lines on what is likely a mistake: a single split, similar frames in two splits, nothing to learn."""
    lines = []
    pairs, groups = len(plan.pairs), len(set(plan.groups))
    if len(info.splits) == 1 and pairs > 1:
        (only,) = info.splits
        what = f"all {pairs} pictures are in split '{only}'"
        if groups == 1:
            offer = (
                "--by frame distributes single pictures (neighbouring frames of a drive are alike, so scores will be "
                "too high)"
            )
            lines.append(f"{what} and in one group ('{plan.groups[0]}'), so none is left for validation; {offer}")
        else:
            lines.append(
                f"{what}; '--split train=0.8,val=0.2' distributes the groups, '--split val=NAME*,train=*' names them"
            )
    elif len(info.splits) == 1:
        lines.append(f"the only picture is in split '{next(iter(info.splits))}': none is left for validation")
    if plan.layout.guessed and pairs >= _FEW and groups > 0.8 * pairs and len(info.splits) > 1:
        lines.append(
            f"{groups} groups of {pairs} pictures: the file names do not tell which recording a picture is from, so "
            "neighbouring frames may be in train and val; --by folder, or --split with patterns, keeps them together"
        )
    return lines + nothing_to_learn(info)


def nothing_to_learn(info: DatasetInfo) -> list[str]:
    """Return lines on classes without a pixel, and on datasets or splits that hold only background."""
    counts, label_map = info.pixel_counts, info.label_map
    background = None if label_map.background is None else label_map.names[label_map.background]
    classes = [name for name in label_map.names if name != background]
    empty = [name for name in classes if not any(c.get(name) for c in counts.values())]
    if len(empty) == len(classes):
        ignored = sum(c.get(IGNORED, 0) for c in counts.values())
        rest = "ignored or " if ignored else ""
        return [f"every pixel is {rest}{background or 'without a class'}: there is nothing to learn from this dataset"]
    lines = [f"no pixel of: {', '.join(empty)}"] if empty else []
    bare = [split for split, c in counts.items() if not any(c.get(name) for name in classes)]
    return [*lines, *(f"split '{split}' holds only {background}" for split in bare)]
