"""Registration of the VGG- and ResNet-era architectures."""

from __future__ import annotations

from typing import Any

from lanecli.registry import Registry

_FCN = "Long, Shelhamer & Darrell, arXiv 1411.4038"
_ENTRIES = (
    ("fcn32s", "fcn:fcn32s", "VGG16, one upsampling by 32", _FCN, 2015, "fcn"),
    ("fcn16s", "fcn:fcn16s", "VGG16, one skip summed", _FCN, 2015, "fcn"),
    ("fcn8s", "fcn:fcn8s", "VGG16, two skips summed", _FCN, 2015, "fcn"),
    ("deconvnet", "deconvnet:deconvnet", "VGG16 mirrored, max unpooling", "Noh et al., arXiv 1505.04366", 2015, "vgg"),
    (
        "segnet",
        "segnet:segnet",
        "13 + 13 layers, pooling indices",
        "Badrinarayanan et al., arXiv 1511.00561",
        2015,
        "vgg",
    ),
    ("unet_classic", "unet_classic:unet_classic", "the original", "Ronneberger et al., arXiv 1505.04597", 2015, "unet"),
    ("wnet", "wnet:wnet", "two U-Nets in a chain", "Xia & Kulis, arXiv 1711.08506", 2017, "unet"),
    (
        "deeplabv1",
        "deeplab:deeplabv1",
        "atrous VGG16, large field of view",
        "Chen et al., arXiv 1412.7062",
        2014,
        "deeplab",
    ),
    ("deeplabv2", "deeplab:deeplabv2", "atrous pyramid, summed", "Chen et al., arXiv 1606.00915", 2016, "deeplab"),
    (
        "deeplabv3_cascade",
        "deeplab:deeplabv3_cascade",
        "atrous blocks in cascade, multi-grid",
        "Chen et al., arXiv 1706.05587",
        2017,
        "deeplab",
    ),
)


def register(models: Registry[Any]) -> None:
    """Add them to `models` by path, so that nothing heavy is imported."""
    for name, target, summary, paper, year, family in _ENTRIES:
        models.add(name, f"lanecli.models.{target}", summary=summary, paper=paper, year=year, family=family)
