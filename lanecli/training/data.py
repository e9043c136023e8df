"""Where a run's pictures come from, and what its datasets agree on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lanecli.config import Config
from lanecli.data.dataset import PreparedSource, Source, SyntheticSource
from lanecli.data.fingerprint import fingerprint
from lanecli.data.manifest import Sample, read_dataset
from lanecli.data.unlabelled import UnlabelledSource, is_answers
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labels import LabelMap
from lanecli.training.folds import fold_of, parse_fold

SYNTHETIC_SCENES = 2000
SYNTHETIC_VALIDATION = 64
_VALIDATION_SEED = 1_000_000_000  # far from any training scene's seed
OWN_AVERAGE = "ema"
"""What `teacher` says for the run's own averaged weights."""


class TrainingData:
    """Where training and validation pictures come from, and what the datasets agree on.

    Attributes:
        seen: samples of prepared datasets that are trained on.
        fingerprint: which pictures those are, for the model's provenance; None for procedural scenes.
        held_out: those of the training split that are not, as `data.fold` says.
        unlabelled: pictures without labels, where `data.unlabelled` names some.
    """

    def __init__(self, config: Config) -> None:
        """Read the datasets `config.data` names. Raises InputError where they disagree."""
        self.label_map: LabelMap
        self.fingerprint: dict[str, Any] | None = None
        self.crop: tuple[float, float, float, float] = config.data.geometry.crop
        self.pixel_counts: list[int] | None = None
        self.training: list[Source] = []
        self.validation: list[Source] = []
        self.seen: list[Sample] = []
        self.held_out: list[Sample] = []
        self.unlabelled: UnlabelledSource | None = None
        self._find(config)
        if config.data.unlabelled:
            teacher = config.teacher
            answers = teacher if teacher and teacher != OWN_AVERAGE and is_answers(teacher) else None
            self.unlabelled = UnlabelledSource(config.data.unlabelled, self.label_map, answers, config.data.confidence)

    def _find(self, config: Config) -> None:
        if not config.data.root:
            self.training = [SyntheticSource(config.data.samples or SYNTHETIC_SCENES, config.train.seed * 10_000_019)]
            self.validation = [SyntheticSource(SYNTHETIC_VALIDATION, _VALIDATION_SEED)]
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
                    f"{first_root} has {', '.join(self.label_map.names)}: datasets trained on together share classes"
                )
            splits = {sample.split for sample in info.samples}
            if config.data.split not in splits and config.data.val_split not in splits:
                info.of_split(config.data.split)  # raises, naming the splits there are
            if config.data.split in splits:
                samples = self._but_own_fold(info.of_split(config.data.split), config.data.fold)
                self.seen += samples
                self.training.append(
                    PreparedSource(samples, self.label_map, config.data.sampler, config.train.bootstrap)
                )
                split_counts = info.pixel_counts.get(config.data.split, {})
                counts = [n + split_counts.get(name, 0) for n, name in zip(counts, self.label_map.names, strict=True)]
            if config.data.val_split in splits:
                self.validation.append(PreparedSource(info.of_split(config.data.val_split), self.label_map))
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
                f"{', '.join(config.data.root)}: no training picture holds a pixel of {', '.join(drawn)}: there is "
                "nothing to learn; look at the masks (lanecli prepare … --contact-sheet 12), and at which labels "
                "became background"
            )

    def _but_own_fold(self, samples: Sequence[Sample], fold: str | None) -> list[Sample]:
        """The samples trained on: all, or those in other folds than the one held out."""
        if fold is None:
            return list(samples)
        number, folds = parse_fold(fold)
        places = fold_of(samples, folds)
        self.held_out += [sample for sample, place in zip(samples, places, strict=True) if place == number]
        return [sample for sample, place in zip(samples, places, strict=True) if place != number]

    def network_geometry(self, config: Config) -> Geometry:
        """What prepared pictures still go through: the size and fit, the crop only if it was not done before."""
        return Geometry(config.data.geometry.size, config.data.geometry.crop, config.data.geometry.fit)

    def model_geometry(self, config: Config) -> Geometry:
        """What a frame as it comes from the camera goes through: the datasets' crop included."""
        return Geometry(config.data.geometry.size, self.crop, config.data.geometry.fit)
