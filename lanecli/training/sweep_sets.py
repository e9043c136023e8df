"""Scores the models of a sweep on further datasets, each on its own."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from lanecli.data.manifest import MANIFEST, read_dataset
from lanecli.inference.evaluate import score
from lanecli.inference.recipe import Recipe
from lanecli.inference.study_file import digest, earlier, keep
from lanecli.metrics.segmentation import PixelScores
from lanecli.training.pictures import Pictures, refuse_trained_on

ON_SET = "set/"
"""Begins the key of a score on one set: ``set/NAME``."""
MEAN_OF_SETS = "mean_of_sets"
_FOLDER = "sets"


def score_on_sets(
    run: Path, sets: Sequence[Pictures], *, device: str = "auto", say: Callable[[str], None] = lambda _line: None
) -> dict[str, float]:
    """Score the model that a run has kept, in float32 and at the size of the pictures.

    Args:
        run: the folder of the run. Scores are kept in its ``sets`` and not computed again.
        sets: the sets.
        device: the device the model runs on.
        say: called with a line before a set is scored.

    Returns:
        ``set/NAME`` for each set, the mean IoU over the classes except background (pixels are summed over all pictures
        first), and ``mean_of_sets``. Empty without sets.

    Raises:
        InputError: the model has other classes than a set, or was trained on pictures of it.
    """
    if not sets:
        return {}
    file = run / "model.safetensors"
    model, scores = digest(file), {}
    for pictures in sets:
        asked = {"data": [str(pictures.root), pictures.split, digest(pictures.root / MANIFEST)], "model": model}
        target = run / _FOLDER / f"{pictures.name}.json"
        if (result := earlier(target, asked)) is None:
            refuse_trained_on(file, f"'{pictures.name}'", pictures.samples())
            say(f"  scoring on {pictures.name}")
            recipe = Recipe((str(file),), backend="torch", precision="fp32", device=device)
            predictor = recipe.open(set(PixelScores.needs))
            found = score(predictor, read_dataset(pictures.root), pictures.split, [PixelScores])
            result = keep(target, asked, {"iou": found["miou_foreground"]})
        scores[ON_SET + pictures.name] = float(result["iou"])
    return scores | {MEAN_OF_SETS: statistics.fmean(scores.values())}
