"""CamVid: 960x720 pictures with colour labels ``X_L.png``, or SegNet's 480x360 copy with class indices.

Sequences are the name up to the frame number (``0016E5``, ``0006R0``, ``Seq05VD``); frames of one are near-duplicates.
The index copy (``train/`` + ``trainannot/``, …) has its lane markings merged into road.
"""

from __future__ import annotations

import re
from pathlib import Path

from lanecli.data.layout import Layout, Pair, Request, by_key, files_below, first_folder, match

_SPLITS = ("train", "val", "test")
_FRAME = re.compile(r"_f?\d+$")


def _sequence(stem: str) -> str:
    return _FRAME.sub("", stem)


def _official(root: Path) -> dict[str, str]:
    """Stem -> split from ``train.txt``, ``val.txt`` and ``test.txt``; the first word of a line names the picture."""
    splits = {}
    for split in _SPLITS:
        path = root / f"{split}.txt"
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                if line.strip():
                    splits[Path(line.split()[0]).stem] = split
    return splits


def read(request: Request) -> Layout:
    """Pair pictures and labels of either copy."""
    root = request.source
    if (root / "trainannot").is_dir():
        return _read_segnet(root)
    pictures = first_folder(root, "images", "701_StillsRaw_full", "CamVid_RGB", "imgs", "image")
    labels = first_folder(root, "labels", "LabeledApproved_full", "CamVid_Label", "Labels", "masks", "label")
    found, notes = match(
        root,
        by_key(files_below(pictures), lambda p: p.stem),
        by_key(files_below(labels), lambda p: p.stem.removesuffix("_L")),
    )
    official = _official(root)
    pairs = tuple(Pair(image, key, _sequence(key), label, official.get(key)) for key, image, label in found)
    return Layout(pairs, "camvid-32", "camvid", notes=notes)


def _read_segnet(root: Path) -> Layout:
    pairs: list[Pair] = []
    notes: list[str] = []
    for split in _SPLITS:
        if not (root / split).is_dir():
            continue
        found, alone = match(
            root / split,
            by_key(files_below(root / split), lambda p: p.stem),
            by_key(files_below(root / f"{split}annot"), lambda p: p.stem),
        )
        notes += alone
        pairs += [Pair(image, f"{split}/{key}", _sequence(key), label, split) for key, image, label in found]
    return Layout(tuple(pairs), "camvid-11", "camvid-index", notes=tuple(notes))
