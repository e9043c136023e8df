"""The pictures of a run, and what its datasets have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lanecli.config import Config
from lanecli.data.dataset import LabelledPictures, PreparedPictures, SyntheticPictures
from lanecli.data.fingerprint import fingerprint
from lanecli.data.manifest import Sample, read_dataset
from lanecli.data.unlabelled import UnlabelledPictures, holds_answers
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labels import LabelMap
from lanecli.training.folds import fold_of, parse_fold

SYNTHETIC_SCENES = 2000
SYNTHETIC_VALIDATION = 64
_VALIDATION_SEED = 1_000_000_000  # far from any training scene's seed
OWN_AVERAGE = "ema"
"""The value of `teacher` for the averaged weights of the run itself."""


class TrainingData:
    """The collections of training and validation pictures, and what the datasets have in common.

    Attributes:
        label_map: the classes.
        crop: the crop of the datasets, as shares of the frame.
        pixel_counts: number of pixels of each class in the training pictures; None for procedural scenes.
        training: the collections of training pictures.
        validation: the collections of validation pictures.
        seen: the samples of prepared datasets that are used for training.
        fingerprint: identifies these samples in the model's provenance; None for procedural scenes.
        held_out: the samples of the training split that `data.fold` leaves out.
        unlabelled: pictures without labels, if `data.unlabelled` names some.
    """

    def __init__(self, config: Config) -> None:
        """Read the datasets that `config.data` names. Raises InputError if they do not fit together."""
        self.label_map: LabelMap
        self.fingerprint: dict[str, Any] | None = None
        self.crop: tuple[float, float, float, float] = config.data.geometry.crop
        self.pixel_counts: list[int] | None = None
        self.training: list[LabelledPictures] = []
        self.validation: list[LabelledPictures] = []
        self.seen: list[Sample] = []
        self.held_out: list[Sample] = []
        self.unlabelled: UnlabelledPictures | None = None
        self._find(config)
        if config.data.unlabelled:
            teacher = config.teacher
            answers = teacher if teacher and teacher != OWN_AVERAGE and holds_answers(teacher) else None
            self.unlabelled = UnlabelledPictures(
                config.data.unlabelled, self.label_map, answers, config.data.confidence
            )

    def _find(self, config: Config) -> None:
        if not config.data.root:
            self.training = [SyntheticPictures(config.data.samples or SYNTHETIC_SCENES, config.train.seed * 10_000_019)]
            self.validation = [SyntheticPictures(SYNTHETIC_VALIDATION, _VALIDATION_SEED)]
            self.label_map = self.training[0].label_map
            return
        self._read(config)

    def _read(self, config: Config) -> None:
        infos = [(root, read_dataset(Path(root).expanduser())) for root in config.data.root]
        first_root, first = infos[0]
        self.label_map = first.label_map
        crops = {info.geometry.crop for _, info in infos}
        if len(crops) == 1 and any(crop := crops.pop()):
            if any(self.crop):
                raise InputError(f"{first_root} was prepared with crop {crop}; leave data.geometry.crop out")
            self.crop = crop
        elif crops and len(crops) > 1:
            raise InputError(f"the datasets were prepared with different crops: {sorted(crops)}")
        counts = [0] * len(self.label_map.classes)
        for root, info in infos:
            if not info.label_map.same_classes(self.label_map):
                raise InputError(
                    f"{root} has classes {', '.join(info.label_map.names)}; "
                    f"{first_root} has {', '.join(self.label_map.names)}: datasets of one training must share classes"
                )
            splits = {sample.split for sample in info.samples}
            if config.data.split not in splits and config.data.val_split not in splits:
                info.of_split(config.data.split)  # raises, naming the splits there are
            if config.data.split in splits:
                samples = self._but_own_fold(info.of_split(config.data.split), config.data.fold)
                self.seen += samples
                self.training.append(
                    PreparedPictures(samples, self.label_map, config.data.sampler, config.train.bootstrap)
                )
                split_counts = info.pixel_counts.get(config.data.split, {})
                counts = [n + split_counts.get(name, 0) for n, name in zip(counts, self.label_map.names, strict=True)]
            if config.data.val_split in splits:
                self.validation.append(PreparedPictures(info.of_split(config.data.val_split), self.label_map))
        if not self.training:
            raise InputError(f"no dataset has a '{config.data.split}' split to train on")
        if config.data.weights is not None and len(config.data.weights) != len(self.training):
            raise InputError(
                f"data.weights has {len(config.data.weights)} values for {len(self.training)} training sets"
            )
        self.pixel_counts = counts
        self.fingerprint = fingerprint(self.seen)
        self._refuse_background_alone(config, counts)

    def _refuse_background_alone(self, config: Config, counts: list[int]) -> None:
        drawn = [n for number, n in enumerate(self.label_map.names) if number != self.label_map.background]
        foreground = [n for number, n in enumerate(counts) if number != self.label_map.background]
        if sum(counts) and not any(foreground):
            raise InputError(
                f"{', '.join(config.data.root)}: no training picture has a pixel of {', '.join(drawn)}: there is "
                "nothing to learn; look at the masks (lanecli prepare … --contact-sheet 12), and check which labels "
                "became background"
            )

    def _but_own_fold(self, samples: Sequence[Sample], fold: str | None) -> list[Sample]:
        """Return the samples to train on: all of them, or those of the other folds if one is held out."""
        if fold is None:
            return list(samples)
        number, folds = parse_fold(fold)
        numbers = fold_of(samples, folds)
        self.held_out += [sample for sample, own in zip(samples, numbers, strict=True) if own == number]
        return [sample for sample, own in zip(samples, numbers, strict=True) if own != number]

    def network_geometry(self, config: Config) -> Geometry:
        """Return the Geometry for prepared pictures: size, fit, and the crop only if it has not been done yet."""
        return Geometry(config.data.geometry.size, config.data.geometry.crop, config.data.geometry.fit)

    def model_geometry(self, config: Config) -> Geometry:
        """Return the Geometry for frames as they come from the camera, which includes the crop of the datasets."""
        return Geometry(config.data.geometry.size, self.crop, config.data.geometry.fit)
