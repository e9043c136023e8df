"""From the configuration's `model` to the specification inside the model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from lanecli.config import load_config
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.registry import MODELS
from lanecli.sections import ModelConfig
from lanecli.training.data import TrainingData
from lanecli.training.spec import build_spec


class _Data:
    label_map = label_map("lane")

    def model_geometry(self, config: object) -> Geometry:
        return Geometry((64, 32))


def spec_for(*overrides: str) -> ModelSpec:
    """Of a configuration with these overrides."""
    return build_spec(load_config(overrides=list(overrides)), cast(TrainingData, _Data()))


@pytest.mark.parametrize("name", list(MODELS))
def test_the_name_alone_is_enough_and_the_encoder_is_written_down(name: str) -> None:
    spec = spec_for(f"model.name={name}")
    encoder = MODELS.entry(name).facts["encoder"]
    assert spec.architecture == name
    assert spec.arguments == ({} if encoder is None else {"encoder": encoder})


def test_what_is_said_is_written_down() -> None:
    spec = spec_for("model.name=FCN8s", "model.dropout=0.2", "model.spectral_norm=true", "model.args.width=0.5")
    assert spec.architecture == "fcn8s"
    assert spec.arguments == {"encoder": "vgg16", "width": 0.5, "dropout": 0.2, "spectral_norm": True}
    assert spec_for("model.name=erfnet", "model.dropout=0").arguments == {"dropout": 0.0}


@pytest.mark.parametrize("rate", [-0.01, 1.0, 2, float("nan")])
def test_a_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(ValidationError):
        ModelConfig(dropout=rate)


def test_a_contradiction_is_refused() -> None:
    with pytest.raises(InputError, match=r"model\.dropout is 0\.2, and model\.args\.dropout is 0\.3"):
        spec_for("model.dropout=0.2", "model.args.dropout=0.3")
    assert spec_for("model.dropout=0.2", "model.args.dropout=0.2").arguments["dropout"] == 0.2


def test_dropout_auxiliary_heads_and_new_spectral_norms_may_differ_from_the_start(tmp_path: Path) -> None:
    def start(**arguments: Any) -> str:
        path = tmp_path / "start.safetensors"
        spec = ModelSpec("pspnet", {"encoder": "resnet18", **arguments}, label_map("lane"), Geometry((64, 32)))
        write_safetensors(path, {}, spec)
        return f"model.weights={path}"

    assert spec_for("model.name=pspnet", "model.dropout=0.3", start(auxiliary=False)).arguments["dropout"] == 0.3
    with pytest.raises(InputError, match="asks for pspnet"):
        spec_for("model.name=pspnet", start(encoder_depth=3))
    spectral = spec_for("model.name=pspnet", "model.spectral_norm=3", start())
    assert spectral.arguments["spectral_norm"] == 3
    for other in ("true", "false"):
        with pytest.raises(InputError, match="asks for pspnet"):
            spec_for("model.name=pspnet", f"model.spectral_norm={other}", start(spectral_norm=3.0))
