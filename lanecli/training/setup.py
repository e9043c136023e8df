"""From a configuration to the parts of a run: sources, geometry, the model's specification."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from lanecli import __version__
from lanecli.config import Config
from lanecli.data.dataset import PreparedSource, Source, SyntheticSource
from lanecli.data.manifest import read_dataset
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labels import LabelMap
from lanecli.modelfile import ModelSpec, read_spec
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
    """The specification of the model `config` trains."""
    arguments = dict(config.model.args)
    if config.model.encoder is not None:
        arguments["encoder"] = config.model.encoder
    spec = ModelSpec(config.model.name, arguments, data.label_map, data.model_geometry(config))
    if config.model.weights is not None:
        start = read_spec(find_model(config.model.weights, prefer=".safetensors"))
        if (start.architecture, start.arguments) != (spec.architecture, spec.arguments):
            raise InputError(
                f"model.weights={config.model.weights} is a {start.architecture} {start.arguments}, "
                f"the configuration asks for {spec.architecture} {spec.arguments}"
            )
    return spec


def provenance(config: Config, step: int, scores: dict[str, Any]) -> dict[str, Any]:
    """What a model file says of where it comes from: the configuration, with names in place of this machine's paths."""
    settings = config.model_dump(mode="json")
    settings["data"]["root"] = [Path(root).name for root in config.data.root]
    for key in ("weights", "encoder_weights"):
        if settings["model"][key] is not None:
            settings["model"][key] = Path(settings["model"][key]).name
    return {"step": step, "scores": scores, "config": settings, "versions": versions()}


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
    }
