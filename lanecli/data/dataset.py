"""What training and validation read: sources of labelled pictures, and the sets that draw from them.

A sample depends on the seed, the epoch and its place in it, never on what was drawn before: a run can be resumed at
any step, with any number of workers, and sees the very same pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np

from lanecli import interruption
from lanecli.data.augment import augment, change_looks, paint_classes, place_randomly
from lanecli.data.manifest import Sample
from lanecli.data.sampling import bootstrap, sample_weights
from lanecli.data.unlabelled import UnlabelledSource
from lanecli.errors import InputError
from lanecli.geometry import Geometry, Placement
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media.pictures import read_mask, read_picture
from lanecli.sections import AugmentConfig

SYNTHETIC_FRAME = (704, 396)
"""Size procedural scenes are rendered at for training: a little above the network's, so that zooming in has detail."""


class Source(Protocol):
    """Labelled pictures by number."""

    label_map: LabelMap
    weights: np.ndarray | None

    def __len__(self) -> int: ...

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8 RGB and its (H, W) uint8 train ids."""
        ...


class PreparedSource:
    """Samples of a prepared dataset.

    Attributes:
        weights: (samples,) probabilities of being drawn, or None for each once.
    """

    def __init__(
        self, samples: Sequence[Sample], label_map: LabelMap, sampler: str = "uniform", resample: int | None = None
    ) -> None:
        """Set up.

        Args:
            samples: what `read_dataset` gives.
            label_map: the dataset's.
            sampler: one of lanecli.data.sampling.SAMPLERS.
            resample: seed of a bootstrap resample to use in place of the samples, or None.
        """
        self.samples = samples if resample is None else [samples[i] for i in bootstrap(len(samples), resample)]
        self.label_map = label_map
        self.weights = sample_weights(sampler, self.samples, label_map)

    def __len__(self) -> int:
        return len(self.samples)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one pair.

        Raises:
            InputError: a file cannot be read, or a mask holds an id that is no class or has another size.
        """
        sample = self.samples[index]
        mask = read_mask(sample.mask)
        classes = len(self.label_map.classes)
        strange = cv2.inRange(mask, classes, IGNORE_ID - 1)
        if not self.label_map.multilabel and cv2.countNonZero(strange):
            ids = ", ".join(str(i) for i in np.unique(mask[strange > 0])[:5])
            raise InputError(
                f"{sample.mask}: id {ids} is no class of label map '{self.label_map.name}' "
                f"(0 to {classes - 1}, {IGNORE_ID} ignored); prepare the dataset again"
            )
        picture = read_picture(sample.image)
        if picture.shape[:2] != mask.shape:
            raise InputError(f"{sample.mask}: the mask is {mask.shape[::-1]}, its picture {picture.shape[1::-1]}")
        return picture, mask


class SyntheticSource:
    """Procedural road scenes, rendered when asked for."""

    def __init__(self, count: int, seed: int, size: tuple[int, int] = SYNTHETIC_FRAME) -> None:
        """Args: count: how many there are; seed: of the first one; size: they are rendered at."""
        from lanecli.labelmaps import label_map

        self.count, self.seed, self.size = count, seed, size
        self.label_map = label_map("lane")
        self.weights: np.ndarray | None = None

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Render scene number `index`."""
        from lanecli.data.synth import render_scene

        scene = render_scene(self.seed + index, self.size)
        return scene.image, scene.mask


class EvaluationSet:
    """Every sample once, as Geometry leaves it and nothing changed."""

    def __init__(self, source: Source, geometry: Geometry) -> None:
        """Args: source: the pictures; geometry: the model's."""
        self.source, self.geometry = source, geometry

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 RGB and (h, w) uint8 train ids at the network's size."""
        picture, mask = self.source.load(index)
        placement = self.geometry.place((picture.shape[1], picture.shape[0]))
        return placement.picture(picture), placement.mask(mask)


class TrainingSet:
    """Samples of several sources, shuffled and augmented anew each epoch.

    Item number ``epoch * len(set) + place`` is the sample at `place` of `epoch`.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        geometry: Geometry,
        augmentation: AugmentConfig | None,
        *,
        seed: int = 0,
        samples: int | None = None,
        weights: Sequence[float] | None = None,
        unlabelled: UnlabelledSource | None = None,
        unlabelled_share: float = 0.5,
    ) -> None:
        """Set up.

        Args:
            sources: where pictures come from; all of one label map.
            geometry: the model's.
            augmentation: random changes, or None for none.
            seed: of order and changes.
            samples: an epoch's length; None is all labelled samples once, and unlabelled ones in their share.
            weights: each source's share of an epoch; None is by its size.
            unlabelled: pictures a teacher is asked about, or that come with its answers.
            unlabelled_share: their share of an epoch, above 0 and below 1; `weights` divide the rest.

        Raises:
            InputError: repainting is asked for, and the label map does not tell paint from road.
        """
        self.sources, self.geometry, self.augmentation, self.seed = list(sources), geometry, augmentation, seed
        self.label_map = self.sources[0].label_map
        if augmentation is not None and augmentation.repaint:
            paint_classes(self.label_map)  # says at once what does not fit
        sizes = np.array([len(s) for s in self.sources])
        shares = np.asarray(sizes if weights is None else weights, float)
        self.shares = shares / shares.sum()
        self.samples = samples or int(sizes.sum())
        self.asked: int | None = None
        """Number of the source whose pictures a teacher is asked about; items are then as :meth:`views` gives them."""
        if unlabelled is not None:
            self.samples = samples or round(self.samples / (1 - unlabelled_share))
            self.shares = np.append(self.shares * (1 - unlabelled_share), unlabelled_share)
            self.asked = None if unlabelled.taught else len(self.sources)
            self.sources.append(unlabelled)

    def __len__(self) -> int:
        return self.samples

    def draws(self, epoch: int) -> np.ndarray:
        """(len, 2) source number and index in it of each sample of an epoch.

        Each source gives its share, to a sample. Within a source nothing repeats before all have been drawn, or, with
        weights, each draw is independent.
        """
        rng = np.random.default_rng([self.seed, epoch])
        edges = np.rint(np.cumsum(np.concatenate([[0], self.shares])) * self.samples).astype(int)
        parts = []
        for number, (source, count) in enumerate(zip(self.sources, np.diff(edges), strict=True)):
            if source.weights is not None:
                order = rng.choice(len(source), count, p=source.weights)
            else:
                rounds = -(-int(count) // len(source))
                order = np.concatenate([rng.permutation(len(source)) for _ in range(rounds)] or [np.empty(0, int)])
            order = order[:count]
            parts.append(np.stack([np.full(count, number), order], axis=1))
        return rng.permutation(np.concatenate(parts))

    def __getitem__(self, item: int) -> tuple[np.ndarray, ...]:
        """(h, w, 3) uint8 RGB and (h, w) uint8 train ids at the network's size; :meth:`views` where a teacher is asked.

        Raises InputError for what a source cannot read.
        """
        if self.asked is not None:
            return self.views(item)
        (picture, mask), placement, rng, _ = self._load(item)
        if self.augmentation is None:
            return placement.picture(picture), placement.mask(mask)
        return augment(picture, mask, placement, self.augmentation, self.label_map, rng)

    def views(self, item: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """A sample as the student and as the teacher see it: strong and weak augmentation as in FixMatch (2001.07685).

        Returns:
            The student's (h, w, 3) uint8 RGB; (h, w) uint8 train ids, of an unlabelled picture 0 where there is
            something to see and 255 elsewhere; the teacher's (h, w, 3) uint8 RGB, moved alike, its looks unchanged;
            and a bool, true for an unlabelled picture.
        """
        (picture, mask), placement, rng, number = self._load(item)
        asked = np.array(number == self.asked)
        if self.augmentation is None:
            picture, mask = placement.picture(picture), placement.mask(mask)
            return picture, mask, picture, asked
        calm, mask = place_randomly(picture, mask, placement, self.augmentation, self.label_map, rng)
        picture, mask = change_looks(calm, mask, self.augmentation, rng)
        return picture, mask, calm, asked

    def _load(self, item: int) -> tuple[tuple[np.ndarray, np.ndarray], Placement, np.random.Generator, int]:
        """The pair as it lies on disk, its placement and random stream, and the number of its source."""
        epoch, place = divmod(int(item), self.samples)
        number, index = _draws(self, epoch)[place]
        pair = self.sources[number].load(int(index))
        placement = self.geometry.place((pair[0].shape[1], pair[0].shape[0]))
        return pair, placement, np.random.default_rng([self.seed, epoch, place]), int(number)


@lru_cache(maxsize=2)
def _draws(training_set: TrainingSet, epoch: int) -> np.ndarray:
    return training_set.draws(epoch)


def start_worker(_number: int) -> None:
    """For loader workers: OpenCV's own threads would fight over the cores, and have deadlocked forked workers.

    Ctrl-C reaches every process of a terminal, and `timeout` or a cluster sends SIGTERM to a whole group of them; the
    main one decides when to stop, and ends its workers itself.
    """
    cv2.setNumThreads(0)
    interruption.leave_signals_to_parent()
