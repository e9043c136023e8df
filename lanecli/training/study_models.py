"""The models of a study of uncertainty: trained as the study says, with the statistics their measures need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lanecli.errors import InputError
from lanecli.inference.fitting import fit_density
from lanecli.inference.study import Study
from lanecli.modelfile import read_spec
from lanecli.training.loop import Run
from lanecli.training.sweep import run_sweep
from lanecli.training.sweep_file import Sweep, sweep_of
from lanecli.training.watcher import Watcher

RUNS = "models"
_FITTED = ("density", "neco")


def train_models(
    study: Study,
    path: Path,
    watch: Callable[[str, Run], Watcher],
    *,
    device: str = "auto",
    say: Callable[[str], None] = lambda _line: None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> Study:
    """Train what a study names under ``train``; what is trained already is not trained again.

    Args:
        study: as :func:`lanecli.inference.study.read_study` gives it.
        path: of its file, for messages.
        watch: who is told how the run of this name goes.
        device: as for training.
        say: told what is being done.
        progress: told of a model's statistics how many pictures of how many are done.

    Returns:
        The study whose methods name the model files: of a variant NAME ``out/models/NAME/model.safetensors``, which
        holds statistics of the features of its own training pictures where a measure needs them.

    Raises:
        InputError: a variant cannot be trained, or learns from other than one dataset and needs statistics.
    """
    if study.train is None:
        return study
    sweep = sweep_of({"speeds": False, **study.train}, path, [])
    several = [name for name, variant in sweep.variants.items() if len(variant.configs) > 1]
    if several:
        raise InputError(f"{path}: '{several[0]}': a model of a study is one training; name each seed as a variant")
    rows = run_sweep(sweep, study.out / RUNS, watch, device=device, say=say)
    for row in rows:
        if "failed" in row:
            raise InputError(f"{path}: '{row['variant']}' was not trained: {row['failed']}")
    files = {name: study.out / RUNS / name / "model.safetensors" for name in sweep.variants}
    for method in study.methods:
        for name in method.models if method.uncertainty in _FITTED else ():
            if name in files and "log_density" not in read_spec(files[name]).outputs:
                say(f"{name}: statistics of its features")
                _fit(sweep, name, files[name], progress)
    named = {name: str(file) for name, file in files.items()}
    methods = (replace(m, models=tuple(named.get(model, model) for model in m.models)) for m in study.methods)
    places = None if study.places is None else named.get(study.places, study.places)
    return replace(study, methods=tuple(methods), places=places)


def _fit(sweep: Sweep, name: str, model: Path, progress: Callable[[str, int, int], None]) -> None:
    data = sweep.variants[name].configs[0].each_stage[-1].data
    if len(data.root) != 1:
        raise InputError(f"'{name}' learns from {len(data.root)} datasets; statistics are those of one")
    fit_density(
        model, Path(data.root[0]), model, split=data.split, progress=lambda done, total: progress(name, done, total)
    )
