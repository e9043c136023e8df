"""Training the models of a study, and fitting the statistics that measures of uncertainty need."""

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
) -> Study:
    """Train the models that a study names under ``train``. Models that are trained already are not trained again.

    Args:
        study: the result of :func:`lanecli.inference.study.read_study`.
        path: the file of the study, for messages.
        watch: returns the watcher of a run, by its name.
        device: as for training.
        say: called with a line about what is being done.

    Returns:
        The study with the names of model files in its methods: ``out/models/NAME/model.safetensors`` for a variant
        NAME. The file holds statistics of the features of its training pictures, if a measure needs them.

    Raises:
        InputError: a variant cannot be trained, or it needs statistics and does not learn from exactly one dataset.
    """
    if study.train is None:
        return study
    sweep = sweep_of({"speeds": False, **study.train}, path, [])
    several = [name for name, variant in sweep.variants.items() if len(variant.configs) > 1]
    if several:
        raise InputError(f"{path}: '{several[0]}' has several seeds: make each of them a variant of its own")
    train_variants(sweep, study.out / RUNS, watch, device=device, say=say)
    files = {name: study.out / RUNS / name / "model.safetensors" for name in sweep.variants}
    for method in study.methods:
        for name in method.models if method.uncertainty in _FITTED else ():
            if name in files and "log_density" not in read_spec(files[name]).outputs:
                say(f"{name}: fitting the statistics of its features")
                _fit(sweep, name, files[name])
    file_of_model = {name: str(file) for name, file in files.items()}
    methods = (replace(m, models=tuple(file_of_model.get(model, model) for model in m.models)) for m in study.methods)
    places = None if study.places is None else file_of_model.get(study.places, study.places)
    return replace(study, methods=tuple(methods), places=places)


def train_variants(
    sweep: Sweep,
    out: Path,
    watch: Callable[[str, Run], Watcher],
    *,
    device: str = "auto",
    say: Callable[[str], None] = lambda _line: None,
) -> None:
    """Run a sweep, every variant of which is needed. The arguments are those of `run_sweep`.

    Raises:
        InputError: a variant was not trained.
    """
    for row in run_sweep(sweep, out, watch, device=device, say=say):
        if "failed" in row:
            raise InputError(f"'{row['variant']}' was not trained: {row['failed']}")


def _fit(sweep: Sweep, name: str, model: Path) -> None:
    data = sweep.variants[name].configs[0].each_stage[-1].data
    if not data.root:
        raise InputError(f"'{name}' learns from rendered scenes; statistics need a dataset")
    roots = [Path(root) for root in data.root]
    fit_density(model, roots, model, split=data.split)
