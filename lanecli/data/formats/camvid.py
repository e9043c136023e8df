"""CamVid: 960x720 pictures with colour labels ``X_L.png``, or one of its copies.

A sequence is the name up to the frame number (``0016E5``, ``0006R0``, ``Seq05VD``); its frames are nearly duplicates.
SegNet's copy (``train/`` and ``trainannot/``, …) has class indices, with lane markings merged into road. The Kaggle
copy (``train/`` and ``train_labels/``, …) has colours. The fast.ai copy (``images/``, ``labels/X_P.png``,
``codes.txt``, ``valid.txt``) has indices of the 32 names in alphabetical order.
"""

from __future__ import annotations

import re
from pathlib import Path

from lanecli.data.layout import Layout, Pair, Request, by_key, files_below, first_folder, match
from lanecli.data.lists import SplitLists, name_in_list
from lanecli.errors import InputError
from lanecli.labelmaps.camvid import COLORS
from lanecli.labelmaps.lane import BACKGROUND_COLOR, LANE_COLOR
from lanecli.labels import LabelClass, LabelMap
from lanecli.textfiles import numbered_lines

_SPLITS = ("train", "val", "test")
_FRAME = re.compile(r"_f?\d+$")
_SEQUENCE = "CamVid sequence (the name up to the frame number)"
_VOID = "Void"
_PAINT = ("LaneMkgsDriv", "LaneMkgsNonDriv")


def _sequence(stem: str) -> str:
    return _FRAME.sub("", stem)


def read(request: Request) -> Layout:
    """Pair the pictures and labels of whichever copy it is."""
    root = request.source
    if (root / "trainannot").is_dir():
        return _read_by_split(root, "annot", "camvid-11", "camvid-index")
    if (root / "train_labels").is_dir():
        return _read_by_split(root, "_labels", "camvid-32", "camvid")
    pictures = first_folder(root, "images", "701_StillsRaw_full", "CamVid_RGB", "imgs", "image")
    labels = first_folder(root, "labels", "LabeledApproved_full", "CamVid_Label", "Labels", "masks", "label")
    coded = (root / "codes.txt").is_file()
    found, notes = match(
        root,
        by_key(files_below(pictures), lambda p: p.stem),
        by_key(files_below(labels), lambda p: p.stem.removesuffix("_P" if coded else "_L")),
    )
    official = SplitLists()
    for split in _SPLITS:
        path = root / f"{split}.txt"
        if path.is_file():
            official.add(path, split)
    if coded and not official.splits and (root / "valid.txt").is_file():
        held_out = {
            name_in_list(line, f"{root / 'valid.txt'} line {n}") for n, line in numbered_lines(root / "valid.txt")
        }
        official.splits = {key: "val" if key in held_out else "train" for key, _, _ in found}
        official.files.append("valid.txt")
    pairs, unlisted = official.apply(Pair(image, key, _sequence(key), label) for key, image, label in found)
    splitting = f"the lists {', '.join(official.files)}"
    if not coded:
        return Layout(pairs, "camvid-32", "camvid", notes=(*notes, *unlisted), grouping=_SEQUENCE, splitting=splitting)
    codes = _codes(root / "codes.txt")
    return Layout(
        pairs,
        _map_of_codes(codes),
        "camvid-codes",
        labels=codes,
        lane=lambda: _lane_of_codes(codes),
        notes=(*notes, *unlisted),
        grouping=_SEQUENCE,
        splitting=splitting,
    )


def _codes(path: Path) -> dict[str, int]:
    """Return the index of each class name. An incomplete list is completed with the names in alphabetical order."""
    usual = sorted([*COLORS, _VOID], key=str.lower)
    names = [line for _, line in numbered_lines(path)]
    if [n.lower() for n in names] == [n.lower() for n in usual[: len(names)]]:
        names = usual
    if len(set(names)) < len(names) or len(names) > 254:
        raise InputError(f"{path}: names a class twice, or more than 254 classes")
    return {name: index for index, name in enumerate(names)}


def _map_of_codes(codes: dict[str, int]) -> LabelMap:
    classes = [
        LabelClass(name, COLORS.get(name, (128, 128, 128)), (index,)) for name, index in codes.items() if name != _VOID
    ]
    return LabelMap("camvid-32", tuple(classes), (codes[_VOID],) if _VOID in codes else (), background=None)


def _lane_of_codes(codes: dict[str, int]) -> LabelMap:
    lane = tuple(index for name, index in codes.items() if name in _PAINT)
    if not lane:
        raise InputError(
            f"codes.txt names neither {' nor '.join(_PAINT)}, so the dataset cannot be prepared with label map 'lane'"
        )
    rest = tuple(index for name, index in codes.items() if name not in (*_PAINT, _VOID))
    return LabelMap(
        "lane",
        (LabelClass("background", BACKGROUND_COLOR, rest), LabelClass("lane marking", LANE_COLOR, lane)),
        (codes[_VOID],) if _VOID in codes else (),
    )


def _read_by_split(root: Path, labels: str, classes: str, key: str) -> Layout:
    """Pair the pictures and labels of a copy with a folder of each for every split."""
    pairs: list[Pair] = []
    notes: list[str] = []
    for split in _SPLITS:
        if not (root / split).is_dir():
            continue
        found, alone = match(
            root / split,
            by_key(files_below(root / split), lambda p: p.stem),
            by_key(files_below(root / f"{split}{labels}"), lambda p: p.stem.removesuffix("_L")),
        )
        notes += alone
        pairs += [Pair(image, f"{split}/{name}", _sequence(name), label, split) for name, image, label in found]
    return Layout(
        tuple(pairs),
        classes,
        key,
        notes=tuple(notes),
        grouping=_SEQUENCE,
        splitting=f"the folders {', '.join(dict.fromkeys(str(p.split) for p in pairs))}",
    )
