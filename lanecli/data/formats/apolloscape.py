"""Baidu / ApolloScape lane marks, in the competition's tree, the dataset's own, or by CSV list.

Folders are matched by pattern, never by depth: ``Road02/ColorImage_road02/…/Record001/Camera 5/X.jpg`` pairs with
``X_bin.png`` anywhere below, from a ``Gray_Label`` tree where there is one. The colour labels of the official release
are palette pictures whose indices are the ids, so they are read just as well; true-colour ones are refused.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from lanecli.data.layout import Layout, Pair, Request, by_key, files_below, match
from lanecli.data.paths import Finder
from lanecli.errors import InputError
from lanecli.textfiles import read_text

_LABEL = "_bin"
_GROUPING = "road and record"
_ROAD = re.compile(r"road_?(\d+)", re.IGNORECASE)
_RECORD = re.compile(r"record_?(\d+)", re.IGNORECASE)


def group_of(relative: Path) -> str:
    """``Road02/Record001`` from wherever road and record stand in a path, else its folder."""
    road, record = _ROAD.search(relative.as_posix()), _RECORD.search(relative.as_posix())
    parts = ([f"Road{road[1]}"] if road else []) + ([f"Record{record[1]}"] if record else [])
    return "/".join(parts) or relative.parent.as_posix()


def _is_grey(path: Path) -> bool:
    return any("gray" in part.lower() or "grey" in part.lower() for part in path.parts[:-1])


def read(request: Request) -> Layout:
    """Pair pictures with id labels below a folder, or as a CSV list says."""
    if request.source.is_file():
        return _read_list(request)
    files = list(files_below(request.source, (".jpg", ".jpeg", ".png")))
    labels = [p for p in files if p.stem.endswith(_LABEL)]
    grey = [p for p in labels if _is_grey(p.relative_to(request.source))]
    by_label = {p.stem.removesuffix(_LABEL): p for p in labels}
    by_label.update(by_key(grey, lambda p: p.stem.removesuffix(_LABEL)))
    pictures = by_key((p for p in files if p.suffix.lower() != ".png"), lambda p: p.stem)
    found, notes = match(request.source, pictures, by_label)
    return Layout(
        tuple(_pair(request.source, image, label) for _, image, label in found),
        "apolloscape-8",
        "apolloscape",
        notes=notes,
        grouping=_GROUPING,
    )


def _pair(root: Path, image: Path, label: Path) -> Pair:
    group = group_of(image.relative_to(root))
    return Pair(image, f"{group}/{image.stem}", group, label)


def _read_list(request: Request) -> Layout:
    """A list with the header ``image,label``; paths are relative to `--images` or the list's folder."""
    root, source = request.images or request.source.parent, request.source
    finder = Finder(root)
    pairs = []
    rows = csv.reader(io.StringIO(read_text(source), newline=""), skipinitialspace=True)
    try:
        if [cell.strip().lower() for cell in next(rows, [])] != ["image", "label"]:
            raise InputError(f"{source}: a list begins with the line 'image,label'")
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{source} line {rows.line_num}"
            if len(row) != 2:
                raise InputError(f"{where}: {len(row)} columns, not image and label")
            image, label = (finder.find(cell, where) for cell in row)
            if image is None or label is None:
                raise InputError(f"{where}: '{row[image is not None]:.200}' is not below {root}")
            pairs.append(_pair(root, image, label))
    except csv.Error as error:
        raise InputError(f"{source}: not readable as CSV: {error}") from error
    if not pairs:
        raise InputError(f"{source}: names no picture")
    return Layout(tuple(pairs), "apolloscape-8", "apolloscape", grouping=_GROUPING)
