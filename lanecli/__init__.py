"""Lane segmentation: pictures and dash-cam video in; overlays, masks and deployable models out.

Example:
    >>> import lanecli
    >>> model = lanecli.load("lane")                        # doctest: +SKIP
    >>> model.predict("photo.jpg").class_map.shape          # doctest: +SKIP
    (720, 1280)
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` takes far longer than all else before signals are answered
if TYPE_CHECKING:
    from typing import Any

    from lanecli.inference.interface import Model

__version__ = "0.2.0"
__all__ = ["__version__", "load"]


def load(*models: str, **options: Any) -> Model:
    """Open a model, or several models whose predictions are combined.

    Args:
        models: model files, run folders, names of shipped models, or one ensemble file. Without any, the shipped model.
        options: fields of `lanecli.inference.recipe.Recipe`, such as ``tta="flip"``, ``uncertainty="entropy"``,
            ``precision="fp32"`` or ``backend="torch"``; and ``lanes=True`` for lane lines.

    Returns:
        An object whose `predict` takes a picture and whose `stream` takes a video.

    Raises:
        lanecli.errors.InputError: a name is unknown, or a file cannot be loaded.

    Example:
        >>> import numpy as np
        >>> model = load("lane", uncertainty="entropy")
        >>> prediction = model.predict(np.zeros((64, 128, 3), np.uint8))
        >>> prediction.class_map.shape, sorted(prediction.maps)
        ((64, 128), ['entropy'])
    """
    from lanecli.inference.interface import Model

    return Model(models, options)
