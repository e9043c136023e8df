"""Scores the rows of a study of ensembles, after fitting what a row needs on the hold-out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.data.manifest import MANIFEST, read_dataset
from lanecli.errors import InputError
from lanecli.inference.ensemble import read_ensemble
from lanecli.inference.ensemble_fit import FittedEnsemble, fit_weights
from lanecli.inference.evaluate import on_dataset, score
from lanecli.inference.prediction import Prediction
from lanecli.inference.predictor import Predictor
from lanecli.inference.recipe import Recipe
from lanecli.inference.study_file import digest, earlier, keep
from lanecli.media import Frame, read_picture
from lanecli.metrics import Truth
from lanecli.metrics.bootstrap import paired_interval, pooled_iou, units_of
from lanecli.metrics.calibration import CalibrationScores
from lanecli.metrics.segmentation import PixelScores, intersection_and_union
from lanecli.training.ensemble_pictures import model_files
from lanecli.training.ensemble_study import BEST, FITTED, SCORES, EnsembleStudy, Row, classes_of
from lanecli.training.members import ENSEMBLE
from lanecli.training.pictures import Pictures, refuse_trained_on
from lanecli.training.soup import Soup, make_soup
from lanecli.training.stacking import fit_stack

REFERENCE = "best single member"
COLUMNS = ("set", "row", "models", "iou", "difference", "low", "high", "nll", "ece", "ms", "pictures", "units")
_HOLD_OUT = "hold-out"
_TIMED = 30  # pictures whose time is measured
Progress = Callable[[str, int, int], None]


class Rows:
    """Scores a study whose models are trained. Rows that are finished are read from its folder."""

    def __init__(
        self, study: EnsembleStudy, *, device: str = "auto", say: Callable[[str], None], progress: Progress
    ) -> None:
        """Set up.

        Args:
            study: the study.
            device: the device the models run on.
            say: called with a line about what is being done.
            progress: called with a row's name, the number of finished pictures and their total.
        """
        self.study, self.device, self.say, self.progress = study, device, say, progress
        self.best = ""
        self._digests: dict[Path, str] = {}

    def table(self) -> list[dict[str, Any]]:
        """Return the rows, :data:`COLUMNS` each; ``low`` and ``high`` are None where there is no interval.

        Raises:
            InputError: models do not go together, or one was trained on pictures of a test set or the hold-out.
        """
        singles = self._singles()
        on_hold_out = {
            name: self._scored(name, Row((model,)), self.study.hold_out, _HOLD_OUT) for name, model in singles.items()
        }
        chosen = max(on_hold_out, key=lambda name: _iou(on_hold_out[name]))
        self.best = singles[chosen]
        self.say(f"{REFERENCE} on the hold-out: {chosen}, IoU {_iou(on_hold_out[chosen]):.4f}")
        rows = []
        for pictures in self.study.sets:
            asked = {**{name: Row((model,)) for name, model in singles.items()}, **self.study.rows}
            found = {name: self._scored(name, row, pictures, pictures.name) for name, row in asked.items()}
            reference = found[chosen]
            rows += [_row(pictures.name, f"{REFERENCE} ({chosen})", reference, reference)]
            rows += [_row(pictures.name, name, result, reference) for name, result in found.items()]
        return rows

    def _singles(self) -> dict[str, str]:
        """Return the single models, from the names of their rows to names of models."""
        folder = self.study.folder(self.study.single)
        models = read_ensemble(folder / ENSEMBLE).models
        names = [Path(model).relative_to(folder).with_suffix("").as_posix() for model in models]
        return {
            f"{self.study.single} {name}": f"{self.study.single}/{Path(model).name}"
            for name, model in zip(names, models, strict=True)
        }

    def _scored(self, name: str, row: Row, pictures: Pictures, place: str) -> dict[str, Any]:
        """Return the result of a row on some pictures, from its file if the same was asked before."""
        row = replace(row, models=tuple(self.best if model == BEST else model for model in row.models))
        study = self.study
        files = self._files(row)
        for file in files:
            refuse_trained_on(file, f"'{pictures.name}'", pictures.samples())
        asked = {
            **self._asked(row, files),
            "data": [str(pictures.root), pictures.split, self._digest(pictures.root / MANIFEST)],
            "class": study.label,
            "backend": study.backend,
            "precision": study.precision,
        }
        target = study.out / SCORES / place / f"{name}.json"
        if (result := earlier(target, asked)) is not None:
            self.say(f"{place}, {name}: done before")
            return result
        self.say(f"{place}, {name}")
        recipe = self._recipe(name, row, files)
        if row.fit == "soup":  # its statistics are of further pictures
            refuse_trained_on(model_files(recipe.models)[0], f"'{pictures.name}'", pictures.samples())
        return keep(target, asked, self._measured(name, recipe, pictures))

    def _asked(self, row: Row, files: Sequence[Path]) -> dict[str, Any]:
        """Return what decides the answers of a row; the hold-out is part of it if something is fitted."""
        hold_out = self.study.hold_out
        fitted = [str(hold_out.root), hold_out.split, self._digest(hold_out.root / MANIFEST)] if row.fit else None
        settings = {**vars(row), "models": list(row.models), "inputs": list(row.inputs)}
        return {**settings, "hold_out": fitted, "files": [self._digest(file) for file in files]}

    def _digest(self, file: Path) -> str:
        """Return the digest of a file, which is read once."""
        if file not in self._digests:
            self._digests[file] = digest(file)
        return self._digests[file]

    def _model(self, name: str) -> str:
        """Return the file behind a name in a row."""
        training, _, part = name.partition("/")
        if training not in self.study.trainings:
            return name
        folder = self.study.folder(training)
        if part:
            return str(folder / part)
        return str(folder / (ENSEMBLE if self.study.trainings[training].request else "model.safetensors"))

    def _files(self, row: Row) -> list[Path]:
        """Return the model files of a row, those of all members."""
        return [file for name in row.models for file in model_files((self._model(name),))]

    def _recipe(self, name: str, row: Row, files: Sequence[Path]) -> Recipe:
        """Return how a row's answers are computed, after fitting it if it must be."""
        if row.fit is not None:
            models: tuple[str, ...] = (str(self._fitted(name, row, files)),)
        elif len(row.models) == 1:
            models = (self._model(row.models[0]),)
        else:
            models = tuple(map(str, files))
        study = self.study
        return Recipe(
            models,
            combine=row.combine,
            tta=row.tta,
            backend=study.backend,
            precision=study.precision,
            device=self.device,
        )

    def _fitted(self, name: str, row: Row, files: Sequence[Path]) -> Path:
        """Return the file of a fit, which is made once for all test sets."""
        study, hold_out = self.study, self.study.hold_out
        out = study.out / FITTED / f"{name}.{'safetensors' if row.fit == 'soup' else 'yaml'}"
        asked, record = self._asked(row, files), study.out / FITTED / f"{name}.json"
        if earlier(record, asked) is not None and out.is_file():
            return out
        out.parent.mkdir(parents=True, exist_ok=True)
        models = [str(file) for file in files]

        def progress(done: int, total: int) -> None:
            self.progress(f"{name}: fit", done, total)

        found: FittedEnsemble | Soup
        if row.fit == "soup":
            root, split = self._training_pictures(row)
            found = make_soup(models, root, out, split=split, device=self.device, progress=progress)
        elif row.fit == "weights":
            found = fit_weights(
                models, hold_out.root, out, split=hold_out.split, criterion=row.criterion, device=self.device,
                progress=progress,
            )  # fmt: skip
        else:
            stacked = row.fit == "stacking"
            found = fit_stack(
                [str(study.folder(each)) for each in row.models] if stacked else models,
                self._training_pictures(row)[0] if stacked else hold_out.root,
                out,
                method=str(row.fit),
                split=hold_out.split,
                inputs=row.inputs,
                context=row.context,
                device=self.device,
                progress=progress,
            )
        for line in found.notes:
            self.say(f"{name}: {line}")
        keep(record, asked, {"figures": found.figures})
        return out

    def _training_pictures(self, row: Row) -> tuple[Path, str]:
        """Return the first dataset of a row's training, and its split."""
        data = self.study.trainings[row.models[0].split("/")[0]].config.each_stage[-1].data
        if not data.root:
            raise InputError(f"'{row.models[0]}' learns from no prepared dataset, which {row.fit} needs")
        return Path(data.root[0]).expanduser(), data.split

    def _measured(self, name: str, recipe: Recipe, pictures: Pictures) -> dict[str, Any]:
        """Return counts of each picture, and the scores of all together."""
        dataset = read_dataset(pictures.root)
        predictor = recipe.open({"planes"})
        classes = classes_of(predictor.label_map, self.study.label)
        calibration = CalibrationScores(predictor.label_map)
        counts: list[list[list[int]]] = []

        def each(prediction: Prediction, truth: Truth, _mask: Path) -> None:
            pixels = PixelScores(predictor.label_map)
            pixels.update(prediction, truth)
            counts.append(intersection_and_union(pixels.counts["pixels"], predictor.label_map)[classes].tolist())
            calibration.update(prediction, truth)

        found = score(
            predictor, dataset, pictures.split, [], lambda done, total: self.progress(name, done, total), each
        )
        samples = dataset.of_split(pictures.split)
        return {
            "counts": counts,
            "groups": [sample.group for sample in samples],
            "nll": calibration.scores()["nll"],
            "ece": calibration.scores()["ece"],
            "ms": _milliseconds(on_dataset(predictor, dataset), [sample.image for sample in samples[:_TIMED]]),
            "members": len(predictor.members),
            "compute": found["compute"],
        }


def _milliseconds(predictor: Predictor, images: Sequence[Path]) -> float:
    """Return the median time from a decoded picture to its prediction, in milliseconds, one picture at a time."""
    times: list[float] = []
    for image in (images[0], *images):  # the first run includes set-up
        frame = Frame.from_rgb(read_picture(image))
        started = time.perf_counter()
        predictor.predict(frame)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times[1:])


def _iou(result: Mapping[str, Any]) -> float:
    return float(pooled_iou(np.array(result["counts"]).sum(0)))


def _row(place: str, name: str, result: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    units = units_of(result["groups"])
    interval = paired_interval(np.array(result["counts"]), np.array(reference["counts"]), units)
    low, high = interval if interval is not None and result is not reference else (None, None)
    iou = _iou(result)
    values = (
        place, name, result["members"], iou, iou - _iou(reference), low, high, result["nll"], result["ece"],
        result["ms"], len(units), int(units.max()) + 1,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))
