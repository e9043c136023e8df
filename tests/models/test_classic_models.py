"""What is particular to the VGG- and ResNet-era architectures: their papers' counts, rates, poolings, and messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_models import build_small, spec_of
from torch import nn

from lanecli.errors import InputError
from lanecli.export.onnx import export_onnx
from lanecli.export.parity import TOLERANCE
from lanecli.models.build import build_network
from lanecli.models.registry import MODELS

NAMES = (
    *("fcn32s", "fcn16s", "fcn8s", "deconvnet", "segnet", "unet_classic", "wnet", "deeplabv1", "deeplabv2"),
    "deeplabv3_cascade",
)


def count_of(name: str, classes: int, **arguments: Any) -> int:
    """Parameters at the paper's setting, counted without memory for them."""
    with torch.device("meta"):
        model: nn.Module = MODELS.get(name)(classes=classes, encoder=None, encoder_weights=None, **arguments)
    return sum(p.numel() for p in model.parameters())


def conv(kernel: int, inputs: int, outputs: int) -> int:
    """Weights and biases of one convolution."""
    return kernel * kernel * inputs * outputs + outputs


VGG = sum(
    conv(3, i, o)
    for i, o in [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)]
    + [(512, 512)] * 5
)
RESNET101 = 42_500_160  # 44,549,160 with its classifier (torchvision's documentation) less that one's 2,049,000
FIGURE_1 = (  # of arXiv 1505.04597, with three input channels and two classes: the 31,031,810 public code counts too
    sum(conv(3, i, o) + conv(3, o, o) for i, o in [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)])
    + sum(conv(2, 2 * o, o) + conv(3, 2 * o, o) + conv(3, o, o) for o in (512, 256, 128, 64))
    + conv(1, 64, 2)
)


@pytest.mark.parametrize(
    ("name", "classes", "millions", "by_hand"),
    [
        # 134 M: arXiv 1411.4038, table 1, column FCN-VGG16; 21 classes of Pascal VOC
        ("fcn32s", 21, 134, VGG + conv(7, 512, 4096) + conv(1, 4096, 4096) + conv(1, 4096, 21) + 21 * 64**2),
        # "approximately 252M parameters in total": arXiv 1505.04366, network configuration in section 4.1
        ("deconvnet", 21, 252, 2 * VGG + 2 * conv(7, 512, 4096) + conv(1, 4096, 4096)),
        # 29.4 M: github.com/TimoSaemann/ENet, table of its README, which measures SegNet; 11 classes of CamVid
        ("segnet", 11, 29.4, 2 * VGG),
        # the paper gives none
        ("unet_classic", 2, None, FIGURE_1),
        # 20.5 M: arXiv 1412.7062, section 4.1, DeepLab-CRF-LargeFOV
        ("deeplabv1", 21, 20.5, VGG + conv(3, 512, 1024) + conv(1, 1024, 1024) + conv(1, 1024, 21)),
        # the paper gives none: ResNet-101 without its classifier, and four 3x3 branches to 21 classes
        ("deeplabv2", 21, None, RESNET101 + 4 * conv(3, 2048, 21)),
        # the paper gives none: blocks 5 to 7 of three bottleneck units each, batch norm in place of biases, and the
        # 1x1 classifier
        (
            "deeplabv3_cascade",
            21,
            None,
            RESNET101 + 9 * (2 * 2048 * 512 + 9 * 512 * 512 + 2 * (2 * 512 + 2048)) + conv(1, 2048, 21),
        ),
    ],
)
def test_parameters_are_the_papers(name: str, classes: int, millions: float | None, by_hand: int) -> None:
    count = count_of(name, classes)
    assert count == pytest.approx(by_hand, rel=0.002)  # batch norm, and biases it replaces, are within that
    if millions is not None:
        assert count == pytest.approx(millions * 1e6, rel=0.02)


def test_figure_1_is_counted_as_others_count_it() -> None:
    assert FIGURE_1 == 31_031_810


def test_skips_and_second_net_add_what_they_should() -> None:
    scores = conv(1, 512, 21), conv(1, 256, 21)
    kernels = [21 * 64**2, 21 * (4**2 + 32**2), 21 * (4**2 + 4**2 + 16**2)]
    base = count_of("fcn32s", 21) - kernels[0]
    assert count_of("fcn16s", 21) == base + scores[0] + kernels[1]
    assert count_of("fcn8s", 21) == base + sum(scores) + kernels[2]
    # the second net's first convolution sees the first one's two logits as well
    assert count_of("wnet", 2) == 2 * count_of("unet_classic", 2) + 9 * 2 * 64
    assert count_of("unet_classic", 2, cropped=True) == count_of("unet_classic", 2)


@pytest.mark.parametrize("factor", [2, 8, 32])
def test_upsampling_starts_bilinear_up_to_the_border(factor: int) -> None:
    from lanecli.models.fcn import Upsampling

    scores = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(Upsampling(3, factor)(scores), expected)


def test_cropped_unet_sees_so_far_and_the_mirror_beyond_the_picture() -> None:
    network = build_small("unet_classic", cropped=True).eval().architecture
    pictures = torch.randn(1, 3, 256, 112, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = network(pictures)["logits"]
        mirrored = torch.cat([pictures[:, :, 1:97].flip(2), pictures], 2)  # 96: a multiple of the stride
        torch.testing.assert_close(network(mirrored)["logits"][:, :, 96 : 96 + 150], whole[:, :, :150])
        changed = pictures.clone()
        changed[:, :, 120] += 5
        rows = (network(changed)["logits"] - whole).abs().amax((0, 1, 3)) > 1e-6
    # 2 (1 + 2 + 4 + 8) pixels of convolutions down, 2 cells of 16 at the bottom, 30 up: 92, and 15 inside a cell
    assert rows[120]
    assert not rows[: 120 - 107].any()
    assert not rows[120 + 108 :].any()


@pytest.mark.slow
def test_cropped_unet_exports_with_its_least_size(tmp_path: Path) -> None:
    # 64x64, one of the sizes that are compared, is below the 96 that mirroring needs
    spec = spec_of("unet_classic", cropped=True)
    parity = export_onnx(build_small("unet_classic", cropped=True).eval(), spec, tmp_path / "m.onnx")
    assert parity.relative <= TOLERANCE


def test_unpooling_puts_maxima_back_where_they_were() -> None:
    network = build_small("segnet").eval()
    seen: list[torch.Tensor] = []
    network.architecture.decoder[4].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    stages: list[torch.Tensor] = []
    network.architecture.encoder.features[5].register_forward_hook(lambda _m, _i, output: stages.append(output))
    with torch.inference_mode():
        network.logits(torch.randint(0, 256, (1, 32, 64, 3), dtype=torch.uint8))
    windows = stages[0].unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    unpooled = seen[0].unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    filled = unpooled != 0
    assert filled.any()
    assert (filled.sum(-1) <= 1).all()  # one cell a window, and that of the encoder's maximum
    assert (windows[filled] == windows.amax(-1, keepdim=True).expand_as(windows)[filled]).all()


def rates_of(module: nn.Module) -> list[int]:
    """Atrous rates of the 3x3 convolutions inside, in order."""
    return [m.dilation[0] for m in module.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]


def test_deeplab_rates_are_the_papers() -> None:
    with torch.device("meta"):
        v1, v2, v3 = (
            MODELS.get(n)(classes=2, encoder=None, encoder_weights=None)
            for n in ("deeplabv1", "deeplabv2", "deeplabv3_cascade")
        )
    assert rates_of(v1) == [1] * 10 + [2] * 3 + [12]
    assert rates_of(v2.encoder.layer3) == [2] * 23
    assert rates_of(v2.encoder.layer4) == [4] * 3
    assert rates_of(v2.pyramid) == [6, 12, 18, 24]
    assert rates_of(v3.encoder.layer3) == [1] * 23
    assert rates_of(v3.encoder.layer4) == [2, 4, 2]  # multi-grid (1, 2, 1) times 2, and figure 3 (b)'s 4, 8, 16
    assert [rates_of(block) for block in v3.cascade] == [[4, 8, 4], [8, 16, 8], [16, 32, 16]]


@pytest.mark.parametrize(("name", "divisor"), [("deeplabv1", 8), ("deeplabv2", 8), ("deeplabv3_cascade", 16)])
def test_deeplab_maps_have_their_stride(name: str, divisor: int) -> None:
    network = build_small(name).eval()
    maps: list[torch.Size] = []
    network.architecture.encoder.register_forward_hook(lambda _m, _i, output: maps.append(output[-1].shape))
    network.logits(torch.zeros(1, 64, 96, 3, dtype=torch.uint8))
    assert maps[0][2:] == (64 // divisor, 96 // divisor)


@pytest.mark.parametrize("name", ["fcn8s", "deconvnet"])
def test_vgg_weights_come_from_a_file_as_torchvision_names_them(name: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    donor = build_small(name).architecture.encoder.state_dict()
    file = tmp_path / "vgg.safetensors"
    save_file({k: v.contiguous() for k, v in donor.items()} | {"classifier.0.weight": torch.zeros(2, 2)}, file)
    torch.manual_seed(5)
    state = build_network(spec_of(name), str(file)).architecture.encoder.state_dict()
    assert all(key.startswith("features.") for key in state)
    assert all(torch.equal(state[key], donor[key]) for key in donor)


@pytest.mark.parametrize("name", ["deeplabv2", "deeplabv3_cascade"])
def test_resnet_weights_come_from_a_file(name: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    donor = build_small(name).architecture.encoder.state_dict()
    save_file({k: v.contiguous() for k, v in donor.items()}, tmp_path / "r.safetensors")
    torch.manual_seed(5)
    state = build_network(spec_of(name), str(tmp_path / "r.safetensors")).architecture.encoder.state_dict()
    assert all(torch.equal(state[key], donor[key]) for key in donor)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_arguments_are_refused(name: str) -> None:
    build = MODELS.get(name)
    with pytest.raises(InputError, match="'dropuot' .did you mean 'dropout'"):
        build(classes=2, encoder=None, encoder_weights=None, dropuot=0.1)
    with pytest.raises(InputError, match=r"own encoder|unknown encoder 'resnet19' \(did you mean"):
        build(classes=2, encoder="resnet19", encoder_weights=None)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("fcn8s", {"encoder_weights": "imagnet", "width": 1.0}, "has no weights 'imagnet'.*'imagenet'"),
        ("fcn8s", {"encoder_weights": "imagenet"}, "need model.width 1"),
        ("unet_classic", {"encoder_weights": "imagenet"}, "own encoder"),
        ("deeplabv2", {"rates": [6, 0]}, "whole numbers"),
        ("deeplabv2", {"encoder": "resnet18", "encoder_weights": "imagenet"}, "need model.width 1"),
        ("deeplabv3_cascade", {"output_stride": 32}, "8 or 16"),
        ("deeplabv3_cascade", {"encoder": "resnet18", "multi_grid": [1]}, "needs 2 whole numbers"),
        ("deeplabv3_cascade", {"encoder": "mobilenet_v2", "width": 1.0}, "needs a ResNet"),
        ("fcn8s", {"width": 0}, "width must be positive"),
    ],
)
def test_unfit_arguments_say_what_is_wrong(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MODELS.get(name)(**({"classes": 2, "encoder": None, "encoder_weights": None, "width": 0.125} | arguments))
