"""Whether an exported file says what the model says: one check for every export, made before a file is kept."""

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
"""Largest difference of logits, as a share of the largest logit, an exported file may show."""
TIES = 0.05
"""Share of pixels that may differ by more in networks that remember where each maximum was: where the two largest
values are equal up to rounding, another runtime may well find the other one first."""

_LEAST_SPAN = 1e-2
"""Of a map's values: where a network is sure of everything, its entropy spans nothing."""


class Whole(Protocol):
    """A module from pictures (N, H, W, 3) uint8 to the values of `outputs`, in their order."""

    maps: tuple[str, ...]

    @property
    def outputs(self) -> tuple[str, ...]: ...

    def __call__(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]: ...


Answer = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Parity:
    """How an exported file agrees with torch.

    Attributes:
        largest_difference: of any logit.
        largest_logit: in absolute value, for scale.
        equal_pixels: share of pixels of the class maps, at the pictures' own sizes, that are equal.
        differing_pixels: share of pixels with a logit beyond the tolerance.
        map_difference: of each further map, the largest difference as a share of its range from its 1st to its 99th
            percentile.
        pixels: how many class map pixels were compared.
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
        """Largest difference over largest logit."""
        return self.largest_difference / max(self.largest_logit, 1e-12)

    def check(self, pools_by_index: bool) -> None:
        """Raise LaneError where the file is not to be kept.

        Args:
            pools_by_index: of the architecture: near ties may then be decided the other way.
        """
        ties = pools_by_index and self.differing_pixels <= TIES
        if not (self.relative <= TOLERANCE or ties):
            raise LaneError(
                f"the exported file disagrees with torch: logits differ by up to {self.largest_difference:.3g} "
                f"(largest {self.largest_logit:.3g}), by too much in {100 * self.differing_pixels:.2g} % of "
                "pixels; it was not kept"
            )
        for name, difference in self.map_difference.items():
            if not (difference <= TOLERANCE or ties):
                raise LaneError(f"the exported file disagrees with torch in '{name}' by {difference:.2g} of its range")

    def to_dict(self) -> dict[str, Any]:
        """As ``lanecli export --json`` prints it."""
        return {**self.__dict__, "map_difference": dict(self.map_difference)}


def compare(whole: Whole, answer: Answer, sizes: Sequence[tuple[int, Size]], seed: int = 0) -> Parity:
    """Show the same pictures to the exported file and to torch, at several batch and picture sizes.

    Args:
        whole: in eval mode, float32, on the CPU. Where it gives no logits, its probabilities stand for them.
        answer: the exported file: (N, H, W, 3) uint8 pictures to its outputs by name.
        sizes: batch and (width, height) of each comparison.
        seed: of the pictures: smooth noise, so that deep layers see more than grey.

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
                    f"the exported file gives {name} of {theirs[name].shape} where torch gives {ours[name].shape}, "
                    "or it is not finite"
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
