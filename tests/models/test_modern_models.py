"""Transformer and real-time architectures: the contract of every model, learning, counts, pooling and messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lanecli.errors import InputError
from lanecli.export.onnx import TOLERANCE, compare, export_onnx
from lanecli.geometry import Geometry
from lanecli.labels import LabelClass, LabelMap
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.bisenetv2 import bisenetv2
from lanecli.models.build import Network, build_network, network_from_file
from lanecli.models.erfnet import erfnet
from lanecli.models.modern import register
from lanecli.models.pooling import ExportableAdaptiveAvgPool2d, make_pooling_exportable
from lanecli.models.registry import MODELS
from lanecli.models.setr import setr_mla, setr_naive
from lanecli.models.swin_upernet import swin_upernet

if "erfnet" not in MODELS:
    register(MODELS)

SMALL: dict[str, dict[str, Any]] = {
    "setr_naive": {"width": 0.25, "depth": 4},
    "setr_pup": {"width": 0.25, "depth": 4},
    "setr_mla": {"width": 0.25, "depth": 4},
    "swin_upernet": {"width": 0.25, "decoder_channels": 64},
    "erfnet": {"width": 0.25, "dropout": 0.0},
    "bisenetv2": {"width": 0.25},
}
STEPS = dict.fromkeys(SMALL, 100)
"""Steps of Adam within which each small variant learns four pictures by heart."""
RATES = {"setr_naive": 1e-3, "setr_mla": 1e-3}


def spec_of(name: str, classes: int = 3, **more: Any) -> ModelSpec:
    """The small variant with so many classes."""
    label_map = LabelMap("some", tuple(LabelClass(f"c{i}", (0, 0, i)) for i in range(classes)))
    return ModelSpec(name, {**SMALL[name], **more}, label_map, Geometry((96, 64)))


@pytest.mark.parametrize("name", SMALL)
def test_modern_model_contract(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(spec_of(name))
    pictures = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    logits = network(pictures)
    assert logits.shape == (2, 3, 64, 96)
    (logits * torch.randn_like(logits)).sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
    network.eval()
    with torch.inference_mode():
        odd = network(pictures[:1, :61, :91])
        assert odd.shape == (1, 3, 61, 91)
        assert torch.isfinite(odd).all()
        write_safetensors(tmp_path / "m.safetensors", network.state_dict(), spec_of(name))
        loaded, spec = network_from_file(tmp_path / "m.safetensors")
        assert spec == spec_of(name)
        assert torch.equal(loaded(pictures), network(pictures))


def stripes(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Four 64x64 pictures with a bright stripe each, and their masks.

    Stripes are 10 pixels wide, at any place; for decoders that only interpolate from patches of 16 pixels, one patch.
    """
    patches = name in ("setr_naive", "setr_mla")
    rng = np.random.default_rng(0)
    pictures, masks = np.zeros((4, 64, 64, 3), np.uint8), np.zeros((4, 64, 64), np.int64)
    for i in range(4):
        left, width = (16 * i, 16) if patches else (8 + 12 * i, 10)
        masks[i, :, left : left + width] = 1
        level = 70 + 120 * masks[i][..., None]
        pictures[i] = np.clip(level + rng.normal(0, 10, (64, 64, 3)), 0, 255)
    return torch.from_numpy(pictures), torch.from_numpy(masks)


def foreground_iou(network: Network, pictures: torch.Tensor, masks: torch.Tensor) -> float:
    """Of class 1, over all pixels."""
    network.eval()
    with torch.inference_mode():
        found = network(pictures).argmax(1) == 1
    network.train()
    return float((found & (masks == 1)).sum() / (found | (masks == 1)).sum())


@pytest.mark.parametrize("name", SMALL)
def test_learns_four_pictures_by_heart(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(spec_of(name, classes=2)).train()
    pictures, masks = stripes(name)
    optimiser = torch.optim.Adam(network.parameters(), RATES.get(name, 3e-3))
    reached = 0.0
    for step in range(1, STEPS[name] + 1):
        loss = nn.functional.cross_entropy(network(pictures), masks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 25 == 0:
            reached = foreground_iou(network, pictures, masks)
            if reached > 0.95:
                break
    assert reached > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_exports_and_agrees_at_other_sizes(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(spec_of(name)).eval()
    export_onnx(network, spec_of(name), tmp_path / "m.onnx")
    assert compare(network, tmp_path / "m.onnx", [(3, (131, 75))]).relative <= TOLERANCE


def test_parameter_counts() -> None:
    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    with torch.device("meta"):
        # Romera et al. give 2.1 M for 19 classes; layer by layer their Table I sums to this
        assert count(erfnet(classes=19)) == 2_064_191
        assert count(bisenetv2(classes=19)) == 3_358_755
        # ViT-L/16 without its classifier has 303.3 M (Dosovitskiy et al., arXiv 2010.11929, state 307 M with it)
        large = setr_naive(classes=19, encoder="tu-vit_large_patch16_224")
        assert count(large.encoder) == pytest.approx(307e6, rel=0.02)
        # Swin-T with UPerNet: 60 M (Liu et al., Table 3), the auxiliary head of some 1 M included
        assert count(swin_upernet(classes=150)) == pytest.approx(60e6, rel=0.03)


@pytest.mark.parametrize("bins", [(1, 1), (2, 2), (3, 3), (6, 6), (2, 5)])
@pytest.mark.parametrize("size", [(6, 6), (9, 17), (2, 3), (1, 1), (7, 32)])
def test_pooling_equals_torch(bins: tuple[int, int], size: tuple[int, int]) -> None:
    features = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = nn.AdaptiveAvgPool2d(bins)(features)
    torch.testing.assert_close(ExportableAdaptiveAvgPool2d(bins)(features), expected)


def test_making_pooling_exportable_changes_no_weights() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.AdaptiveAvgPool2d(3)), nn.AdaptiveAvgPool2d(1))
    pictures, names = torch.randn(1, 3, 10, 7), list(model.state_dict())
    before = model(pictures)
    make_pooling_exportable(model)
    assert isinstance(model[1][0], ExportableAdaptiveAvgPool2d)
    assert isinstance(model[2], nn.AdaptiveAvgPool2d)
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model(pictures), before)


def test_position_embeddings_follow_the_picture() -> None:
    torch.manual_seed(0)
    model = setr_naive(classes=2, width=0.25, depth=4).eval()
    with torch.inference_mode():
        slope = torch.linspace(-5, 5, 196)[None, :, None]  # from top to bottom
        model.encoder.pos_embed[:, 1:] = slope * torch.randn(model.encoder.embed_dim)
        flat = model(torch.zeros(1, 3, 64, 96))
    assert not torch.allclose(flat[..., :16, :], flat[..., -16:, :], atol=1e-3)


def test_multi_level_takes_quarters_of_the_depth() -> None:
    assert setr_mla(classes=2, width=0.25, depth=12).taken == [2, 5, 8, 11]
    assert setr_mla(classes=2, width=0.25, depth=5).taken == [0, 1, 2, 4]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("erfnet", {"widht": 1.0}, "did you mean 'width'"),
        ("erfnet", {"encoder": "resnet18"}, "its own encoder"),
        ("bisenetv2", {"width": 0.0}, "must be positive"),
        ("bisenetv2", {"head_chanels": 1}, "did you mean 'head_channels'"),
        ("setr_pup", {"encoder": "tu-resnet18", "width": 1.0, "depth": None}, "Vision Transformers"),
        ("setr_pup", {"encoder": "tu-vit_small_patch14_dinov2", "width": 1.0}, "power of two"),
        ("setr_mla", {"depth": 2}, "depth of 4"),
        ("setr_naive", {"encoder": "tu-vit_none"}, "cannot be built"),
        ("swin_upernet", {"encoder": "resnet18"}, "Swin encoders"),
        ("swin_upernet", {"decoder_chanels": 8}, "did you mean 'decoder_channels'"),
    ],
)
def test_bad_arguments_are_one_line(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_network(spec_of(name, **arguments))
