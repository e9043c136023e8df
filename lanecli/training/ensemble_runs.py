"""Trains what a study of ensembles compares. What is trained already is not trained again."""

from __future__ import annotations

from collections.abc import Callable

from lanecli.errors import InputError
from lanecli.ownership import owned
from lanecli.training.ensemble_study import RUNS, EnsembleStudy, Training
from lanecli.training.loop import Run
from lanecli.training.members import begin, request_of, train_members
from lanecli.training.run_folder import is_new
from lanecli.training.study_models import train_variants
from lanecli.training.sweep_file import Sweep, Variant
from lanecli.training.watcher import Watcher

Say = Callable[[str], None]
Watch = Callable[[str, Run], Watcher]


def train_all(study: EnsembleStudy, watch: Watch, *, device: str = "auto", say: Say = lambda _line: None) -> None:
    """Train first the ensembles, in the order of the file, then the single models, which may have them as teachers.

    Args:
        study: the study; the folder of a training is :meth:`EnsembleStudy.folder`.
        watch: returns the watcher of a run, by its name.
        device: as for training.
        say: called with a line when a training begins.

    Raises:
        InputError: a folder holds another training than the one in the file, or one cannot be trained.
    """
    alone = {name: each for name, each in study.trainings.items() if each.request is None}
    for name, each in study.trainings.items():
        if name not in alone:
            _ensemble(study, name, each, watch, device, say)
    for name in alone:
        if request_of(study.folder(name)) is not None:
            raise InputError(f"{study.folder(name)} holds several models instead of one; name a new --out")
    if alone:
        variants = {name: Variant(name, (each.config,)) for name, each in alone.items()}
        train_variants(Sweep(variants, speeds=False), study.out / RUNS, watch, device=device, say=say)


def _ensemble(study: EnsembleStudy, name: str, training: Training, watch: Watch, device: str, say: Say) -> None:
    folder, request = study.folder(name), training.request
    assert request is not None, "a single model is trained by train_variants"
    new = is_new(folder, training.config)
    begun = request_of(folder)
    if not new and begun != request and (begun is not None or (folder / "model.safetensors").exists()):
        raise InputError(f"{folder} holds other members than the study asks for; name a new --out")
    say(f"{name}: {request.count} {'models' if request.kind == 'members' else request.kind}")
    with owned(folder):
        if begun is None:
            begin(folder, training.config, request)
        train_members(training.config, request, folder, watch, device=device, say=lambda line: say(f"{name}: {line}"))
