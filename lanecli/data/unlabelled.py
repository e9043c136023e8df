"""Pictures without labels, to be learned from through a teacher's answers."""

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
from lanecli.media.sources import Source as File
from lanecli.media.sources import expand_sources

ANSWERS = ".probabilities.npz"
"""Ending of the files that ``lanecli predict --save probabilities`` writes for pictures."""
_LARGEST_PLANE = 64 << 20  # pixels; a file that claims more is not read


def is_answers(teacher: str) -> bool:
    """Whether `teacher` is a folder of answers stored by ``lanecli predict --save probabilities``, not a model."""
    folder = Path(teacher).expanduser()
    if not folder.is_dir() or (folder / "model.safetensors").is_file():
        return False
    return next(folder.rglob(f"*{ANSWERS}"), None) is not None


def find_pictures(folders: Sequence[str]) -> list[File]:
    """The pictures in `folders`, their subfolders included, sorted by path.

    Raises InputError naming the folder: it does not exist, or holds no picture.
    """
    pictures: list[File] = []
    for folder in folders:
        path = Path(folder).expanduser()
        if not path.is_dir():
            what = "is no folder" if path.exists() else "does not exist"
            raise InputError(f"data.unlabelled: {folder} {what}; of a video, lanecli prepare frames makes one")
        here = [file for file in expand_sources([path]) if file.kind == "image"]
        if not here:
            raise InputError(f"data.unlabelled: {folder} holds no picture")
        pictures += here
    return pictures


class UnlabelledSource:
    """Pictures without labels; with a folder of stored answers, pictures labelled where those are sure.

    Attributes:
        taught: whether masks come from stored answers; without, a mask says only where there is a picture.
    """

    def __init__(
        self, folders: Sequence[str], label_map: LabelMap, answers: str | None = None, confidence: float = 0.8
    ) -> None:
        """Find the pictures and, where they are stored, their answers.

        Args:
            folders: of pictures.
            label_map: the classes trained.
            answers: a folder of stored probabilities, laid out as ``lanecli predict --save probabilities`` does.
            confidence: the probability from which on a stored answer is taken for a label.

        Raises:
            InputError: a folder holds no picture, or a picture has no stored answer.
        """
        self.files, self.label_map, self.confidence = find_pictures(folders), label_map, confidence
        self.weights: np.ndarray | None = None
        self.taught = answers is not None
        self._answers: list[Path] = []
        if answers is not None:
            base = Path(answers).expanduser()
            self._answers = [base / file.relative / f"{file.stem}{ANSWERS}" for file in self.files]
            for file, answer in zip(self.files, self._answers, strict=True):
                if not answer.is_file():
                    raise InputError(f"teacher: {file.path} has no answer {answer}")

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8 RGB and (H, W) uint8: train ids where a stored answer is sure, else 255; 0 without answers.

        Raises InputError naming a file that cannot be read.
        """
        picture = read_picture(self.files[index].path)
        if not self.taught:
            return picture, np.zeros(picture.shape[:2], np.uint8)
        planes = read_answer(self._answers[index], len(self.label_map.classes))
        size = (picture.shape[1], picture.shape[0])
        if planes.shape[1:] != picture.shape[:2]:
            planes = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in planes])
        return picture, sure_labels(planes, self.label_map, self.confidence)

    def sizes(self) -> list[tuple[int, int]]:
        """(width, height) of every picture, from its header. Raises InputError naming one that cannot be read."""
        return [picture_size(file.path) for file in self.files]


def read_answer(path: Path, classes: int) -> np.ndarray:
    """(C, H, W) float32 in 0..1 from a file of stored probabilities; its size is checked before any of it is unpacked.

    Raises InputError naming it.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("probabilities.npy") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, kind = header(file)
        if len(shape) != 3 or shape[0] != classes or kind.kind != "f":
            raise InputError(f"{path}: holds {kind} {shape}; {classes} planes of probabilities are expected")
        if shape[1] * shape[2] > _LARGEST_PLANE or not shape[1] * shape[2]:
            raise InputError(f"{path}: {shape[2]}x{shape[1]} pixels are none, or too many")
        with np.load(path) as file:  # no objects: numpy refuses them unless it is told otherwise
            return np.asarray(file["probabilities"], np.float32)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: not readable as stored probabilities ({error})") from error


def sure_labels(planes: np.ndarray, label_map: LabelMap, confidence: float) -> np.ndarray:
    """(H, W) uint8: the likeliest class where its probability is at least `confidence`, else 255 (ignored).

    Of several labels at once each must be sure, as present or as absent; a sure one is a bit of the result.

    Args:
        planes: (C, H, W) probabilities.
        label_map: says whether one class of many holds or several.
        confidence: in 0..1.
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
