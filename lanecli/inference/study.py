"""Compares uncertainty measures on equal terms, for any models and data.

It makes the figures and the table of the paper on deep deterministic uncertainty for segmentation (arXiv 2111.00079).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.data.manifest import DatasetInfo, read_dataset
from lanecli.errors import InputError
from lanecli.inference.evaluate import on_dataset, score
from lanecli.inference.predictor import Predictor
from lanecli.inference.recipe import DEFAULT_PASSES, Recipe
from lanecli.inference.study_file import earlier, keep, read_mapping, refuse_unknown
from lanecli.media import Frame, expand_sources, read_mask, read_picture
from lanecli.metrics.segmentation import PixelScores
from lanecli.metrics.uncertainty import OutOfDistributionCounts, UncertaintyScores
from lanecli.uncertainty.corruption import CORRUPTIONS, STRENGTHS, corrupt
from lanecli.uncertainty.maps import map_kind, uncertainty_maps

_KEYS = (
    "data", "split", "out", "train", "methods", "strange", "corruptions", "examples", "places", "backend", "precision",
)  # fmt: skip
_METHOD_KEYS = ("models", "uncertainty", "passes")


@dataclass(frozen=True)
class Method:
    """One method: models, a registered measure, and how often each member is run for a measure that samples."""

    name: str
    models: tuple[str, ...]
    uncertainty: str
    passes: int = DEFAULT_PASSES


@dataclass(frozen=True)
class Study:
    """What is compared, and on what.

    Attributes:
        data: a prepared dataset with the classes of every model.
        split: name of a split in its manifest.
        out: folder for tables and figures.
        methods: the methods, in the order of the table.
        strange: name -> folder of out-of-distribution pictures, unlike those of training.
        corruptions: corruptions of the split's own pictures, names of
            :data:`lanecli.uncertainty.corruption.CORRUPTIONS`.
        examples: how many pictures are shown side by side.
        places: the model whose class means are compared between places of the picture, or None.
        backend, precision: what the models run on.
        train: a sweep (`base` and `variants`) of models that the methods name and that are trained first.
    """

    data: Path
    out: Path
    methods: tuple[Method, ...]
    split: str = "val"
    strange: Mapping[str, str] = field(default_factory=dict)
    corruptions: tuple[str, ...] = tuple(CORRUPTIONS)
    examples: int = 3
    places: str | None = None
    backend: str = "auto"
    precision: str = "fp32"
    train: Mapping[str, Any] | None = None


def read_study(path: Path, out: Path | None = None) -> Study:
    """Read a study's YAML file; paths in it are used as typed on the command line.

    Raises:
        InputError: it is not YAML, a key is unknown or missing, or a value has another form.
    """
    data = read_mapping(path, _KEYS, ("data", "methods"))
    try:
        methods = []
        for name, entry in dict(data["methods"]).items():
            refuse_unknown(entry, _METHOD_KEYS, f"{path}: method '{name}'")
            models = entry["models"]
            names = (models,) if isinstance(models, str) else tuple(str(model) for model in models)
            methods.append(
                Method(str(name), names, str(entry["uncertainty"]), int(entry.get("passes", DEFAULT_PASSES)))
            )
        corruptions = tuple(data.get("corruptions", CORRUPTIONS))
        for kind in corruptions:
            if kind not in CORRUPTIONS:
                raise InputError(f"{path}: unknown corruption '{kind}'; there are: {', '.join(CORRUPTIONS)}")
        return Study(
            Path(str(data["data"])),
            out or Path(str(data.get("out", "runs/study"))),
            tuple(methods),
            str(data.get("split", "val")),
            {str(k): str(v) for k, v in dict(data.get("strange") or {}).items()},
            corruptions,
            int(data.get("examples", 3)),
            None if data.get("places") is None else str(data["places"]),
            str(data.get("backend", "auto")),
            str(data.get("precision", "fp32")),
            None if data.get("train") is None else dict(data["train"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: is not a study ({type(error).__name__}: {error})") from error


def run_study(
    study: Study,
    *,
    say: Callable[[str], None] = lambda _line: None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> list[dict[str, Any]]:
    """Score every method. Finished ones are read from ``out/METHOD.json``, so that an interrupted study can be resumed.

    Args:
        study: what to compare.
        say: called with a line about what is being done.
        progress: called with a method's name, the number of finished pictures and their total.

    Returns:
        A row for each method and map, as ``table.csv`` holds them.

    Raises:
        InputError: models, data or folders do not go together.
    """
    dataset = read_dataset(study.data)
    rows: list[dict[str, Any]] = []
    for method in study.methods:
        asked = {
            "models": list(method.models),
            "uncertainty": method.uncertainty,
            "passes": method.passes,
            "data": str(study.data),
            "split": study.split,
            "strange": dict(study.strange),
            "corruptions": list(study.corruptions),
            "precision": study.precision,
        }
        target = study.out / f"{method.name}.json"
        result = earlier(target, asked)
        if result is None:
            say(f"{method.name}: {method.uncertainty} of {', '.join(method.models)}")
            result = keep(target, asked, _score(study, method, dataset, progress))
        else:
            say(f"{method.name}: done before")
        rows += table_rows(method.name, result)
    return rows


def _score(
    study: Study, method: Method, dataset: DatasetInfo, progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    recipe = Recipe(
        models=method.models,
        uncertainty=method.uncertainty,
        passes=method.passes,
        backend=study.backend,
        precision=study.precision,
    )
    predictor = on_dataset(recipe.open({"uncertainty"}), dataset)
    scores = score(
        predictor,
        dataset,
        study.split,
        [PixelScores, UncertaintyScores],
        lambda done, total: progress(method.name, done, total),
    )
    samples = dataset.of_split(study.split)
    familiar = _counts(predictor, (read_picture(sample.image) for sample in samples))
    strange: dict[str, Any] = {}
    for name, folder in study.strange.items():
        sources = [source for source in expand_sources([folder]) if source.kind == "image"]
        if not sources:
            raise InputError(f"{folder}: holds no picture")
        strange[name] = _separation(familiar, _counts(predictor, (read_picture(source.path) for source in sources)))
        progress(f"{method.name}: {name}", 1, 1)
    for kind in study.corruptions:
        for strength in STRENGTHS:
            changed = (corrupt(read_picture(s.image), kind, strength, seed) for seed, s in enumerate(samples))
            strange[f"{kind} {strength}"] = _separation(familiar, _counts(predictor, changed))
            progress(f"{method.name}: {kind}", strength, len(STRENGTHS))
    wanted = ("miou", "miou_foreground", "ms_per_image", "ms", "n_images", "compute", "uncertainty")
    return {**{key: scores[key] for key in wanted}, "strange": strange}


def _counts(predictor: Predictor, pictures: Iterator[np.ndarray]) -> dict[str, OutOfDistributionCounts]:
    """Return the uncertainties of all pixels of some pictures, by map, as histograms."""
    counts_of_map: dict[str, OutOfDistributionCounts] = {}
    for picture in pictures:
        maps = predictor.predict(Frame.from_rgb(picture)).maps
        for name in uncertainty_maps(maps):
            counts = counts_of_map.setdefault(name, OutOfDistributionCounts(map_kind(name).sign))
            counts.update(maps[name], strange=False)
    return counts_of_map


def _separation(
    familiar: dict[str, OutOfDistributionCounts], strange: dict[str, OutOfDistributionCounts]
) -> dict[str, Any]:
    scores = {}
    for name, own in familiar.items():
        both = OutOfDistributionCounts()
        both.counts = np.stack([own.counts[0], strange[name].counts[0]])
        scores[name] = both.scores()
    return scores


def table_rows(name: str, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of one method, one for each of its maps.

    Args:
        name: name of the method.
        result: contents of ``out/METHOD.json``.
    """
    rows = []
    for map_name, scores in result["uncertainty"]["maps"].items():
        middle = len(scores["thresholds"]) // 2
        row: dict[str, Any] = {
            "method": name,
            "map": map_name,
            "miou": result["miou"],
            "miou_foreground": result["miou_foreground"],
            "ms": result["ms_per_image"],
        }
        for key in ("p_accurate_given_certain", "p_uncertain_given_inaccurate", "pavpu"):
            row[key] = scores[key][middle]
        row |= {key: scores[key] for key in ("auroc_error", "aupr_error", "aurc")}
        row |= {f"auroc {kind}": values[map_name]["auroc"] for kind, values in result["strange"].items()}
        rows.append(row)
    return rows


def class_means(study: Study) -> dict[str, Any] | None:
    """Return distances of class means between places far apart, for the study's model ``places``; None without one."""
    if study.places is None:
        return None
    from lanecli.inference.fitting import dataset_features
    from lanecli.shipped import find_model
    from lanecli.uncertainty.positions import PositionMeans

    means: PositionMeans | None = None
    path = find_model(study.places, prefer=".safetensors")
    for label_map, features, mask in dataset_features(path, study.data, study.split):
        means = means or PositionMeans(label_map, len(features))
        means.update(features, mask)
    assert means is not None, "a split has a picture"
    return means.distances()


def example_maps(study: Study, method: Method, dataset: DatasetInfo) -> Iterator[tuple[np.ndarray, np.ndarray, Any]]:
    """Yield the study's examples: picture, where the prediction is right (255 ignored), and Prediction."""
    recipe = Recipe(
        models=method.models, uncertainty=method.uncertainty, passes=method.passes, backend=study.backend,
        precision=study.precision,
    )  # fmt: skip
    predictor = on_dataset(recipe.open({"uncertainty"}), dataset)
    samples = dataset.of_split(study.split)
    for sample in samples[:: max(1, len(samples) // max(study.examples, 1))][: study.examples]:
        picture, mask = read_picture(sample.image), read_mask(sample.mask)
        prediction = predictor.predict(Frame.from_rgb(picture))
        predicted = prediction.class_map if prediction.labels is None else prediction.labels
        yield picture, np.where(mask == 255, 255, predicted == mask).astype(np.uint8), prediction
