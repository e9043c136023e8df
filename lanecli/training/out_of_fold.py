"""What several learners say of the pictures they were trained on, each by its member that has not seen them."""

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


class _Kept(Backend):
    """A member that has answered already."""

    name, precision, device = "kept", "fp16", "cpu"

    def __init__(self, spec: ModelSpec, size: tuple[int, int]) -> None:
        self.load, self.spec, self.size = Load(Path()), spec, size

    def submit(self, pictures: np.ndarray, seed: int | None = None) -> Answer:
        raise NotImplementedError


class OutOfFold:
    """The kept answers of several folders of ``lanecli train --folds N``, which are the learners.

    Attributes:
        samples: of the dataset that every learner has an answer for.
        label_map: the classes.
        members: the folder of each member, and the number of its learner.
    """

    def __init__(self, folders: Sequence[str], root: Path) -> None:
        """Read manifests and model headers.

        Args:
            folders: one or more; a folder's ``ensemble.yaml`` stands for the folder.
            root: the prepared dataset the folds were cut from.

        Raises:
            InputError: a folder holds no such answers, has other classes, or a member has seen what it answers.
        """
        self._dataset = read_dataset(root)
        self.label_map: LabelMap = self._dataset.label_map
        self._folders = [_folder(name) for name in folders]
        found = [_read(folder) for folder in self._folders]
        resolved = [(sample, str(sample.image.resolve())) for sample in self._dataset.samples]
        self.samples: tuple[Sample, ...] = tuple(
            sample for sample, image in resolved if all(image in rows for rows in found)
        )
        if not self.samples:
            raise InputError(f"{root}: none of its pictures has an answer in every one of {', '.join(folders)}")
        self._specs: dict[tuple[int, str], ModelSpec] = {}
        self.members: list[tuple[str, int]] = []
        for number, (folder, rows) in enumerate(zip(self._folders, found, strict=True)):
            for name in sorted({member for member, _ in rows.values()}):
                spec = read_spec(folder / name / "model.safetensors")
                if not spec.label_map.same_classes(self.label_map):
                    raise InputError(f"{folder / name} knows {', '.join(spec.label_map.names)}: not what {root} has")
                own = [sample for sample, image in resolved if rows.get(image, ("", ""))[0] == name]
                refuse_seen(str(folder / name), spec.provenance.get("trained_on"), own, f"its own fold of {root}")
                self._specs[number, name] = spec
                self.members.append((str(folder / name), number))
        self._rows = [[rows[str(sample.image.resolve())] for sample in self.samples] for rows in found]

    def asking(
        self, inputs: Callable[[np.ndarray], np.ndarray]
    ) -> Callable[[Frame, np.ndarray, int], list[np.ndarray]]:
        """What learners say at places of sample number n, an (F, places) array each."""

        def answer(frame: Frame, places: np.ndarray, number: int) -> list[np.ndarray]:
            found = []
            for learner in range(len(self._folders)):
                values = inputs(self._planes(frame, learner, number))
                found.append(values.reshape(len(values), -1)[:, places])
            return found

        return answer

    def _planes(self, frame: Frame, learner: int, number: int) -> np.ndarray:
        """(K, H, W) float32 at the frame's size, as `predict` brings an answer back."""
        member, file = self._rows[learner][number]
        spec, path = self._specs[learner, member], self._folders[learner] / OUT_OF_FOLD / file
        with reading(path, "as kept probabilities"), np.load(path) as kept:
            probabilities = kept["probabilities"].astype(np.float32)
            if probabilities.ndim != 3 or len(probabilities) != len(spec.label_map.classes):
                raise ValueError(f"probabilities of shape {probabilities.shape}")
        backend = _Kept(spec, (probabilities.shape[2], probabilities.shape[1]))
        asked = Member(backend, geometry_on(self._dataset, spec.geometry), self.label_map)
        planes = np.ascontiguousarray(planes_of(probabilities, spec.label_map))
        return MemberAnswer(asked, asked.place(frame), {"planes": planes}, frame).planes()


def _folder(name: str) -> Path:
    path = Path(name).expanduser()
    path = path.parent if path.name == ENSEMBLE else path
    if not (path / OUT_OF_FOLD / "manifest.csv").is_file():
        raise InputError(
            f"{name} holds no {OUT_OF_FOLD}/manifest.csv: stacking is fitted to folders of 'lanecli train --folds N'; "
            "for other models there is --method blending"
        )
    return path


def _read(folder: Path) -> dict[str, tuple[str, str]]:
    """Path of each picture to the member that has not seen it, and the file of its answer."""
    path = folder / OUT_OF_FOLD / "manifest.csv"
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    with reading(path, "as a manifest of answers"):
        if tuple(next(rows, [])) != COLUMNS:
            raise ValueError(f"its first line is not {','.join(COLUMNS)}")
        found = {}
        for image, _mask, member, file in (row for row in rows if row):
            name = safe_relative(member).name
            found[str(Path(image).resolve())] = (name, str(safe_relative(file)))
    return found
