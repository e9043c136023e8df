"""From a configuration to the parts of a run: sources, geometry, the model's specification."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from lanecli import __version__
from lanecli.config import Config, load_config
from lanecli.data.dataset import PreparedSource, Source, SyntheticSource
from lanecli.data.manifest import read_dataset
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labels import LabelMap
from lanecli.modelfile import ModelSpec, read_spec
from lanecli.models.build import Network, load_weights
from lanecli.models.registry import MODELS, default_encoder
from lanecli.shipped import find_model

SYNTHETIC_SCENES = 2000
SYNTHETIC_VALIDATION = 64
_VALIDATION_SEED = 1_000_000_000  # far from any training scene's seed


class DataPlan:
    """Where training and validation pictures come from, and what the datasets agree on."""

    def __init__(self, config: Config) -> None:
        """Read the datasets `config.data` names. Raises InputError where they disagree."""
        self.label_map: LabelMap
        self.crop: tuple[float, float, float, float] = config.data.geometry.crop
        self.pixel_counts: list[int] | None = None
        self.training: list[Source] = []
        self.validation: list[Source] = []
        if not config.data.root:
            self.training = [SyntheticSource(config.data.samples or SYNTHETIC_SCENES, config.train.seed * 10_000_019)]
            self.validation = [SyntheticSource(SYNTHETIC_VALIDATION, _VALIDATION_SEED)]
            self.label_map = self.training[0].label_map
            return
        self._read(config)

    def _read(self, config: Config) -> None:
        infos = [(root, read_dataset(Path(root).expanduser())) for root in config.data.root]
        first_root, first = infos[0]
        self.label_map = first.label_map
        crops = {info.geometry.crop for _, info in infos}
        if len(crops) == 1 and any(crop := crops.pop()):
            if any(self.crop):
                raise InputError(f"{first_root} was prepared with crop {crop}; leave data.geometry.crop out")
            self.crop = crop
        elif crops and len(crops) > 1:
            raise InputError(f"the datasets were prepared with different crops: {sorted(crops)}")
        counts = [0] * len(self.label_map.classes)
        for root, info in infos:
            if not info.label_map.same_classes(self.label_map):
                raise InputError(
                    f"{root} has classes {', '.join(info.label_map.names)}; "
                    f"{first_root} has {', '.join(self.label_map.names)}: datasets trained on together share classes"
                )
            splits = {sample.split for sample in info.samples}
            if config.data.split not in splits and config.data.val_split not in splits:
                info.of_split(config.data.split)  # raises, naming the splits there are
            if config.data.split in splits:
                samples = info.of_split(config.data.split)
                self.training.append(
                    PreparedSource(samples, self.label_map, config.data.sampler, config.train.bootstrap)
                )
                split_counts = info.pixel_counts.get(config.data.split, {})
                counts = [n + split_counts.get(name, 0) for n, name in zip(counts, self.label_map.names, strict=True)]
            if config.data.val_split in splits:
                self.validation.append(PreparedSource(info.of_split(config.data.val_split), self.label_map))
        if not self.training:
            raise InputError(f"no dataset has a '{config.data.split}' split to train on")
        if config.data.weights is not None and len(config.data.weights) != len(self.training):
            raise InputError(
                f"data.weights has {len(config.data.weights)} values for {len(self.training)} training sets"
            )
        self.pixel_counts = counts

    def network_geometry(self, config: Config) -> Geometry:
        """What prepared pictures still go through: the size and fit, the crop only if it was not done before."""
        return Geometry(config.data.geometry.size, config.data.geometry.crop, config.data.geometry.fit)

    def model_geometry(self, config: Config) -> Geometry:
        """What a frame as it comes from the camera goes through: the datasets' crop included."""
        return Geometry(config.data.geometry.size, self.crop, config.data.geometry.fit)


def build_spec(config: Config, data: DataPlan) -> ModelSpec:
    """The specification of the model `config` trains, its encoder named even where the configuration leaves it open.

    Raises:
        InputError: an unknown model, an argument given twice, or `model.weights` of another kind of model.
    """
    model, arguments = config.model, dict(config.model.args)
    for key, value in (("dropout", model.dropout), ("spectral_norm", model.spectral_norm or None)):
        if value is not None and arguments.setdefault(key, value) != value:
            raise InputError(f"model.{key} is {value}, and model.args.{key} is {arguments[key]}: give one of them")
    encoder = model.encoder or arguments.get("encoder") or default_encoder(model.name)
    if encoder is not None:
        arguments["encoder"] = encoder
    spec = ModelSpec(MODELS.canonical(model.name), arguments, data.label_map, data.model_geometry(config))
    if model.weights is not None:
        start = read_spec(find_model(model.weights, prefer=".safetensors"))
        # neither changes the weights a start is made from
        ours, theirs = (
            {key: value for key, value in each.arguments.items() if key not in ("dropout", "auxiliary")}
            for each in (spec, start)
        )
        if (start.architecture, theirs) != (spec.architecture, ours):
            raise InputError(
                f"model.weights={model.weights} is a {start.architecture} {theirs}, "
                f"the configuration asks for {spec.architecture} {ours}"
            )
    return spec


_PATHS = ("weights", "encoder_weights", "teacher", "weigh_errors_of", "root")


def _without_folders(value: Any, key: str = "") -> Any:
    """A configuration whose paths are cut to their last part, stages and the arguments of losses included."""
    if isinstance(value, dict):
        return {name: _without_folders(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner, key) for inner in value]
    return Path(value).name if key in _PATHS and isinstance(value, str) else value


def load_start(config: Config, spec: ModelSpec, network: Network) -> None:
    """Load the weights ``model.weights`` names into `network`; nothing without."""
    if config.model.weights is not None:
        start = find_model(config.model.weights, prefer=".safetensors")
        counts = len(read_spec(start).label_map.classes), len(spec.label_map.classes)
        load_weights(network, start, counts)


def score_names(label_map: LabelMap) -> list[str]:
    """Validation scores that can choose the best model."""
    pooled = ["miou_foreground", "miou", "pixel_accuracy", "dice", "precision", "recall"]
    return pooled + [f"iou/{name}" for name in label_map.names]


_ANYTIME = ("data.workers", "train.save_steps", "train.sample_epochs")


def check_resumed(state: dict[str, Any], config: Config, processes: int, folder: Path) -> None:
    """Raise InputError when `state` belongs to another configuration, or to another number of processes.

    Keys that change no result may differ: the loader's processes, how often the state is saved and samples are drawn.
    """
    before, now = _flat(state["config"]), _flat(config.model_dump(mode="json"))
    changed = [key for key in {**before, **now} if key not in _ANYTIME and before.get(key) != now.get(key)]
    if changed:
        key = changed[0]
        raise InputError(
            f"{folder}: the configuration changed since the state was saved ({key} was {before.get(key)}, is "
            f"{now.get(key)}): put it back in {folder / 'config.yaml'}, or start a new run with model.weights={folder}"
        )
    trained = len(state["random"])
    if trained != processes:
        raise InputError(
            f"{folder} was trained by {trained} processes, this is {processes}: go on with "
            f"torchrun --nproc-per-node {trained} -m lanecli train --resume {folder}"
        )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return flat


def provenance(config: Config, step: int, scores: dict[str, Any]) -> dict[str, Any]:
    """What a model file says of where it comes from: the configuration, with names in place of this machine's paths."""
    settings = _without_folders(config.model_dump(mode="json"))
    return {"step": step, "scores": scores, "config": settings, "versions": versions()}


def resume_config(folder: Path) -> Config:
    """The configuration a run was started with. Raises InputError when `folder` is no run."""
    with contextlib.suppress(OSError):
        if (folder / "config.yaml").is_file():
            return load_config(folder / "config.yaml")
    raise InputError(f"{folder} is no training run: it has no config.yaml")


def fresh_folder(base: Path) -> Path:
    """`base`, or `base-2`, `base-3` …: the first that does not exist yet; it is made."""
    number, folder = 1, base
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
            folder = base.with_name(f"{base.name}-{number}")
        except OSError as error:
            raise InputError(f"cannot make the run folder {folder}: {error.strerror}") from error


def versions() -> dict[str, Any]:
    """What the run was made with."""
    import numpy
    import torch

    return {
        "lanecli": __version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The git commit of the source this runs from, with a + when it was changed; None for an installed package."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        head, changes = (
            subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.strip() + ("+" if changes.strip() else "")
