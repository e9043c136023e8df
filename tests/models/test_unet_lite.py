"""The lite U-Net: its decoder against a slow one written out, sub-pixels, encoders of other shapes, messages."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import build_small, spec_of

from lanecli.errors import InputError
from lanecli.modelfile import write_safetensors
from lanecli.models.build import build_network, load_weights
from lanecli.models.unet_lite import UNetLite, unet_lite


def logits_written_out(model: UNetLite, pictures: torch.Tensor) -> torch.Tensor:
    """The module's definition, level by level and pixel by pixel of the head."""
    _, half, quarter, eighth, sixteenth, last = model.encoder(pictures)
    features = model.laterals[0](last)
    for number, skip in enumerate((sixteenth, eighth, quarter, half)):
        narrow = model.narrowings[number](features)
        wide = torch.stack(
            [narrow[..., y // 2, x // 2] for y in range(skip.shape[2]) for x in range(skip.shape[3])], -1
        )
        summed = wide.unflatten(-1, skip.shape[2:]) + model.laterals[number + 1](skip)
        features = model.levels[number](summed)
    cells = model.classifier(features)
    logits = torch.zeros(len(pictures), cells.shape[1] // 4, *pictures.shape[2:])
    for channel in range(logits.shape[1]):
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            logits[:, channel, y::2, x::2] = cells[:, 4 * channel + 2 * y + x]
    return logits


def test_decoder_is_its_definition() -> None:
    model = build_small("unet_lite", classes=3).architecture.eval()
    pictures = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(model(pictures)["logits"], logits_written_out(model, pictures))


def test_features_are_half_the_picture() -> None:
    network = build_small("unet_lite").eval()
    with torch.inference_mode():
        features = network(torch.zeros(1, 70, 90, 3, dtype=torch.uint8), ("features",))["features"]
    assert features.shape == (1, network.feature_channels, 35, 45)


def test_parameters_of_the_decoder() -> None:
    with torch.device("meta"):
        model = unet_lite(classes=2)
    decoder = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in model.encoder.parameters())
    maps, channels = (320, 112, 40, 24, 16), (160, 96, 64, 32, 16)
    expected = sum((i + 1) * o for i, o in zip(maps, channels, strict=True))
    expected += sum((i + 1) * o + 9 * o * o + 2 * o for i, o in pairwise(channels))
    assert decoder == expected + 9 * 16 * 8 + 8


def test_an_encoder_may_lack_the_map_at_half() -> None:
    model = unet_lite(classes=2, encoder="mit_b0").eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 64, 64))["logits"].shape == (1, 2, 64, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decoder_chanels": [8] * 5}, "did you mean 'decoder_channels'"),
        ({"decoder_channels": [8] * 4}, "five numbers"),
        ({"decoder_channels": [8, 8, 8, 8, 0]}, "five numbers"),
        ({"encoder": "resnet19"}, "did you mean 'resnet18'"),
        ({"encoder": "tu-vit_tiny_patch16_224"}, "unet_lite"),
    ],
)
def test_bad_arguments_are_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build_network(spec_of("unet_lite", **arguments))
    assert "\n" not in str(caught.value)


def test_sub_pixels_are_in_order() -> None:
    model = build_small("unet_lite").architecture
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.arange(8.0))
        logits = model.classify(torch.zeros(1, model.feature_channels, 2, 3), [], torch.Size((4, 6)))
    assert torch.equal(logits[0, 1], torch.tensor([[4.0, 5.0], [6.0, 7.0]]).repeat(2, 3))


def test_other_classes_leave_only_the_head(tmp_path: Path) -> None:
    start, network = build_small("unet_lite"), build_small("unet_lite", classes=3)
    with torch.no_grad():
        for tensor in start.state_dict().values():
            tensor.add_(1)
    write_safetensors(tmp_path / "start.safetensors", start.state_dict(), spec_of("unet_lite"))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    load_weights(network, tmp_path / "start.safetensors", (2, 3))
    kept = {name for name, tensor in network.state_dict().items() if torch.equal(tensor, before[name])}
    assert kept == {"architecture.classifier.weight", "architecture.classifier.bias"}
