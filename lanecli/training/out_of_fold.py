"""Out-of-fold predictions: each picture is predicted by the member of a learner that has not seen it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lanecli.data.manifest import Sample, read_dataset, safe_relative
from lanecli.errors import InputError, reading
from lanecli.inference.backends.base import Answer, Backend, Load
from lanecli.inference.ensemble_fit import refuse_seen
from lanecli.inference.evaluate import geometry_on
from lanecli.inference.member import Member, MemberAnswer
from lanecli.labels import LabelMap, planes_of
from lanecli.media import Frame
from lanecli.modelfile import ModelSpec, read_spec
from lanecli.textfiles import read_text
from lanecli.training.folds import COLUMNS
from lanecli.training.members import ENSEMBLE, OUT_OF_FOLD


class _StoredAnswers(Backend):
    """Stands for a backend whose answers are stored already."""

    name, precision, device = "stored", "fp16", "cpu"

    def __init__(self, spec: ModelSpec, size: tuple[int, int]) -> None:
        self.load, self.spec, self.size = Load(Path()), spec, size

    def submit(self, pictures: np.ndarray, seed: int | None = None) -> Answer:
        raise NotImplementedError


class OutOfFold:
    """The stored predictions of several folders of ``lanecli train --folds N``; each folder is a learner.

    Attributes:
        samples: the samples of the dataset for which every learner has a prediction.
        label_map: the classes.
        members: the folder of each member, and the number of its learner.
    """

    def __init__(self, folders: Sequence[str], root: Path) -> None:
        """Read the manifests and the headers of the models.

        Args:
            folders: one or more folders; ``ensemble.yaml`` of a folder stands for the folder, too.
            root: the prepared dataset that was divided into folds.

        Raises:
            InputError: a folder has no such predictions or other classes, or a member has seen its pictures in
                training.
        """
        self._dataset = read_dataset(root)
        self.label_map: LabelMap = self._dataset.label_map
        self._folders = [_folder(name) for name in folders]
        manifests = [_read(folder) for folder in self._folders]
        resolved = [(sample, str(sample.image.resolve())) for sample in self._dataset.samples]
        self.samples: tuple[Sample, ...] = tuple(
            sample for sample, image in resolved if all(image in rows for rows in manifests)
        )
        if not self.samples:
            raise InputError(f"{root}: none of its pictures has a prediction in each of {', '.join(folders)}")
        self._specs: dict[tuple[int, str], ModelSpec] = {}
        self.members: list[tuple[str, int]] = []
        for number, (folder, rows) in enumerate(zip(self._folders, manifests, strict=True)):
            for name in sorted({member for member, _ in rows.values()}):
                spec = read_spec(folder / name / "model.safetensors")
                if not spec.label_map.same_classes(self.label_map):
                    raise InputError(
                        f"{folder / name} has the classes {', '.join(spec.label_map.names)}, not those of {root}"
                    )
                own = [sample for sample, image in resolved if rows.get(image, ("", ""))[0] == name]
                refuse_seen(str(folder / name), spec.provenance.get("trained_on"), own, f"its own fold of {root}")
                self._specs[number, name] = spec
                self.members.append((str(folder / name), number))
        self._rows = [[rows[str(sample.image.resolve())] for sample in self.samples] for rows in manifests]

    def asking(
        self, inputs: Callable[[np.ndarray], np.ndarray]
    ) -> Callable[[Frame, np.ndarray, int], list[np.ndarray]]:
        """Return a function that gives the inputs of the meta-model at pixels of a sample: (F, pixels) per learner."""

        def answer(frame: Frame, places: np.ndarray, number: int) -> list[np.ndarray]:
            answers = []
            for learner in range(len(self._folders)):
                values = inputs(self._planes(frame, learner, number))
                answers.append(values.reshape(len(values), -1)[:, places])
            return answers

        return answer

    def _planes(self, frame: Frame, learner: int, number: int) -> np.ndarray:
        """Return planes (K, H, W) float32 at the size of the frame, resized as in `predict`."""
        member, file = self._rows[learner][number]
        spec, path = self._specs[learner, member], self._folders[learner] / OUT_OF_FOLD / file
        with reading(path, "as stored probabilities"), np.load(path) as stored:
            probabilities = stored["probabilities"].astype(np.float32)
            if probabilities.ndim != 3 or len(probabilities) != len(spec.label_map.classes):
                raise ValueError(f"probabilities of shape {probabilities.shape}")
        backend = _StoredAnswers(spec, (probabilities.shape[2], probabilities.shape[1]))
        member_of_backend = Member(backend, geometry_on(self._dataset, spec.geometry), self.label_map)
        planes = np.ascontiguousarray(planes_of(probabilities, spec.label_map))
        return MemberAnswer(member_of_backend, member_of_backend.place(frame), {"planes": planes}, frame).planes()


def _folder(name: str) -> Path:
    path = Path(name).expanduser()
    path = path.parent if path.name == ENSEMBLE else path
    if not (path / OUT_OF_FOLD / "manifest.csv").is_file():
        raise InputError(
            f"{name} holds no {OUT_OF_FOLD}/manifest.csv: stacking needs folders of 'lanecli train --folds N'; "
            "for other models use --method blending"
        )
    return path


def _read(folder: Path) -> dict[str, tuple[str, str]]:
    """Read a manifest: from the path of each picture to the member that has not seen it, and the file it wrote."""
    path = folder / OUT_OF_FOLD / "manifest.csv"
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    with reading(path, "as a manifest of predictions"):
        if tuple(next(rows, [])) != COLUMNS:
            raise ValueError(f"its first line is not {','.join(COLUMNS)}")
        files = {}
        for image, _mask, member, file in (row for row in rows if row):
            name = safe_relative(member).name
            files[str(Path(image).resolve())] = (name, str(safe_relative(file)))
    return files
