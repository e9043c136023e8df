"""The Python interface: what `lanecli.load` gives."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from lanecli.errors import InputError, nearest
from lanecli.inference.prediction import Prediction
from lanecli.inference.recipe import Recipe
from lanecli.inference.run import QUEUE
from lanecli.inference.steps import StepContext
from lanecli.labels import LabelMap
from lanecli.media import Frame, expand_sources, open_video, prefetch, read_picture


class Model:
    """An open model, or several that answer together.

    Attributes:
        label_map: the classes of Predictions.
    """

    def __init__(self, models: Sequence[str], options: dict[str, Any]) -> None:
        """Open; see `lanecli.load`."""
        options = dict(options)
        keep = {"planes", *(["lanes"] if options.pop("lanes", False) else [])}
        known = [field.name for field in fields(Recipe) if field.name != "models"]
        for name in options:
            if name not in known:
                raise InputError(f"load() takes no option '{name}'{nearest(name, known)}")
        recipe = Recipe(models=tuple(models), **options) if models else Recipe(**options)
        self._predictor = recipe.open(keep)
        self.label_map: LabelMap = self._predictor.label_map

    def predict(self, picture: np.ndarray | str | os.PathLike[str] | Image.Image) -> Prediction:
        """The Prediction for one picture.

        Args:
            picture: an (H, W, 3) uint8 RGB array, a path, or a PIL picture.

        Returns:
            A Prediction: `class_map` (H, W) uint8 train ids, `probabilities` (C, H, W) float32, `maps` by name,
            `lanes` where they were asked for.

        Raises:
            InputError: the file is no picture.
            TypeError: something else was given.
        """
        return self._predictor.predict(Frame.from_rgb(_pixels(picture)))

    def stream(self, source: str | os.PathLike[str], every: int = 1) -> Iterator[Prediction]:
        """The Predictions of a video, frame by frame; the next frames are decoded and predicted meanwhile.

        Args:
            source: a video file, camera number or stream URL.
            every: take each N-th frame.

        Raises:
            InputError: it is no video.
        """
        [found] = expand_sources([os.fspath(source)])
        if found.kind == "image":
            yield self.predict(found.path)
            return
        with open_video(found, every=every) as reader:
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
