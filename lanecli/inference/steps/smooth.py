"""Smoothing along a video: an exponential average of probabilities over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from lanecli.errors import InputError
from lanecli.inference.prediction import Prediction
from lanecli.inference.steps import StepContext
from lanecli.labels import LabelMap, decide

_DEFAULT_RATE = 25.0


class Smooth:
    """p <- p + (1 - 2^(-dt / half_life)) (p_now - p): after `half_life` seconds, an answer counts half as much."""

    needs = frozenset({"planes"})
    gives: frozenset[str] = frozenset()

    def __init__(self, half_life: float) -> None:
        """Set the half-life.

        Args:
            half_life: seconds, above 0.

        Raises:
            InputError: it is not a number above 0.
        """
        if not 0 < half_life < float("inf"):
            raise InputError(f"--smooth must be a half-life in seconds above 0, not {half_life}")
        self.half_life = half_life

    def check(self, label_map: LabelMap) -> None:
        """Accept all classes."""

    def start(self, context: StepContext) -> Callable[[Prediction], Prediction]:
        """Start on a video; a picture is left as it is."""
        return _Average(self.half_life, context.frame_rate or _DEFAULT_RATE) if context.is_video else lambda p: p


class _Average:
    def __init__(self, half_life: float, rate: float) -> None:
        self._half_life, self._step = half_life, 1 / rate
        self._mean: np.ndarray | None = None
        self._time: float | None = None

    def __call__(self, prediction: Prediction) -> Prediction:
        now, time = prediction.planes, prediction.frame.time
        assert now is not None
        if self._mean is None or self._mean.shape != now.shape:
            self._mean = now.copy()
        else:
            passed = self._step if time is None or self._time is None else max(0.0, time - self._time)
            share = 1 - 2 ** (-passed / self._half_life)
            for mean, plane in zip(self._mean, now, strict=True):
                cv2.accumulateWeighted(plane, mean, share)
        self._time = time
        planes = self._mean.copy()
        decision = decide(planes, prediction.label_map)
        return replace(prediction, class_map=decision.class_map, labels=decision.labels, planes=planes)
