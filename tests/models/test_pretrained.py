"""Published encoder weights without a network: one line that says what to download, at once, or the hub's cache."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.error import URLError

import huggingface_hub.utils
import pytest
import segmentation_models_pytorch as smp
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from lanecli.errors import InputError
from lanecli.models.registry import MODELS


class Unreachable:
    """A session whose every request fails."""

    def head(self, *_: object, **__: object) -> None:
        """Fail."""
        raise ConnectionError("no network")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No hub, an empty cache, and no patience for retries."""

    def sleep(seconds: float) -> None:
        raise AssertionError(f"waits {seconds} s for a hub that is not there")

    def download(url: str, *_: object, **__: object) -> None:
        raise URLError(f"no network for {url}")

    monkeypatch.setattr(huggingface_hub.utils, "get_session", Unreachable)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr(time, "sleep", sleep)


@pytest.mark.parametrize(
    ("model", "encoder", "weights", "where"),
    [
        ("unet", "resnet18", "imagenet", "model.safetensors of smp-hub/resnet18.imagenet"),
        ("unet", "resnet18", "swsl", "model.safetensors of smp-hub/resnet18.swsl"),
        ("linknet", "tu-efficientnet_lite0", "imagenet", "model.safetensors of timm/efficientnet_lite0"),
        ("setr_naive", None, "imagenet", "model.safetensors of timm/vit_tiny_patch16_224"),
        ("swin_upernet", None, "imagenet", "model.safetensors of timm/swin_tiny"),
        ("deeplabv2", "resnet18", "imagenet", "model.safetensors of smp-hub/resnet18.imagenet"),
        ("segnet", None, "imagenet", "vgg16_bn"),
        ("fcn8s", "vgg16", "IMAGENET1K_FEATURES", "https://download.pytorch.org/"),
    ],
)
def test_the_line_names_what_to_download(model: str, encoder: str | None, weights: str, where: str) -> None:
    with pytest.raises(InputError) as failure:
        MODELS.get(model)(classes=2, encoder=encoder, encoder_weights=weights)
    line = str(failure.value)
    assert where in line
    assert "model.encoder_weights=FILE" in line
    assert "model.encoder_weights=null" in line
    assert constants.HF_HUB_OFFLINE is False  # as it was


@pytest.mark.parametrize(
    ("model", "encoder", "weights", "nearest"),
    [
        ("unet", "resnet18", "imagnet", "imagenet"),
        ("deeplabv2", "resnet18", "imagnet", "imagenet"),
        ("unet", "tu-efficientnet_lite0", "imagnet", "imagenet"),
    ],
)
def test_a_misspelt_name_is_told_apart_from_a_missing_network(
    model: str, encoder: str, weights: str, nearest: str
) -> None:
    with pytest.raises(InputError, match=f"has no weights '{weights}' \\(did you mean '{nearest}'"):
        MODELS.get(model)(classes=2, encoder=encoder, encoder_weights=weights)


def test_what_the_hub_gave_before_is_taken_from_its_cache(tmp_path: Path) -> None:
    place = smp.encoders.encoders["resnet18"]["pretrained_settings"]["imagenet"]
    folder = tmp_path / "cache" / f"models--{place['repo_id'].replace('/', '--')}" / "snapshots" / place["revision"]
    folder.mkdir(parents=True)
    before = {
        name: tensor.contiguous()
        for name, tensor in smp.encoders.get_encoder("resnet18", weights=None).state_dict().items()
    }
    save_file(before, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    built = MODELS.get("unet")(classes=2, encoder="resnet18", encoder_weights="imagenet")
    for name, tensor in built.model.encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name
