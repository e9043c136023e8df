"""A small variant of every architecture, built alike in every test of them."""

from __future__ import annotations

from typing import Any

import torch

from lanecli.geometry import Geometry
from lanecli.labels import LabelClass, LabelMap
from lanecli.modelfile import ModelSpec
from lanecli.models.build import Network, build_network

_NARROW = {"width": 0.0625}
_RESNET = {"encoder": "resnet18", "width": 0.125}
_TINY = {"encoder": "tu-test_resnet"}
_DECODER = {"decoder_channels": [16, 16, 8, 8, 8]}
_SETR = {"width": 0.25, "depth": 4}

SMALL: dict[str, dict[str, Any]] = {
    "unet": _TINY | _DECODER,
    "unet_lite": _TINY | _DECODER,
    "unetplusplus": _TINY | _DECODER,
    "manet": _TINY | _DECODER,
    "linknet": _TINY,
    "fpn": _TINY | {"decoder_pyramid_channels": 32, "decoder_segmentation_channels": 32},
    "pspnet": _TINY | {"psp_out_channels": 32},
    "deeplabv3": _TINY | {"decoder_channels": 32},
    "deeplabv3plus": _TINY | {"decoder_channels": 32},
    "pan": _TINY,
    "upernet": _TINY | {"decoder_channels": 32},
    "segformer": {"encoder": "mit_b0", "decoder_segmentation_channels": 32},
    "dpt": {
        "encoder": "tu-test_vit",
        "decoder_intermediate_channels": [16, 16, 32, 32],
        "decoder_fusion_channels": 32,
    },
    "fcn32s": _NARROW,
    "fcn16s": _NARROW,
    "fcn8s": _NARROW,
    "deconvnet": _NARROW,
    "segnet": _NARROW,
    "unet_classic": _NARROW,
    "wnet": _NARROW,
    "deeplabv1": _NARROW,
    "deeplabv2": _RESNET,
    "deeplabv3_cascade": _RESNET,
    "setr_naive": _SETR,
    "setr_pup": _SETR,
    "setr_mla": _SETR,
    "swin_upernet": {"width": 0.25, "decoder_channels": 64, "depths": [1, 1, 2, 1]},
    "erfnet": {"width": 0.25},
    "bisenetv2": {"width": 0.25},
}


def label_map_of(classes: int) -> LabelMap:
    """So many classes without meaning."""
    return LabelMap("some", tuple(LabelClass(f"c{i}", (0, 0, i)) for i in range(classes)))


def spec_of(name: str, classes: int = 2, **more: Any) -> ModelSpec:
    """The small variant's specification; `more` adds arguments or replaces them."""
    return ModelSpec(name, SMALL[name] | more, label_map_of(classes), Geometry((64, 64)))


def build_small(name: str, classes: int = 2, **more: Any) -> Network:
    """The small variant, with the same weights every time."""
    torch.manual_seed(0)
    return build_network(spec_of(name, classes, **more))


def noise(count: int, height: int, width: int) -> torch.Tensor:
    """(count, height, width, 3) uint8 pictures, the same every time."""
    return torch.randint(0, 256, (count, height, width, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
