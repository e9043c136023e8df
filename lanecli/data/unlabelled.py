"""Pictures without labels, which a model learns from by the predictions of a teacher model."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from lanecli.errors import InputError
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media.pictures import picture_size, read_picture
from lanecli.media.sources import Source, expand_sources

ANSWERS = ".probabilities.npz"
"""Ending of the names of the files that ``lanecli predict --save probabilities`` writes for pictures."""
_LARGEST_PLANE = 64 << 20  # pixels; a file that declares more is not read


def holds_answers(teacher: str) -> bool:
    """Whether `teacher` is a folder of predictions from ``lanecli predict --save probabilities`` and not a model."""
    folder = Path(teacher).expanduser()
    if not folder.is_dir() or (folder / "model.safetensors").is_file():
        return False
    return next(folder.rglob(f"*{ANSWERS}"), None) is not None


def find_pictures(folders: Sequence[str]) -> list[Source]:
    """Return the pictures in `folders` and their subfolders, sorted by path.

    Raises:
        InputError: a folder does not exist, or holds no picture.
    """
    pictures: list[Source] = []
    for folder in folders:
        path = Path(folder).expanduser()
        if not path.is_dir():
            what = "is not a folder" if path.exists() else "does not exist"
            raise InputError(
                f"data.unlabelled: {folder} {what}; 'lanecli prepare frames' writes the frames of a video into one"
            )
        images = [file for file in expand_sources([path]) if file.kind == "image"]
        if not images:
            raise InputError(f"data.unlabelled: {folder} holds no picture")
        pictures += images
    return pictures


class UnlabelledPictures:
    """Pictures without labels, or with pseudo-labels wherever stored predictions of a teacher are confident.

    Attributes:
        has_answers: whether there are stored predictions; without them, a mask only says where there is a picture.
    """

    def __init__(
        self, folders: Sequence[str], label_map: LabelMap, answers: str | None = None, confidence: float = 0.8
    ) -> None:
        """Find the pictures and their stored predictions, if any.

        Args:
            folders: folders of pictures.
            label_map: the classes to train.
            answers: the output folder of ``lanecli predict --save probabilities`` for these pictures, or None.
            confidence: smallest probability, in 0..1, for which a stored prediction becomes a label.

        Raises:
            InputError: a folder holds no picture, or a picture has no stored prediction.
        """
        self.files, self.label_map, self.confidence = find_pictures(folders), label_map, confidence
        self.weights: np.ndarray | None = None
        self.has_answers = answers is not None
        self._answers: list[Path] = []
        if answers is not None:
            base = Path(answers).expanduser()
            self._answers = [base / file.relative / f"{file.stem}{ANSWERS}" for file in self.files]
            for file, answer in zip(self.files, self._answers, strict=True):
                if not answer.is_file():
                    raise InputError(f"teacher: {file.path} has no stored prediction {answer}")

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (H, W, 3) uint8 RGB and (H, W) uint8 train ids.

        The ids are those of the stored prediction where it is confident, and 255 elsewhere. Without stored predictions
        all are 0.

        Raises:
            InputError: a file cannot be read.
        """
        picture = read_picture(self.files[index].path)
        if not self.has_answers:
            return picture, np.zeros(picture.shape[:2], np.uint8)
        planes = read_answer(self._answers[index], len(self.label_map.classes))
        size = (picture.shape[1], picture.shape[0])
        if planes.shape[1:] != picture.shape[:2]:
            planes = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in planes])
        return picture, pseudo_labels(planes, self.label_map, self.confidence)

    def sizes(self) -> list[tuple[int, int]]:
        """Return the (width, height) of every picture, from its header. Raises InputError if one cannot be read."""
        return [picture_size(file.path) for file in self.files]


def read_answer(path: Path, classes: int) -> np.ndarray:
    """Read a file of stored probabilities. Its size is checked before anything is unpacked.

    Args:
        path: the file.
        classes: the number of classes C.

    Returns:
        (C, H, W) float32 in 0..1.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("probabilities.npy") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, kind = header(file)
        if len(shape) != 3 or shape[0] != classes or kind.kind != "f":
            raise InputError(f"{path}: holds {kind} {shape}, not {classes} planes of probabilities")
        if shape[1] * shape[2] > _LARGEST_PLANE or not shape[1] * shape[2]:
            raise InputError(f"{path}: {shape[2]}x{shape[1]} is not a valid picture size")
        with np.load(path) as file:  # numpy refuses pickled objects by default
            return np.asarray(file["probabilities"], np.float32)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: not readable as stored probabilities ({error})") from error


def pseudo_labels(planes: np.ndarray, label_map: LabelMap, confidence: float) -> np.ndarray:
    """Return (H, W) uint8: the most probable class where its probability is at least `confidence`, else 255 (ignored).

    With a multi-label map, every label must be present or absent with that confidence, and each label that is present
    is a bit of the result.

    Args:
        planes: (C, H, W) probabilities.
        label_map: the classes.
        confidence: the smallest probability, in 0..1.

    Example:
        >>> from lanecli.labelmaps import label_map
        >>> pseudo_labels(np.array([[[0.9, 0.4]], [[0.1, 0.6]]]), label_map("lane"), 0.8)
        array([[  0, 255]], dtype=uint8)
    """
    if label_map.multilabel:
        present = planes >= 0.5
        sure = np.maximum(planes, 1 - planes).min(0) >= confidence
        bits = np.left_shift(1, np.arange(len(planes)))[:, None, None]
        labels = (present * bits).sum(0).astype(np.uint8)
    else:
        labels = planes.argmax(0).astype(np.uint8)
        sure = planes.max(0) >= confidence
    labels[~sure] = IGNORE_ID
    return labels
