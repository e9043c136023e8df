"""From a layout to a prepared dataset: read, encode, crop and resize, write; in parallel, resumable, atomic."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lanecli.data.contact_sheet import HTML, PNG, write_contact_sheet
from lanecli.data.formats import FORMATS
from lanecli.data.layout import Pair, Request
from lanecli.data.manifest import DESCRIPTION, MANIFEST, DatasetInfo, Sample, write_dataset
from lanecli.data.pairs import check_pair, counts_of_done, in_parallel, prepare_pair
from lanecli.data.plan import Plan, make_plan
from lanecli.data.remap import name_counts
from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.labels import LabelMap
from lanecli.media.outputs import write_atomically
from lanecli.ownership import is_lock, owned

SETTINGS = ".prepare.json"
"""What an unfinished dataset is being made with; a run with the same settings goes on where it stopped."""
UNPACKED = "unpacked"
"""Where a zip is unpacked in the dataset's folder; it stays when the pictures came with it."""


def _check_place(out: Path, source: Path) -> None:
    """Raise InputError where a dataset cannot be made of `source` in `out`."""
    if source.is_dir() and (out.is_relative_to(source) or source.is_relative_to(out)):
        raise InputError(f"--out {out}: lies inside the source folder or holds it; choose another")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file")


def _claim(out: Path, settings: str, overwrite: bool) -> None:
    """Make `out` ours: fresh, emptied of an older dataset, or the unfinished one of the same settings."""
    unfinished = out / SETTINGS
    if unfinished.is_file() and unfinished.read_text(encoding="utf-8") == settings and not overwrite:
        return
    if not all(map(is_lock, out.iterdir())):
        if not unfinished.is_file() and not (out / DESCRIPTION).is_file():
            raise InputError(f"--out {out}: holds other files; choose a new or empty folder")
        if not overwrite and ((out / DESCRIPTION).is_file() or (out / "masks").is_dir()):
            what = "a dataset is there" if (out / DESCRIPTION).is_file() else "one was begun there with other settings"
            raise InputError(f"--out {out}: {what} already; add --overwrite to replace it")
        names = (MANIFEST, DESCRIPTION, SETTINGS, PNG, HTML, "masks", "images", UNPACKED)
        for path in (*(out / name for name in names), *out.glob("labels.*.json")):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    write_atomically(unfinished, settings.encode())


def _leave(out: Path) -> None:
    """Take our marks off a folder in which nothing was made."""
    if not (out / "masks").is_dir():
        shutil.rmtree(out / UNPACKED, ignore_errors=True)
        (out / SETTINGS).unlink(missing_ok=True)


def check_dataset(
    format: str,  # noqa: A002 - the command line's word
    source: Path | str,
    *,
    label_map: str | LabelMap | None = None,
    workers: int | None = None,
    tolerance: int = 0,
    request: Request | None = None,
    begin: Callable[[int], Callable[[], object]] = lambda total: lambda: None,
    note: Callable[[str], object] = lambda line: None,
) -> tuple[int, list[str]]:
    """Read every picture and label of a layout and write nothing.

    Args: as :func:`prepare_dataset`.

    Returns:
        How many pairs there are, and a line for each that is broken, of two sizes, or holds what the label map does
        not know.
    """
    read = FORMATS.get(format)
    asked = _asked(source, label_map, request)
    with tempfile.TemporaryDirectory() as scratch:
        asked = replace(asked, unpack_to=Path(scratch))
        layout = read(asked)
        for line in layout.notes:
            note(line)
        plan = make_plan(layout, Path(scratch), label_map=label_map, tolerance=tolerance)
        problems = in_parallel(lambda pair: check_pair(plan, pair), layout.pairs, workers, begin(len(layout.pairs)))
    return len(layout.pairs), [line for line in problems if line is not None]


def _asked(source: Path | str, label_map: str | LabelMap | None, request: Request | None) -> Request:
    source = Path(os.path.abspath(source))
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    asked = replace(
        request or Request(source), source=source, classes=label_map if isinstance(label_map, str) else None
    )
    return replace(asked, images=Path(os.path.abspath(asked.images))) if asked.images is not None else asked


def prepare_dataset(
    format: str,  # noqa: A002 - the command line's word
    source: Path | str,
    out: Path | str,
    *,
    label_map: str | LabelMap | None = None,
    crop_top: int = 0,
    size: Size | None = None,
    split: str | None = None,
    by: str = "group",
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
    tolerance: int = 0,
    contact_sheet: int = 12,
    request: Request | None = None,
    begin: Callable[[int], Callable[[], object]] = lambda total: lambda: None,
    note: Callable[[str], object] = lambda line: None,
) -> DatasetInfo:
    """Prepare a public layout as one dataset.

    Args:
        format: a name in `FORMATS`.
        source: the layout's folder or file.
        out: the dataset's folder: new, empty, or begun with the same settings, then it goes on where it stopped.
        label_map: a label map, its name, or a YAML file; None is the layout's own.
        crop_top: rows cut off at the top.
        size: (width, height) pictures and masks get; None keeps them.
        split: as `parse_split` reads it; None is the official split, or shares of whole groups.
        by: what is kept together: the layout's ``group``, ``folder``, or nothing (``frame``).
        seed: orders groups of equal size, and picks the contact sheet's pairs.
        workers: threads; None is one per core.
        overwrite: replace a dataset that is there.
        tolerance: how far colours may be off, per channel.
        contact_sheet: pairs on the contact sheet; 0 makes none.
        request: reader options; its `source` and `classes` are replaced.
        begin: called with the number of pairs; gives what is called after each.
        note: told lines a user should see.

    Returns:
        The dataset as it was written.

    Raises:
        InputError: anything wrong with the layout, a file of it, or the options.
    """
    read, name = FORMATS.get(format), FORMATS.canonical(format)
    out = Path(os.path.abspath(out))
    asked = _asked(source, label_map, request)
    settings = {
        "format": name,
        "source": str(asked.source),
        "images": str(asked.images),
        "classes": label_map.to_dict() if isinstance(label_map, LabelMap) else label_map,
        "geometry": [crop_top, size],
        "lines": asked.line_width,
        "suffixes": [asked.image_suffix, asked.mask_suffix],
        "tolerance": tolerance,
    }
    _check_place(out, asked.source)
    with owned(out):
        _claim(out, json.dumps(settings, sort_keys=True), overwrite)
        try:
            layout = read(replace(asked, unpack_to=out / UNPACKED))
            for line in layout.notes:
                note(line)
            plan = make_plan(
                layout,
                out,
                label_map=label_map,
                crop_top=crop_top,
                size=size,
                split=split,
                by=by,
                seed=seed,
                tolerance=tolerance,
            )
        except InputError:
            _leave(out)
            raise

        def work(pair: Pair) -> np.ndarray:
            counts = counts_of_done(plan, pair)
            return prepare_pair(plan, pair) if counts is None else counts

        counts = in_parallel(work, layout.pairs, workers, begin(len(layout.pairs)))
        info = _describe(plan, name, asked, counts)
        for line in warnings_about(info):
            note(line)
        _finish(plan, info, contact_sheet, seed)
        return info


def _finish(plan: Plan, info: DatasetInfo, contact_sheet: int, seed: int) -> None:
    unpacked = plan.out / UNPACKED
    if unpacked.is_dir() and not any(s.image.is_relative_to(unpacked) for s in info.samples):
        shutil.rmtree(unpacked)
    records: dict[str, list[str]] = {}
    for pair, split in zip(plan.layout.pairs, plan.splits, strict=True):
        if pair.record is not None:
            records.setdefault(split, []).append(pair.record)
    for split, lines in records.items():
        write_atomically(plan.out / f"labels.{split}.json", ("\n".join(lines) + "\n").encode())
    write_dataset(info)
    if contact_sheet:
        write_contact_sheet(info, contact_sheet, seed)
    (plan.out / SETTINGS).unlink(missing_ok=True)


def _describe(plan: Plan, name: str, request: Request, counts: Sequence[np.ndarray]) -> DatasetInfo:
    samples, per_split = [], dict[str, np.ndarray]()
    for pair, split, group, found in zip(plan.layout.pairs, plan.splits, plan.groups, counts, strict=True):
        samples.append(Sample(plan.image_path(pair), plan.mask_path(pair), split, group))
        per_split[split] = per_split.get(split, np.zeros(256, np.int64)) + found
    folder = request.source if request.source.is_dir() else request.source.parent
    named = {split: name_counts(plan.label_map, total) for split, total in per_split.items()}
    base = request.images or folder
    return DatasetInfo(plan.out, tuple(samples), plan.label_map, plan.geometry, named, name, base)


def warnings_about(info: DatasetInfo) -> list[str]:
    """Lines on what is likely a mistake: one split only, a class without a pixel."""
    lines = []
    if len(info.splits) == 1:
        lines.append(
            f"all samples are in split '{next(iter(info.splits))}'; --split with patterns, or --by frame, divides them"
        )
    empty = [n for n in info.label_map.names if not any(counts[n] for counts in info.pixel_counts.values())]
    if empty:
        lines.append(f"no pixel of: {', '.join(empty)}")
    return lines
