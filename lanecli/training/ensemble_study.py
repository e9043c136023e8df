"""The file of a study of ensembles: what is trained, what is compared, and that no picture serves for both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lanecli.config import Config, load_config
from lanecli.errors import InputError
from lanecli.inference.combiners import COMBINERS
from lanecli.inference.ensemble_fit import CRITERIA
from lanecli.inference.study_file import read_mapping, refuse_unknown
from lanecli.labels import LabelMap
from lanecli.training.choice import choose
from lanecli.training.members import ENSEMBLE, KINDS, Request, check
from lanecli.training.pictures import Pictures
from lanecli.training.sweep_file import check_name

RUNS, FITTED, SCORES = "runs", "fitted", "scores"
BEST = "best"
"""Stands, among the models of a row, for the single member that is the best on the hold-out."""
FITS = ("weights", "blending", "stacking", "soup")
_KEYS = ("data", "fit", "class", "train", "single", "rows", "out", "backend", "precision")
_RUN_KEYS = (*KINDS, "bagging", "teacher", "set")
_ROW_KEYS = ("models", "combine", "tta", "fit", "criterion", "inputs", "context")


@dataclass(frozen=True)
class Training:
    """A training of the study.

    Attributes:
        config: its configuration; `loss: auto` has been chosen.
        request: the members to train; None for a single model.
    """

    config: Config
    request: Request | None


@dataclass(frozen=True)
class Row:
    """A row of the table: models, and how they are combined.

    Attributes:
        models: names of trainings, ``TRAINING/member-2``, model files or :data:`BEST`.
        combine: a registered rule; None for that of an ensemble file, or the mean.
        tta: registered views of a frame.
        fit: what is fitted first, one of :data:`FITS`, or None.
        criterion: what fitted weights optimise.
        inputs, context: what a meta-model sees.
    """

    models: tuple[str, ...]
    combine: str | None = None
    tta: str = "none"
    fit: str | None = None
    criterion: str = "nll"
    inputs: tuple[str, ...] = ("probabilities",)
    context: int = 1


@dataclass(frozen=True)
class EnsembleStudy:
    """A study of ensembles.

    Attributes:
        sets: the test pictures; each set has its own rows.
        hold_out: the pictures that weights and meta-models are fitted on, and the best single member is chosen on.
        label: the class whose IoU is compared; None for the mean over the classes except background.
        out: folder for everything that is written.
        trainings: the trainings by name, in the order of the file.
        single: the training whose members are the single models.
        rows: the other rows by name, in the order of the table.
        backend, precision: what the models run on.
    """

    sets: tuple[Pictures, ...]
    hold_out: Pictures
    label: str | None
    out: Path
    trainings: Mapping[str, Training]
    single: str
    rows: Mapping[str, Row]
    backend: str = "auto"
    precision: str = "fp32"

    def folder(self, training: str) -> Path:
        """Return the folder of a training."""
        return self.out / RUNS / training


def read_study(path: Path, out: Path | None = None) -> EnsembleStudy:
    """Read a study's YAML file; paths in it are used as typed on the command line.

    Args:
        path: the file.
        out: takes the place of `out` in the file.

    Raises:
        InputError: it is not YAML, a key is unknown or missing, a value has another form, or a row names a training
            that is not in the file.
    """
    data = read_mapping(path, _KEYS, ("data", "fit", "train", "single", "rows"))
    out = out or Path(str(data.get("out", "runs/ensembles")))
    try:
        sets = tuple(
            _pictures(each, path) for each in (data["data"] if isinstance(data["data"], list) else [data["data"]])
        )
        refuse_unknown(data["train"], ("base", "runs"), f"{path}: train")
        trainings = _trainings(data["train"], path, out)
        single = str(data["single"])
        if single not in trainings or trainings[single].request is None:
            raise InputError(f"{path}: single: must name a training of several members, not '{single}'")
        rows = {}
        for name, entry in dict(data["rows"]).items():
            check_name(str(name), path, "a row")
            rows[str(name)] = _row(entry, trainings, f"{path}: row '{name}'")
        study = EnsembleStudy(
            sets,
            _pictures(data["fit"], path),
            None if data.get("class") is None else str(data["class"]),
            out,
            trainings,
            single,
            rows,
            str(data.get("backend", "auto")),
            str(data.get("precision", "fp32")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: is not a study ({type(error).__name__}: {error})") from error
    if not sets or len({each.name for each in sets}) < len(sets):
        raise InputError(f"{path}: data: each set needs a folder name of its own")
    return study


def _pictures(entry: Any, path: Path) -> Pictures:
    refuse_unknown(entry, ("root", "split"), f"{path}: data and fit")
    return Pictures(Path(str(entry["root"])), str(entry["split"]))


def _trainings(tree: Mapping[str, Any], path: Path, out: Path) -> dict[str, Training]:
    trainings: dict[str, Training] = {}
    for name, entry in dict(tree["runs"]).items():
        where = f"{path}, training '{name}'"
        check_name(str(name), path, "the folder of a training")
        refuse_unknown(entry, _RUN_KEYS, where)
        kinds = [kind for kind in KINDS if kind in entry]
        if len(kinds) > 1:
            raise InputError(f"{where}: {' and '.join(kinds)}: choose one")
        try:
            config = load_config(tree=tree.get("base") or {}, overrides=[str(word) for word in entry.get("set", [])])
            if (teacher := entry.get("teacher")) is not None:
                if str(teacher) not in trainings or trainings[str(teacher)].request is None:
                    raise InputError(f"teacher: must name an earlier training of several members, not '{teacher}'")
                config = config.changed({"teacher": str(out / RUNS / str(teacher) / ENSEMBLE)})
            config, _ = choose(config)
            request = None
            if kinds or entry.get("bagging"):
                kind = kinds[0] if kinds else "members"
                request = Request(kind, int(entry.get(kind, 0)), bool(entry.get("bagging", False)))
                check(config, request)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        trainings[str(name)] = Training(config, request)
    return trainings


def _row(entry: Any, trainings: Mapping[str, Training], where: str) -> Row:
    refuse_unknown(entry, _ROW_KEYS, where)
    models, inputs = entry["models"], entry.get("inputs", Row.inputs)
    names = (models,) if isinstance(models, str) else tuple(str(model) for model in models)
    for name in names:
        if name != BEST and name.split("/")[0] not in trainings and not Path(name).expanduser().exists():
            raise InputError(f"{where}: '{name}' is neither a training of the study nor a model file")
    row = Row(
        names,
        None if entry.get("combine") is None else COMBINERS.canonical(str(entry["combine"])),
        str(entry.get("tta", "none")),
        None if entry.get("fit") is None else str(entry["fit"]),
        str(entry.get("criterion", "nll")),
        (inputs,) if isinstance(inputs, str) else tuple(str(each) for each in inputs),
        int(entry.get("context", 1)),
    )
    if row.fit is not None and row.fit not in FITS:
        raise InputError(f"{where}: fit is {', '.join(FITS)}; not '{row.fit}'")
    if row.fit is not None and row.combine is not None:
        raise InputError(f"{where}: a fit decides how models are combined: leave out combine")
    if row.criterion not in CRITERIA:
        raise InputError(f"{where}: criterion is {' or '.join(CRITERIA)}; not '{row.criterion}'")
    learners = [trainings[name].request if name in trainings else None for name in names]
    if row.fit == "stacking" and any(request is None or request.kind != "folds" for request in learners):
        raise InputError(f"{where}: stacking needs trainings with folds")
    if row.fit == "soup" and names[0].split("/")[0] not in trainings:
        raise InputError(f"{where}: a soup needs models of a training of the study")
    return row


def classes_of(label_map: LabelMap, label: str | None) -> list[int]:
    """Return the numbers of the classes whose IoU is compared: one by its name, or all except background."""
    if label is None:
        return [number for number in range(len(label_map.classes)) if number != label_map.background]
    if label not in label_map.names:
        raise InputError(f"class: there is no '{label}'; the classes are {', '.join(label_map.names)}")
    return [label_map.names.index(label)]
