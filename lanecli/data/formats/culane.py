"""CULane: clips of drivers, masks ``laneseg_label_w16`` with slots 0 to 4, and lists whose paths begin with "/"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lanecli.data.layout import Layout, Pair, Request, files_below
from lanecli.data.manifest import safe_relative
from lanecli.errors import InputError

_MASKS = ("laneseg_label_w16", "laneseg_label_w16_test")
_LISTS = (("train", ("train_gt.txt", "train.txt")), ("val", ("val_gt.txt", "val.txt")), ("test", ("test.txt",)))


def read(request: Request) -> Layout:
    """Pairs as the lists say, or all that have a mask where there are no lists."""
    root = request.source
    entries = list(_listed(root)) or list(_walked(root))
    pairs, missing = [], []
    for split, image, label in entries:
        name = image.with_suffix("")
        path = root / label if label else _mask_of(root, image)
        if path is None or not path.is_file() or not (root / image).is_file():
            missing.append(image)
            continue
        pairs.append(Pair(root / image, name.as_posix(), name.parent.as_posix(), path, split))
    if not pairs:
        raise InputError(f"{root}: no picture with a mask below {_MASKS[0]}; is it the CULane folder with its masks?")
    notes = (f"{len(missing)} pictures left out, they or their masks are not there: {missing[0]}",) if missing else ()
    return Layout(tuple(pairs), "culane", "culane", notes=notes)


def _listed(root: Path) -> Iterator[tuple[str | None, Path, Path | None]]:
    for split, names in _LISTS:
        path = next((root / "list" / n for n in names if (root / "list" / n).is_file()), None)
        if path is None:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            words = line.split()
            if not words:
                continue
            try:
                # The lists' paths begin with "/" and mean the data set's folder.
                image = Path(safe_relative(words[0].lstrip("/")))
                label = Path(safe_relative(words[1].lstrip("/"))) if len(words) > 1 else None
            except ValueError as error:
                raise InputError(f"{path} line {number}: {error}") from error
            yield split, image, label


def _walked(root: Path) -> Iterator[tuple[str | None, Path, Path | None]]:
    for path in files_below(root, (".jpg",)):
        yield None, path.relative_to(root), None


def _mask_of(root: Path, image: Path) -> Path | None:
    return next((p for m in _MASKS if (p := root / m / image.with_suffix(".png")).is_file()), None)
