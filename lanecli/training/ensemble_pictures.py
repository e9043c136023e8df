"""Checks that a study of ensembles scores on pictures that nothing was trained, fitted or chosen on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lanecli.data.dataset import PreparedPictures
from lanecli.data.fingerprint import shared_pictures
from lanecli.data.manifest import MANIFEST, Sample, read_dataset
from lanecli.data.unlabelled import find_pictures, holds_answers
from lanecli.errors import InputError
from lanecli.inference.recipe import Recipe
from lanecli.labels import LabelMap
from lanecli.training.data import OWN_AVERAGE, TrainingData
from lanecli.training.ensemble_study import EnsembleStudy, Training, classes_of
from lanecli.training.pictures import refuse_trained_on


def check_pictures(study: EnsembleStudy) -> None:
    """Compare the pictures of a study, by their content and by their groups, before anything is trained.

    Raises:
        InputError: a test set shares a picture, or a group of one dataset, with the hold-out, with pictures a training
            learns from or is validated on, or with the training pictures of models it starts from; or the hold-out does
            with pictures a training learns from. Or the classes differ.
    """
    label_map = _classes(study)
    hold_out = study.hold_out.samples()
    kept = [(f"the test set '{each.name}'", each.samples()) for each in study.sets]
    for name, samples in kept:
        _refuse_shared(name, samples, f"the hold-out '{study.hold_out.name}'", hold_out)
    kept_back = [*kept, (f"the hold-out '{study.hold_out.name}'", hold_out)]
    compared: set[tuple[bool, frozenset[Path]]] = set()
    for training, each in study.trainings.items():
        for learns, used in _pictures_of(each, label_map):
            own = (learns, frozenset(sample.image for sample in used))
            if own in compared:
                continue
            compared.add(own)
            use = "training" if learns else "validation"
            for name, others in kept_back if learns else kept:
                _refuse_shared(name, others, f"the {use} pictures of '{training}'", used)
        for model in _starts(each):
            for name, others in kept_back:
                refuse_trained_on(model, name, others)


def _classes(study: EnsembleStudy) -> LabelMap:
    """Return the classes of all sets. Raises InputError if they differ, or the class to compare is none of them."""
    first, *others = (*study.sets, study.hold_out)
    label_map = read_dataset(first.root).label_map
    for other in others:
        if not read_dataset(other.root).label_map.same_classes(label_map):
            raise InputError(f"{other.root} has other classes than {first.root}: {', '.join(label_map.names)}")
    classes_of(label_map, study.label)
    return label_map


def _pictures_of(training: Training, label_map: LabelMap) -> Iterator[tuple[bool, list[Sample]]]:
    """Yield what each stage learns from (True) and is validated on (False)."""
    for stage in training.config.each_stage:
        data = TrainingData(stage)
        if not data.label_map.same_classes(label_map):
            raise InputError(f"{', '.join(stage.data.root)}: has other classes than the test set's")
        yield True, data.seen
        yield False, [s for part in data.validation if isinstance(part, PreparedPictures) for s in part.samples]
        if stage.data.unlabelled:
            files = [Path(file.path) for file in find_pictures(stage.data.unlabelled)]
            yield True, [Sample(path, path, "unlabelled", "") for path in files]


def _starts(training: Training) -> list[Path]:
    """Return the files of models that exist already and that a training learns from."""
    names = []
    for stage in training.config.each_stage:
        names += [stage.model.weights, stage.train.weigh_errors_of]
        if stage.teacher not in (None, OWN_AVERAGE) and Path(str(stage.teacher)).exists():
            names += [] if holds_answers(str(stage.teacher)) else [stage.teacher]
    files = [file for name in dict.fromkeys(names) if name for file in model_files((name,))]
    return list(dict.fromkeys(files))


def model_files(models: Sequence[str]) -> list[Path]:
    """Return the files of models; for an ensemble file those of its members."""
    return [file for file in Recipe(tuple(models)).files() if file.suffix.lower() not in (".yaml", ".yml")]


def _refuse_shared(name: str, samples: Sequence[Sample], other_name: str, others: Sequence[Sample]) -> None:
    if same := shared_pictures(samples, others):
        raise InputError(
            f"{name} and {other_name} share {len(same)} picture{'s' if len(same) > 1 else ''}, such as {same[0]}: "
            "nothing may be fitted on what it is scored on"
        )
    groups = {(_root(sample), sample.group) for sample in others} - {(None, "")}
    if divided := [sample.group for sample in samples if (_root(sample), sample.group) in groups]:
        raise InputError(
            f"{name} and {other_name} divide the group '{divided[0]}', whose pictures resemble each other: put a group "
            "into one split"
        )


def _root(sample: Sample) -> Path | None:
    """Return the folder of the dataset that a sample is from."""
    return next((folder for folder in sample.mask.parents if (folder / MANIFEST).is_file()), None)
