"""Cityscapes: ``leftImg8bit/<split>/<city>/X_leftImg8bit.png`` with ``gtFine/…/X_gtFine_labelIds.png``.

Groups are cities. The test split is left out, because its public label files have no classes.
"""

from __future__ import annotations

from pathlib import Path

from lanecli.data.layout import Layout, Pair, Request, by_key, files_below, first_folder, match
from lanecli.errors import InputError

_IMAGE, _LABEL = "_leftImg8bit", "_gtFine_labelIds"


def read(request: Request) -> Layout:
    """Pair the pictures and fine labels of the train and val splits."""
    root = request.source
    pictures, labels = first_folder(root, "leftImg8bit"), first_folder(root, "gtFine")

    def key(path: Path, base: Path, suffix: str) -> str:
        return (path.relative_to(base).parent / path.stem.removesuffix(suffix)).as_posix()

    label_files = [p for p in files_below(labels, (".png",)) if p.stem.endswith(_LABEL)]
    if not label_files:
        raise InputError(f"{labels}: no file name ends in {_LABEL}.png; labelIds are needed, not colours or trainIds")
    found, notes = match(
        root,
        by_key((p for p in files_below(pictures) if p.stem.endswith(_IMAGE)), lambda p: key(p, pictures, _IMAGE)),
        by_key(label_files, lambda p: key(p, labels, _LABEL)),
    )
    kept = [item for item in found if not item[0].startswith("test/")]
    if len(kept) < len(found):
        notes += (f"{len(found) - len(kept)} pictures of the test split left out: its public labels have no classes",)
    pairs = tuple(
        Pair(image, name, Path(name).parent.name, label, Path(name).parts[0] if len(Path(name).parts) > 2 else None)
        for name, image, label in kept
    )
    return Layout(
        pairs, "cityscapes-19", "cityscapes", notes=notes, grouping="city", splitting="the folders train and val"
    )
