"""Baidu / ApolloScape lane marks, in the folders of the competition or of the dataset, or by a CSV list.

Folders are recognised by their names at any depth: ``Road02/ColorImage_road02/…/Record001/Camera 5/X.jpg`` is paired
with ``X_bin.png`` anywhere below the source, preferably in a ``Gray_Label`` folder. The official colour labels are
palette pictures whose indices are the ids, so they can be read too; true-colour labels are refused.
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
    """Return the group, such as ``Road02/Record001``, from a path that names them anywhere, else its folder."""
    road, record = _ROAD.search(relative.as_posix()), _RECORD.search(relative.as_posix())
    parts = ([f"Road{road[1]}"] if road else []) + ([f"Record{record[1]}"] if record else [])
    return "/".join(parts) or relative.parent.as_posix()


def _is_grey(path: Path) -> bool:
    return any("gray" in part.lower() or "grey" in part.lower() for part in path.parts[:-1])


def read(request: Request) -> Layout:
    """Pair pictures with labels of ids below a folder, or those in a CSV list."""
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
    """Read a CSV list with the header ``image,label``, whose paths are relative to `--images` or the list's folder."""
    root, source = request.images or request.source.parent, request.source
    finder = Finder(root)
    pairs = []
    rows = csv.reader(io.StringIO(read_text(source), newline=""), skipinitialspace=True)
    try:
        if [cell.strip().lower() for cell in next(rows, [])] != ["image", "label"]:
            raise InputError(f"{source}: a list must begin with the line 'image,label'")
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{source} line {rows.line_num}"
            if len(row) != 2:
                raise InputError(f"{where}: has {len(row)} columns instead of image and label")
            image, label = (finder.find(cell, where) for cell in row)
            if image is None or label is None:
                raise InputError(f"{where}: '{row[image is not None]:.200}' does not exist below {root}")
            pairs.append(_pair(root, image, label))
    except csv.Error as error:
        raise InputError(f"{source}: not readable as CSV: {error}") from error
    if not pairs:
        raise InputError(f"{source}: lists no picture")
    return Layout(tuple(pairs), "apolloscape-8", "apolloscape", grouping=_GROUPING)
