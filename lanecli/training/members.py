"""Training several models from one configuration, and the ensemble file that joins them.

The file ``members.json`` of the folder records the request and the result of each member, so that a killed run
continues with the member that it was training.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from lanecli import atomic
from lanecli.config import Config
from lanecli.data.dataset import EvaluationSet
from lanecli.errors import InputError
from lanecli.modelfile import read_spec
from lanecli.training.batches import batches
from lanecli.training.checkpoint import has_state
from lanecli.training.folds import predict_fold, write_fold_manifest
from lanecli.training.loop import Run
from lanecli.training.run_folder import begin_folder
from lanecli.training.samme import PreviousMembers, alpha_of, weighted_error
from lanecli.training.watcher import Watcher

RECORD, ENSEMBLE, OUT_OF_FOLD = "members.json", "ensemble.yaml", "out-of-fold"
Kind = Literal["members", "folds", "boosting", "snapshots"]
KINDS: tuple[Kind, ...] = ("members", "folds", "boosting", "snapshots")


@dataclass(frozen=True)
class Request:
    """The members to train.

    Attributes:
        kind: ``members`` (they differ in their seeds), ``folds`` (each leaves out one fold), ``boosting`` (each gives
            more weight to the pixels that the previous members got wrong), or ``snapshots`` (a single run whose
            learning rate falls to its minimum several times).
        count: the number of members.
        bagging: whether each of the ``members`` trains on its own bootstrap resample (Breiman 1996).
    """

    kind: Kind
    count: int
    bagging: bool = False

    def __post_init__(self) -> None:
        """Raise InputError for a combination that is not possible."""
        if self.count < 2:
            raise InputError(f"--{self.kind} must be a number from 2; one model needs no ensemble")
        if self.bagging and self.kind != "members":
            raise InputError(f"--bagging can be used with --members, not with --{self.kind}")


def begin(folder: Path, config: Config, request: Request) -> None:
    """Record what will be trained in the folder. From then on it can be resumed."""
    begin_folder(folder, config)
    atomic.write(folder / RECORD, json.dumps({**vars(request), "done": []}))


def request_of(folder: Path) -> Request | None:
    """Return the request that :func:`begin` recorded in a folder, or None if it is a run of one model."""
    record = _record(folder)
    return None if record is None else Request(record["kind"], record["count"], record["bagging"])


def _record(folder: Path) -> dict[str, Any] | None:
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["kind"] not in KINDS or not all(isinstance(each["model"], str) for each in record["done"]):
            raise ValueError(f"kind {record['kind']!r}")
        record["count"], record["bagging"] = int(record["count"]), bool(record["bagging"])
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise InputError(f"{path}: damaged ({type(error).__name__}: {str(error)[:80]})") from error
    return dict(record)


def check(config: Config, request: Request) -> None:
    """Raise InputError if such members cannot be trained with the configuration."""
    if request.kind == "snapshots":
        snapshot_config(config, request.count)
    if request.kind == "folds" and not config.data.root:
        raise InputError("--folds divides the pictures of a dataset: name one with --data")
    if request.kind in ("folds", "boosting") and len(config.each_stage) > 1:
        keys = {(tuple(stage.data.root), stage.data.split, stage.data.geometry) for stage in config.each_stage}
        if len(keys) > 1 and request.kind == "boosting":
            raise InputError(
                "--boosting weights the same pixels for every member: all stages must have one size and dataset"
            )


def train_members(
    config: Config,
    request: Request,
    folder: Path,
    watch: Callable[[str, Run], Watcher],
    *,
    device: str = "auto",
    say: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """Train the members that are not trained yet, and write the ensemble file.

    Args:
        config: the configuration of all members.
        request: the members to train.
        folder: a folder for which :func:`begin` has been called.
        watch: returns the watcher of a member's run, by its name.
        device: as for training.
        say: called with a line when a member begins.

    Returns:
        ``run``, ``ensemble`` (the file), and ``members``: for each one ``model``, ``weight``, ``best`` and ``steps``.
    """
    record = _record(folder)
    done: list[dict[str, Any]] = [] if record is None else record["done"]
    if request.kind == "snapshots":
        if not done:
            done = _snapshots(snapshot_config(config, request.count), folder, watch, device)
            _keep(folder, request, done)
    else:
        while len(done) < request.count and not _ended(done):
            name = f"member-{len(done) + 1}"
            say(f"{name} of {request.count}")
            row = _member(name, _config_of(config, request, folder, done), request, folder, watch, device)
            done.append(row)
            _keep(folder, request, done)
            if _ended(done):
                say(f"{name} is no better than guessing where the previous members were wrong: boosting ends here")
    if request.kind == "folds":
        _write_fold_list(config, request, folder)
    return {"run": str(folder), "ensemble": str(_write_ensemble(folder, request, done)), "members": done}


def _ended(done: list[dict[str, Any]]) -> bool:
    """Whether the last member is no better than guessing, so that no further one can be boosted."""
    return bool(done) and done[-1]["weight"] <= 0


def _config_of(config: Config, request: Request, folder: Path, done: list[dict[str, Any]]) -> Config:
    """Return the configuration of the next member."""
    number, seed = len(done), config.train.seed + len(done)
    if request.kind == "folds":
        return config.changed({"data": {"fold": f"{number + 1}/{request.count}"}})
    own: dict[str, Any] = {"seed": seed}
    if request.bagging:
        own["bootstrap"] = seed
    if request.kind == "boosting":
        own["boost"] = [{"model": str(folder / each["model"]), "weight": each["weight"]} for each in done]
    return config.changed({"train": own})


def snapshot_config(config: Config, count: int) -> Config:
    """Return the configuration of one run with `count` stages, in each of which the rate falls along half a cosine.

    This follows Huang et al. 2017, arXiv 1704.00109.

    Raises:
        InputError: the configuration has stages already, or fewer epochs than snapshots.
    """
    if config.stages:
        raise InputError("--snapshots makes stages of its own: remove those of the configuration with stages=[]")
    epochs, rest = divmod(config.train.epochs, count)
    if not epochs:
        raise InputError(f"train.epochs={config.train.epochs} is fewer than {count} snapshots")
    cycle = {"name": "cosine", "args": {}, "warmup": 0.0}
    first = {"train": {"epochs": epochs + rest}, "schedule": {**cycle, "warmup": config.schedule.warmup}}
    others = [{"train": {"epochs": epochs}, "schedule": cycle} for _ in range(count - 1)]
    return config.changed({"stages": [first, *others]})


def _run(name: str, config: Config, folder: Path, watch: Callable[[str, Run], Watcher], device: str) -> Run:
    """Train one model to the end, from its last saved state if there is one."""
    folder.mkdir(exist_ok=True)
    if not (folder / "config.yaml").is_file():
        begin_folder(folder, config)
    run = Run(config, folder, device=device, resume=has_state(folder / "last"))
    run.train(watch(name, run))
    return run


def _row(model: str, run: Run, weight: float = 1.0) -> dict[str, Any]:
    file = run.folder / model if model.endswith(".safetensors") else run.folder / "model.safetensors"
    best = read_spec(file).provenance["scores"].get(f"val/{run.stages[-1].config.train.best}")
    return {"model": model, "weight": weight, "best": best, "steps": run.steps}


def _member(
    name: str, config: Config, request: Request, folder: Path, watch: Callable[[str, Run], Watcher], device: str
) -> dict[str, Any]:
    run = _run(name, config, folder / name, watch, device)
    model, stage = folder / name / "model.safetensors", run.stages[-1]
    if request.kind == "folds":
        geometry = stage.data.network_geometry(stage.config)
        out = folder / OUT_OF_FOLD / name
        out.parent.mkdir(exist_ok=True)
        predict_fold(model, stage.data.held_out, geometry, out, device=device, batch=stage.config.train.batch)
    if request.kind != "boosting":
        return _row(name, run)
    before = [(Path(each.model) / "model.safetensors", each.weight) for each in config.train.boost]
    items = [EvaluationSet(source, stage.training.geometry) for source in stage.data.training]
    read = (batch for part in items for batch in batches(part, stage.config.train.batch, stage.config.data.workers))
    error = weighted_error(model, PreviousMembers(before, stage.label_map, run.device), read, run.device)
    classes = 2 if stage.label_map.multilabel else len(stage.label_map.classes)
    return _row(name, run, alpha_of(error, classes)) | {"error": error}


def _snapshots(config: Config, folder: Path, watch: Callable[[str, Run], Watcher], device: str) -> list[dict[str, Any]]:
    """Train a run whose stages give the models. The run is in the folder itself."""
    run = Run(config, folder, device=device, resume=has_state(folder / "last"))
    run.train(watch("snapshots", run))
    last = len(config.stages)
    names = [f"stage-{number}.safetensors" for number in range(1, last)] + ["model.safetensors"]
    return [_row(name, run) for name in names]


def _write_fold_list(config: Config, request: Request, folder: Path) -> None:
    from lanecli.training.data import TrainingData

    held_out = []
    for number in range(1, request.count + 1):
        data = TrainingData(config.changed({"data": {"fold": f"{number}/{request.count}"}}).each_stage[-1])
        held_out.append((f"member-{number}", data.held_out))
    write_fold_manifest(folder / OUT_OF_FOLD, held_out)


def _keep(folder: Path, request: Request, done: list[dict[str, Any]]) -> None:
    atomic.write(folder / RECORD, json.dumps({**vars(request), "done": done}))


def _write_ensemble(folder: Path, request: Request, done: list[dict[str, Any]]) -> Path:
    """Write the ensemble file: with equal weights, or for boosting with alpha, of the members better than guessing."""
    tree: dict[str, Any]
    if request.kind == "boosting":
        kept = [each for each in done if each["weight"] > 0] or done[:1]
        tree = {
            "members": [{"model": each["model"], "weight": max(each["weight"], 1e-6)} for each in kept],
            "combine": "weighted",
        }
    else:
        tree = {"members": [{"model": each["model"]} for each in done], "combine": "mean"}
    path = folder / ENSEMBLE
    atomic.write(path, yaml.safe_dump(tree, sort_keys=False))
    return path
