"""Reads and writes prepared datasets: ``manifest.csv``, ``dataset.yaml`` and ``masks/``.

``manifest.csv`` has the columns image, mask, split and group. Every path in it is relative, with forward slashes and
without ``..``. ``mask`` is relative to the dataset's folder. So is ``image`` if ``dataset.yaml`` says ``pictures:
dataset``, since pictures were cropped or resized into ``images/``. If it says ``pictures: source``, ``image`` is
relative to the folder named by ``source``, where the pictures stayed. So no path leads outside these two folders.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

import lanecli
from lanecli import atomic
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labels import LabelMap
from lanecli.textfiles import decode_utf8, read_bytes, read_yaml

MANIFEST = "manifest.csv"
DESCRIPTION = "dataset.yaml"
COLUMNS = ("image", "mask", "split", "group")
IGNORED = "ignored"
"""The key of ignored pixels among the pixel counts."""


@dataclass(frozen=True)
class Sample:
    """One picture with its mask of train ids.

    Attributes:
        image: absolute path of the picture.
        mask: absolute path of the 8-bit PNG of train ids.
        split: ``"train"``, ``"val"``, …
        group: the recording, clip, sequence or city it is from; a group must not be divided among splits.
    """

    image: Path
    mask: Path
    split: str
    group: str


@dataclass(frozen=True)
class DatasetInfo:
    """A prepared dataset.

    Attributes:
        root: the dataset's folder.
        samples: the samples in the order of the manifest.
        label_map: the classes of the masks.
        geometry: the crop and resize that pictures and masks have had; the identity if they were not changed.
        pixel_counts: number of pixels by split and class name, with ignored ones under ``"ignored"``.
        format: the format it was prepared from, or ``"synth"``.
        source: the folder it was prepared from, where pictures that were not changed still are.
        prepared: lines that say how ``classes``, ``annotations``, ``groups`` and ``splits`` were chosen.
    """

    root: Path
    samples: tuple[Sample, ...]
    label_map: LabelMap
    geometry: Geometry = field(default_factory=Geometry)
    pixel_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    format: str = "folder"
    source: Path | None = None
    prepared: Mapping[str, str] = field(default_factory=dict)

    @property
    def splits(self) -> dict[str, int]:
        """Number of samples by split, in order of first appearance."""
        return dict(Counter(s.split for s in self.samples))

    def of_split(self, split: str) -> tuple[Sample, ...]:
        """Return the samples of one split. Raises InputError with the existing splits if it has no samples."""
        chosen = tuple(s for s in self.samples if s.split == split)
        if not chosen:
            existing = ", ".join(f"{name} ({count})" for name, count in self.splits.items()) or "none"
            raise InputError(f"{self.root}: no sample is in split '{split}'; the splits are: {existing}")
        return chosen


def safe_relative(text: str) -> PurePosixPath:
    """Return `text` as a relative path that stays below its folder. Raises ValueError for any other path.

    Example:
        >>> safe_relative("masks/a.png").name
        'a.png'
        >>> safe_relative("../a.png")
        Traceback (most recent call last):
        ValueError: '../a.png' is not a relative path below its folder
    """
    path = PurePosixPath(text)
    windows = PureWindowsPath(text)
    if not text or path.is_absolute() or windows.drive or windows.root or ".." in windows.parts or "\0" in text:
        raise ValueError(f"'{text}' is not a relative path below its folder")
    return path


def _below(path: Path, folder: Path) -> str:
    return safe_relative(Path(os.path.abspath(path)).relative_to(os.path.abspath(folder)).as_posix()).as_posix()


def picture_names(info: DatasetInfo) -> tuple[str, list[str]]:
    """Return ``"dataset"`` or ``"source"``, the folder that holds the pictures, and their paths relative to it.

    Raises:
        InputError: neither folder holds all pictures.
    """
    try:
        return "dataset", [_below(sample.image, info.root) for sample in info.samples]
    except ValueError:
        if info.source is None:
            raise InputError(f"{info.root}: pictures are outside the dataset, and it names no source folder") from None
    try:
        return "source", [_below(sample.image, info.source) for sample in info.samples]
    except ValueError as error:
        raise InputError(f"{info.root}: a picture is outside the dataset and its source folder: {error}") from error


def write_dataset(info: DatasetInfo) -> None:
    """Write ``manifest.csv`` and ``dataset.yaml``, each completely or not at all. Masks and pictures exist already.

    Raises:
        InputError: a mask is outside the dataset's folder, or not all pictures are in that folder or in the source.
    """
    info.root.mkdir(parents=True, exist_ok=True)
    pictures, names = picture_names(info)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    try:
        for name, s in zip(names, info.samples, strict=True):
            writer.writerow((name, _below(s.mask, info.root), s.split, s.group))
    except ValueError as error:
        raise InputError(f"{info.root}: a mask is outside the dataset: {error}") from error
    description: dict[str, Any] = {
        "format": info.format,
        "source": str(info.source.absolute()) if info.source else None,
        "pictures": pictures,
        "lanecli": lanecli.__version__,
        "splits": info.splits,
        "prepared": dict(info.prepared),
        "geometry": info.geometry.to_dict(),
        "pixel_counts": {split: dict(counts) for split, counts in info.pixel_counts.items()},
        "label_map": info.label_map.to_dict(),
    }
    atomic.write(info.root / MANIFEST, text.getvalue().encode())
    described = yaml.safe_dump(description, sort_keys=False, allow_unicode=True, width=120)
    atomic.write(info.root / DESCRIPTION, described.encode())


def pictures_folder(root: Path) -> Path:
    """Return the folder that picture names of a dataset are relative to: its own, or its source folder."""
    if not (root / DESCRIPTION).is_file():
        return root
    data = read_yaml(root / DESCRIPTION)
    source = data.get("source") if isinstance(data, dict) and data.get("pictures") == "source" else None
    return Path(source) if isinstance(source, str) else root


def cropped_by_prepare(picture: Path) -> tuple[Path, str] | None:
    """Return the dataset that a cropped picture belongs to, and a warning for the user; None for any other picture.

    A model crops its input, so it would crop such a picture a second time.
    """
    picture = Path(os.path.abspath(picture))
    root = next((folder.parent for folder in picture.parents if folder.name == "images"), None)
    if root is None or not (root / MANIFEST).is_file() or not (root / DESCRIPTION).is_file():
        return None
    try:
        crop = Geometry.from_dict(_read_description(root).get("geometry") or {}).crop
    except InputError:
        return None
    if not any(crop):
        return None
    margins = ", ".join(
        f"{m:g} at the {side}" for m, side in zip(crop, ("left", "top", "right", "bottom"), strict=True) if m
    )
    return (
        root,
        f"pictures below {root / 'images'} were cropped by 'lanecli prepare' ({margins}); predict the original "
        "pictures instead",
    )


def _read_description(root: Path) -> dict[str, Any]:
    path = root / DESCRIPTION
    if not path.is_file() or not (root / MANIFEST).is_file():
        raise InputError(
            f"{root}: is not a prepared dataset, since {DESCRIPTION} or {MANIFEST} is missing; make one with "
            "'lanecli prepare FORMAT SRC --out DIR'"
        )
    data = read_yaml(path)
    if not isinstance(data, dict) or "label_map" not in data:
        raise InputError(f"{path}: has no label_map; prepare the dataset again")
    return data


def read_dataset(root: Path) -> DatasetInfo:
    """Read a prepared dataset.

    Args:
        root: the folder that `lanecli prepare` or `lanecli synth` wrote.

    Raises:
        InputError: it is not a prepared dataset; or a line of the manifest is malformed, leads outside the dataset, or
            names a missing file.
    """
    root = Path(os.path.abspath(root))
    data = _read_description(root)
    if not isinstance(data.get("source"), str | None):
        raise InputError(f"{root / DESCRIPTION}: 'source' is not a path")
    source = Path(data["source"]) if data.get("source") else None
    base = root
    if data.get("pictures") == "source":
        if source is None or not source.is_dir():
            raise InputError(
                f"{root / DESCRIPTION}: the pictures' folder '{source}' does not exist; restore it, correct 'source', "
                "or prepare the dataset again"
            )
        base = source
    try:
        label_map = LabelMap.from_dict(data["label_map"])
        geometry = Geometry.from_dict(data.get("geometry") or {})
        counts = {
            str(split): {str(name): int(n) for name, n in classes.items()}
            for split, classes in (data.get("pixel_counts") or {}).items()
        }
        if any(count < 0 for classes in counts.values() for count in classes.values()):
            raise ValueError("a pixel count is negative")
        prepared = {str(key): str(line) for key, line in (data.get("prepared") or {}).items()}
    except (InputError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{root / DESCRIPTION}: {error!s:.500}") from error
    samples = _read_manifest(root, base)
    name = str(data.get("format", "folder"))
    return DatasetInfo(root, samples, label_map, geometry, counts, name, source, prepared)


def _read_manifest(root: Path, base: Path) -> tuple[Sample, ...]:
    path = root / MANIFEST
    samples = []
    rows = csv.reader(io.StringIO(decode_utf8(read_bytes(path), path), newline=""))
    try:
        header = next(rows, [])
        if tuple(header) != COLUMNS:
            raise InputError(f"{path}: the first line is '{','.join(header):.200}', not '{','.join(COLUMNS)}'")
        for row in rows:
            if not row:
                continue
            where = f"{path} line {rows.line_num}"
            if len(row) != len(COLUMNS):
                raise InputError(f"{where}: has {len(row)} columns, not {len(COLUMNS)}")
            try:
                image, mask = base / safe_relative(row[0]), root / safe_relative(row[1])
            except ValueError as error:
                raise InputError(f"{where}: {error}") from error
            for file_path in (image, mask):
                if not _is_file(file_path):
                    raise InputError(f"{where}: {file_path} does not exist")
            samples.append(Sample(image, mask, row[2], row[3]))
    except csv.Error as error:
        raise InputError(f"{path}: not readable as CSV: {error}") from error
    if not samples:
        raise InputError(f"{path}: lists no sample")
    return tuple(samples)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for the file system
        return False
