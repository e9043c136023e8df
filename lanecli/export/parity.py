"""Compares an exported file with the model in torch: one check for every export, made before a file is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from lanecli.errors import LaneError
from lanecli.geometry import Size

TOLERANCE = 1e-3
"""Largest difference of logits that an exported file may have, as a share of the largest logit."""
TIES = 0.05
"""Share of pixels that may differ by more in networks that pool by index: where the two largest values are equal up to
rounding, another runtime may choose the other one."""

_LEAST_SPAN = 1e-2
"""Least range of a map's values: if a network is sure of every pixel, its entropy hardly varies."""


class Whole(Protocol):
    """A module that maps pictures (N, H, W, 3) uint8 to the values of `outputs`, in their order."""

    maps: tuple[str, ...]

    @property
    def outputs(self) -> tuple[str, ...]: ...

    def __call__(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]: ...


Answer = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Parity:
    """How closely an exported file agrees with torch.

    Attributes:
        largest_difference: largest difference of any logit.
        largest_logit: largest absolute value of any logit, for scale.
        equal_pixels: share of equal pixels of the class maps, at the pictures' own sizes.
        differing_pixels: share of pixels with a logit beyond the tolerance.
        map_difference: for each further map, the largest difference as a share of its range from its 1st to its 99th
            percentile.
        pixels: number of compared pixels of class maps.
        sizes: (pictures, width, height) of each comparison.
    """

    largest_difference: float
    largest_logit: float
    equal_pixels: float
    differing_pixels: float
    map_difference: Mapping[str, float]
    pixels: int
    sizes: tuple[tuple[int, int, int], ...]

    @property
    def relative(self) -> float:
        """Largest difference divided by the largest logit."""
        return self.largest_difference / max(self.largest_logit, 1e-12)

    def check(self, pools_by_index: bool) -> None:
        """Raise LaneError if the file must not be kept.

        Args:
            pools_by_index: whether the architecture pools by index: near ties may then be decided the other way.
        """
        ties = pools_by_index and self.differing_pixels <= TIES
        if not (self.relative <= TOLERANCE or ties):
            raise LaneError(
                f"the exported file disagrees with torch: logits differ by up to {self.largest_difference:.3g} "
                f"(largest {self.largest_logit:.3g}), by too much in {100 * self.differing_pixels:.2g} % of "
                "pixels; the file was not kept"
            )
        for name, difference in self.map_difference.items():
            if not (difference <= TOLERANCE or ties):
                raise LaneError(
                    f"the exported file disagrees with torch: '{name}' differs by {difference:.2g} of its range"
                )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as ``lanecli export --json`` prints them."""
        return {**self.__dict__, "map_difference": dict(self.map_difference)}


def compare(whole: Whole, answer: Answer, sizes: Sequence[tuple[int, Size]], seed: int = 0) -> Parity:
    """Run the exported file and torch on the same pictures, at several batch and picture sizes.

    Args:
        whole: the model in eval mode, float32, on the CPU. Without logits, its probabilities are compared instead.
        answer: runs the exported file: maps (N, H, W, 3) uint8 pictures to its outputs by name.
        sizes: batch and (width, height) of each comparison.
        seed: seed of the pictures, smooth noise in which deep layers see more than grey.

    Raises:
        LaneError: the file's outputs have other shapes, or are not finite.
    """
    rng = np.random.default_rng(seed)
    difference = largest = 0.0
    equal = pixels = differing = logits = 0
    maps = dict.fromkeys(whole.maps, 0.0)
    scores = "logits" if "logits" in whole.outputs else "probabilities"
    for batch, size in sizes:
        coarse = rng.integers(0, 256, (batch, 9, 16, 3), np.uint8)
        pictures = np.stack([cv2.resize(p, size, interpolation=cv2.INTER_CUBIC) for p in coarse])
        theirs = answer(pictures)
        with torch.inference_mode():
            ours = {n: v.numpy() for n, v in zip(whole.outputs, whole(torch.from_numpy(pictures)), strict=True)}
        for name in dict.fromkeys(("class_map", "probabilities", scores, *whole.maps)):
            if theirs[name].shape != ours[name].shape or not np.isfinite(theirs[name].astype(np.float32)).all():
                raise LaneError(
                    f"the exported file disagrees with torch: its {name} is {theirs[name].shape} where torch gives "
                    f"{ours[name].shape}, or is not finite"
                )
        gap = np.abs(theirs[scores] - ours[scores])
        difference, largest = max(difference, float(gap.max())), max(largest, float(np.abs(ours[scores]).max()))
        differing += int((gap.max(1) > TOLERANCE * np.abs(ours[scores]).max()).sum())
        logits += gap[:, 0].size
        equal += int((theirs["class_map"] == ours["class_map"]).sum())
        pixels += ours["class_map"].size
        for name in whole.maps:
            low, high = np.percentile(ours[name], (1, 99))
            span = max(float(high - low), _LEAST_SPAN)
            maps[name] = max(maps[name], float(np.abs(theirs[name] - ours[name]).max()) / span)
    made = tuple((batch, *size) for batch, size in sizes)
    return Parity(difference, largest, equal / pixels, differing / logits, maps, pixels, made)
