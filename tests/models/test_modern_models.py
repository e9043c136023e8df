"""What is particular to transformer and real-time architectures: counts, pooling, windows, positions, and messages."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
from small_models import build_small, spec_of
from torch import nn

from lanecli.errors import InputError
from lanecli.models.bisenetv2 import bisenetv2
from lanecli.models.build import build_network
from lanecli.models.erfnet import erfnet
from lanecli.models.pooling import ExportableAdaptiveAvgPool2d, make_pooling_exportable
from lanecli.models.setr import setr_mla, setr_naive, setr_pup
from lanecli.models.swin_blocks import ShiftedWindowBlock, use_paper_windows
from lanecli.models.swin_upernet import swin_upernet


def test_parameter_counts() -> None:
    def count(module: nn.Module) -> int:  # auxiliary heads are no part of the published figures
        return sum(p.numel() for name, p in module.named_parameters() if not name.startswith("auxiliary."))

    with torch.device("meta"):
        # Romera et al. give 2.1 M for 19 classes; layer by layer their Table I sums to this
        assert count(erfnet(classes=19)) == 2_064_191
        assert count(bisenetv2(classes=19)) == 3_358_755
        # ViT-L/16 without its classifier has 303.3 M (Dosovitskiy et al., arXiv 2010.11929, state 307 M with it)
        large = setr_naive(classes=19, encoder="tu-vit_large_patch16_224")
        assert count(large.encoder) == pytest.approx(307e6, rel=0.02)
        # Swin-T with UPerNet: 60 M (Liu et al., Table 3), the auxiliary head of some 1 M included
        swin = swin_upernet(classes=150)
        assert sum(p.numel() for p in swin.parameters()) == pytest.approx(60e6, rel=0.02)
        assert count(swin.auxiliary) == 9 * 384 * 256 + 2 * 256 + 150 * 257


@pytest.mark.parametrize("bins", [(1, 1), (2, 2), (3, 3), (6, 6), (2, 5)])
@pytest.mark.parametrize("size", [(6, 6), (9, 17), (2, 3), (1, 1), (7, 32)])
def test_pooling_equals_torch(bins: tuple[int, int], size: tuple[int, int]) -> None:
    features = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = nn.AdaptiveAvgPool2d(bins)(features)
    pooling = ExportableAdaptiveAvgPool2d(bins)
    torch.testing.assert_close(pooling.products(features), expected)
    torch.testing.assert_close(pooling(features), expected)


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
        flat = model(torch.zeros(1, 3, 64, 96))["logits"]
    assert not torch.allclose(flat[..., :16, :], flat[..., -16:, :], atol=1e-3)


def swin(**more: Any) -> nn.Module:
    """Swin-T's stages at a quarter of its width, at any size."""
    torch.manual_seed(0)
    return timm.create_model(
        "swin_tiny_patch4_window7_224",
        features_only=True,
        strict_img_size=False,
        always_partition=True,
        embed_dim=24,
        **more,
    ).eval()


def test_windows_are_timms_where_they_divide_the_picture() -> None:
    theirs = swin(depths=(2, 2, 2, 2))
    ours = copy.deepcopy(theirs)
    use_paper_windows(ours)
    assert sum(isinstance(block, ShiftedWindowBlock) for block in ours.modules()) == 8
    pictures = torch.randn(1, 3, 224, 448, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for found, expected in zip(ours(pictures), theirs(pictures), strict=True):
            torch.testing.assert_close(found, expected)


def test_opposite_borders_do_not_see_each_other() -> None:
    block = next(b for b in swin(depths=(2, 1, 1, 1)).modules() if getattr(b, "shift_size", (0, 0)) == (3, 3))
    use_paper_windows(nn.ModuleList([block]))
    x = torch.randn(1, 17, 19, 24, generator=torch.Generator().manual_seed(0))  # neither divisible by windows of 7
    changed = x.clone()
    changed[:, 0] += 1
    with torch.inference_mode():
        rows = (block._attn(changed) - block._attn(x)).abs().amax((0, 2, 3)) > 1e-6
    assert rows.tolist() == [True] * 3 + [False] * 14  # shifted by 3: rows 0 to 2 wrap around to the last window


def test_one_mask_as_written_out() -> None:
    block = next(b for b in swin(depths=(2, 1, 1, 1)).modules() if getattr(b, "shift_size", (0, 0)) == (3, 3))
    expected = block.get_attn_mask(torch.zeros(1, 14, 21, 24))
    use_paper_windows(nn.ModuleList([block]))
    assert torch.equal(block._mask(14, 21, torch.zeros(1)), expected)


def test_auxiliary_heads_stand_where_the_paper_has_them() -> None:
    with torch.device("meta"):
        large = {"classes": 2, "encoder": "tu-vit_large_patch16_224"}
        assert [block + 1 for block in setr_naive(**large).tapped] == [10, 15, 20]
        assert [block + 1 for block in setr_pup(**large).tapped] == [10, 15, 20, 24]
        assert [block + 1 for block in setr_mla(**large).tapped] == [6, 12, 18, 24]


def test_boosters_follow_the_semantic_branch() -> None:
    network = build_small("bisenetv2").eval()
    _, ends = network.architecture.extract_features(torch.zeros(1, 3, 64, 128))
    assert [tuple(end.shape[1:]) for end in ends] == [(4, 16, 32), (8, 8, 16), (16, 4, 8), (32, 2, 4)]


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
