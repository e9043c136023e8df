"""Collections of labelled pictures, and the sets that training and validation draw from them.

A sample depends only on the seed, the epoch and its position in the epoch, never on what was drawn before. A run can
therefore be resumed at any step, with any number of workers, and sees exactly the same pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np

from lanecli import interruption
from lanecli.data.augment import augment, augment_appearance, augment_geometry, paint_classes
from lanecli.data.manifest import Sample
from lanecli.data.sampling import bootstrap, sample_weights
from lanecli.data.unlabelled import UnlabelledPictures
from lanecli.errors import InputError
from lanecli.geometry import Geometry, Placement
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media.pictures import read_mask, read_picture
from lanecli.sections import AugmentConfig

SYNTHETIC_FRAME = (704, 396)
"""(width, height) of procedural scenes for training, a little above the network's, so that zooming in shows detail."""


class LabelledPictures(Protocol):
    """A collection of labelled pictures, read by index.

    Attributes:
        label_map: the classes.
        weights: (len,) probabilities of being drawn, or None to draw each picture equally often.
    """

    label_map: LabelMap
    weights: np.ndarray | None

    def __len__(self) -> int: ...

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (H, W, 3) uint8 RGB and its (H, W) uint8 train ids."""
        ...


class PreparedPictures:
    """Samples of a prepared dataset.

    Attributes:
        weights: (samples,) probabilities of being drawn, or None to draw each equally often.
    """

    def __init__(
        self, samples: Sequence[Sample], label_map: LabelMap, sampler: str = "uniform", resample: int | None = None
    ) -> None:
        """Compute the sampling weights.

        Args:
            samples: samples from `read_dataset`.
            label_map: the dataset's classes.
            sampler: one of `lanecli.data.sampling.SAMPLERS`.
            resample: seed of a bootstrap resample to use instead of the samples, or None.
        """
        self.samples = samples if resample is None else [samples[i] for i in bootstrap(len(samples), resample)]
        self.label_map = label_map
        self.weights = sample_weights(sampler, self.samples, label_map)

    def __len__(self) -> int:
        return len(self.samples)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one pair.

        Raises:
            InputError: a file cannot be read, or a mask has an id that is not a class, or another size.
        """
        sample = self.samples[index]
        mask = read_mask(sample.mask)
        classes = len(self.label_map.classes)
        strange = cv2.inRange(mask, classes, IGNORE_ID - 1)
        if not self.label_map.multilabel and cv2.countNonZero(strange):
            ids = ", ".join(str(i) for i in np.unique(mask[strange > 0])[:5])
            raise InputError(
                f"{sample.mask}: id {ids} is not a class of label map '{self.label_map.name}' "
                f"(0 to {classes - 1}, or {IGNORE_ID} for ignored); prepare the dataset again"
            )
        picture = read_picture(sample.image)
        if picture.shape[:2] != mask.shape:
            raise InputError(
                f"{sample.mask}: the mask's size is {mask.shape[::-1]}, but its picture's is {picture.shape[1::-1]}"
            )
        return picture, mask


class SyntheticPictures:
    """Procedural road scenes, rendered when they are loaded."""

    def __init__(self, count: int, seed: int, size: tuple[int, int] = SYNTHETIC_FRAME) -> None:
        """Take the arguments.

        Args:
            count: number of scenes.
            seed: seed of the first scene; the others count up from it.
            size: (width, height) of the scenes.
        """
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
    """Every sample once, brought to the network's size by the model's geometry, without augmentation."""

    def __init__(self, pictures: LabelledPictures, geometry: Geometry) -> None:
        """Take the arguments.

        Args:
            pictures: the pictures.
            geometry: the model's geometry.
        """
        self.pictures, self.geometry = pictures, geometry

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (h, w, 3) uint8 RGB and (h, w) uint8 train ids at the network's size."""
        picture, mask = self.pictures.load(index)
        placement = self.geometry.place((picture.shape[1], picture.shape[0]))
        return placement.picture(picture), placement.mask(mask)


class TrainingSet:
    """Samples of several collections, shuffled and augmented differently in each epoch.

    Item ``epoch * len(self) + position`` is the sample at `position` of `epoch`.

    Attributes:
        unlabelled_index: index in `collections` of the pictures whose labels a teacher model predicts, or None. If
            there are such pictures, the items are those of :meth:`student_and_teacher`.
    """

    def __init__(
        self,
        collections: Sequence[LabelledPictures],
        geometry: Geometry,
        augmentation: AugmentConfig | None,
        *,
        seed: int = 0,
        samples: int | None = None,
        weights: Sequence[float] | None = None,
        unlabelled: UnlabelledPictures | None = None,
        unlabelled_share: float = 0.5,
    ) -> None:
        """Divide the epoch among the collections.

        Args:
            collections: the collections to draw from, all with the same label map.
            geometry: the model's geometry.
            augmentation: the random changes, or None for none.
            seed: seed of the order and the changes.
            samples: number of samples in an epoch; None for all labelled samples once, with unlabelled ones added in
                their share.
            weights: each collection's share of an epoch; None for shares in proportion to their sizes.
            unlabelled: pictures without labels, which a teacher model predicts now or has predicted before.
            unlabelled_share: their share of an epoch, above 0 and below 1; `weights` divide the rest.

        Raises:
            InputError: `augmentation` repaints, and the label map does not tell paint from road.
        """
        self.collections, self.geometry, self.augmentation, self.seed = list(collections), geometry, augmentation, seed
        self.label_map = self.collections[0].label_map
        if augmentation is not None and augmentation.repaint:
            paint_classes(self.label_map)  # raises now rather than at the first sample
        sizes = np.array([len(s) for s in self.collections])
        shares = np.asarray(sizes if weights is None else weights, float)
        self.shares = shares / shares.sum()
        self.samples = samples or int(sizes.sum())
        self.unlabelled_index: int | None = None
        if unlabelled is not None:
            self.samples = samples or round(self.samples / (1 - unlabelled_share))
            self.shares = np.append(self.shares * (1 - unlabelled_share), unlabelled_share)
            self.unlabelled_index = None if unlabelled.has_answers else len(self.collections)
            self.collections.append(unlabelled)

    def __len__(self) -> int:
        return self.samples

    def draws(self, epoch: int) -> np.ndarray:
        """Return (len, 2) int: the collection's index and the picture's index in it, for each sample of an epoch.

        Each collection contributes its share, rounded to a sample. Within a collection no picture repeats before all
        have been drawn; with weights, each draw is independent.
        """
        rng = np.random.default_rng([self.seed, epoch])
        edges = np.rint(np.cumsum(np.concatenate([[0], self.shares])) * self.samples).astype(int)
        parts = []
        for number, (collection, count) in enumerate(zip(self.collections, np.diff(edges), strict=True)):
            if collection.weights is not None:
                order = rng.choice(len(collection), count, p=collection.weights)
            else:
                rounds = -(-int(count) // len(collection))
                order = np.concatenate([rng.permutation(len(collection)) for _ in range(rounds)] or [np.empty(0, int)])
            order = order[:count]
            parts.append(np.stack([np.full(count, number), order], axis=1))
        return rng.permutation(np.concatenate(parts))

    def __getitem__(self, item: int) -> tuple[np.ndarray, ...]:
        """Return (h, w, 3) uint8 RGB and (h, w) uint8 train ids at the network's size.

        With a teacher model, return what :meth:`student_and_teacher` returns.

        Raises:
            InputError: a picture or mask cannot be read.
        """
        if self.unlabelled_index is not None:
            return self.student_and_teacher(item)
        (picture, mask), placement, rng, _ = self._load(item)
        if self.augmentation is None:
            return placement.picture(picture), placement.mask(mask)
        return augment(picture, mask, placement, self.augmentation, self.label_map, rng)

    def student_and_teacher(self, item: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return a sample as the student and the teacher see it, strongly and weakly augmented.

        The two augmentations are those of FixMatch, Sohn et al. 2020, arXiv 2001.07685.

        Returns:
            The student's (h, w, 3) uint8 RGB. The (h, w) uint8 train ids; for an unlabelled picture they are 0 inside
            the picture and 255 outside. The teacher's (h, w, 3) uint8 RGB, warped like the student's but with
            unchanged appearance. A bool, true for an unlabelled picture.
        """
        (picture, mask), placement, rng, number = self._load(item)
        is_unlabelled = np.array(number == self.unlabelled_index)
        if self.augmentation is None:
            picture, mask = placement.picture(picture), placement.mask(mask)
            return picture, mask, picture, is_unlabelled
        weak, mask = augment_geometry(picture, mask, placement, self.augmentation, self.label_map, rng)
        strong, mask = augment_appearance(weak, mask, self.augmentation, rng)
        return strong, mask, weak, is_unlabelled

    def _load(self, item: int) -> tuple[tuple[np.ndarray, np.ndarray], Placement, np.random.Generator, int]:
        """Return the pair as stored, its placement, its random stream, and the index of its collection."""
        epoch, position = divmod(int(item), self.samples)
        number, index = _draws(self, epoch)[position]
        pair = self.collections[number].load(int(index))
        placement = self.geometry.place((pair[0].shape[1], pair[0].shape[0]))
        return pair, placement, np.random.default_rng([self.seed, epoch, position]), int(number)


@lru_cache(maxsize=2)
def _draws(training_set: TrainingSet, epoch: int) -> np.ndarray:
    return training_set.draws(epoch)


def start_worker(_number: int) -> None:
    """Prepare a worker process of a loader: OpenCV without threads, and signals left to the main process.

    OpenCV's threads would compete for the cores, and have deadlocked forked workers. Ctrl-C reaches every process of a
    terminal, and `timeout` or a cluster sends SIGTERM to a whole group of processes; the main process decides when to
    stop, and ends its workers itself.
    """
    cv2.setNumThreads(0)
    interruption.leave_signals_to_parent()
