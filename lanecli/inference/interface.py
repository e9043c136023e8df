"""The Python interface: the object that `lanecli.load` returns."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from lanecli.errors import InputError, did_you_mean
from lanecli.inference.prediction import Prediction
from lanecli.inference.recipe import Recipe
from lanecli.inference.run import QUEUE
from lanecli.inference.steps import StepContext
from lanecli.labels import LabelMap
from lanecli.media import Frame, expand_sources, open_video, prefetch, read_picture


class Model:
    """An open model, or several models whose predictions are combined.

    Attributes:
        label_map: the classes of its Predictions.
    """

    def __init__(self, models: Sequence[str], options: dict[str, Any]) -> None:
        """Open the models; see `lanecli.load`."""
        options = dict(options)
        keep = {"planes", *(["lanes"] if options.pop("lanes", False) else [])}
        known = [field.name for field in fields(Recipe) if field.name != "models"]
        for name in options:
            if name not in known:
                raise InputError(f"load() takes no option '{name}'{did_you_mean(name, known)}")
        recipe = Recipe(models=tuple(models), **options) if models else Recipe(**options)
        self._predictor = recipe.open(keep)
        self.label_map: LabelMap = self._predictor.label_map

    def predict(self, picture: np.ndarray | str | os.PathLike[str] | Image.Image) -> Prediction:
        """Predict one picture.

        Args:
            picture: an (H, W, 3) uint8 RGB array, a path, or a PIL picture.

        Returns:
            A Prediction with `class_map` (H, W) uint8 train ids, `probabilities` (C, H, W) float32, `maps` by name, and
            `lanes` if lane lines were asked for.

        Raises:
            InputError: the file is not a picture.
            TypeError: something else was given.

        Example:
            >>> import lanecli
            >>> prediction = lanecli.load("lane", precision="fp32").predict(np.zeros((64, 128, 3), np.uint8))
            >>> prediction.probabilities.shape
            (2, 64, 128)
        """
        return self._predictor.predict(Frame.from_rgb(_pixels(picture)))

    def stream(self, source: str | os.PathLike[str], every: int = 1) -> Iterator[Prediction]:
        """Predict a video frame by frame; the next frames are decoded and predicted while the caller uses one.

        Args:
            source: a video file, camera number or stream URL.
            every: predict only each N-th frame.

        Raises:
            InputError: the source is not a video.
        """
        [expanded] = expand_sources([os.fspath(source)])
        if expanded.kind == "image":
            yield self.predict(expanded.path)
            return
        with open_video(expanded, every=every) as reader:
            context = StepContext(self.label_map, True, float(reader.frame_rate))
            with contextlib.closing(prefetch(reader, QUEUE)) as frames:
                yield from self._predictor.stream(frames, context)


def _pixels(picture: Any) -> np.ndarray:
    if isinstance(picture, str | os.PathLike):
        return read_picture(Path(picture))
    if isinstance(picture, Image.Image):
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    if isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8:
        return picture
    form = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
    raise TypeError(f"predict() takes an (H, W, 3) uint8 RGB array, a path or a PIL picture, not {form}")
