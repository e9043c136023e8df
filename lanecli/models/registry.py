"""MODELS, the registry of architectures: names to functions that build an Architecture.

Targets are imported when they are needed, so that listing names imports neither torch nor segmentation-models-pytorch.
The facts of an entry are its ``paper``, ``year`` and ``family``, and its default ``encoder`` (None if it has its own).

Example:
    >>> MODELS.canonical("UNetPlusPlus")
    'unetplusplus'
    >>> default_encoder("linknet")
    'resnet18'
"""

from __future__ import annotations

from typing import Any, Protocol

from lanecli.registry import Registry


class Builder(Protocol):
    """The type of a registered model: a function that builds the architecture."""

    def __call__(self, *, classes: int, encoder: str | None, encoder_weights: str | None, **arguments: Any) -> Any:
        """Build an :class:`lanecli.models.architecture.Architecture`.

        Every builder takes the argument ``dropout``, a rate of at least 0 and below 1.
        """
        ...


MODELS: Registry[Builder] = Registry("model")

_FCN = "Long, Shelhamer & Darrell, arXiv 1411.4038"
_SETR = "Zheng et al., arXiv 2012.15840"
_SEGNET = "Badrinarayanan et al., arXiv 1511.00561"
_DEEPLAB3 = "Chen et al., arXiv 1706.05587"
_MANET = "Fan et al., 10.1109/ACCESS.2020.3025372"
_DEEPLAB3PLUS = "Chen et al., arXiv 1802.02611"
_DECONVNET = "Noh et al., arXiv 1505.04366"
_ERFNET = "Romera et al., 10.1109/TITS.2017.2750080"
_SUBPIXEL = "Shi et al., arXiv 1609.05158"
_VIT = "tu-vit_tiny_patch16_224"
_SWIN = "tu-swin_tiny_patch4_window7_224"

_TABLE: tuple[tuple[str, str, str, str, int, str, str | None], ...] = (
    # name, module, summary, paper, year, family, encoder
    ("unet", "smp_models", "encoder-based U-Net", "Ronneberger et al., arXiv 1505.04597", 2015, "smp", "resnet18"),
    ("unet_lite", "unet_lite", "added skips, sub-pixel head", _SUBPIXEL, 2016, "real-time", "tu-efficientnet_lite0"),
    ("unetplusplus", "smp_models", "nested dense skips", "Zhou et al., arXiv 1807.10165", 2018, "smp", "resnet18"),
    ("manet", "smp_models", "multi-scale attention", _MANET, 2020, "smp", "resnet18"),
    ("linknet", "smp_models", "additive skips", "Chaurasia & Culurciello, arXiv 1707.03718", 2017, "smp", "resnet18"),
    ("fpn", "smp_models", "feature pyramid", "Kirillov et al., arXiv 1901.02446", 2019, "smp", "resnet18"),
    ("pspnet", "smp_models", "pyramid pooling", "Zhao et al., arXiv 1612.01105", 2016, "smp", "resnet18"),
    ("deeplabv3", "smp_models", "parallel atrous spatial pyramid", _DEEPLAB3, 2017, "smp", "resnet18"),
    ("deeplabv3plus", "smp_models", "atrous pyramid and a decoder", _DEEPLAB3PLUS, 2018, "smp", "resnet18"),
    ("pan", "smp_models", "pyramid attention", "Li et al., arXiv 1805.10180", 2018, "smp", "resnet18"),
    ("upernet", "smp_models", "unified perceptual parsing", "Xiao et al., arXiv 1807.10221", 2018, "smp", "resnet18"),
    ("segformer", "smp_models", "transformer, MLP decoder", "Xie et al., arXiv 2105.15203", 2021, "smp", "mit_b0"),
    ("dpt", "smp_models", "dense prediction transformer", "Ranftl et al., arXiv 2103.13413", 2021, "smp", _VIT),
    ("fcn32s", "fcn", "VGG16, one upsampling by 32", _FCN, 2015, "fcn", "vgg16"),
    ("fcn16s", "fcn", "VGG16, one skip summed", _FCN, 2015, "fcn", "vgg16"),
    ("fcn8s", "fcn", "VGG16, two skips summed", _FCN, 2015, "fcn", "vgg16"),
    ("deconvnet", "deconvnet", "VGG16 mirrored, max unpooling", _DECONVNET, 2015, "vgg", "vgg16_bn"),
    ("segnet", "segnet", "13 + 13 layers, pooling indices", _SEGNET, 2015, "vgg", "vgg16_bn"),
    ("unet_classic", "unet_classic", "the original", "Ronneberger et al., arXiv 1505.04597", 2015, "unet", None),
    ("wnet", "wnet", "two U-Nets in a chain", "Xia & Kulis, arXiv 1711.08506", 2017, "unet", None),
    ("deeplabv1", "deeplab", "large field of view", "Chen et al., arXiv 1412.7062", 2014, "deeplab", "vgg16"),
    ("deeplabv2", "deeplab", "atrous pyramid, summed", "Chen et al., arXiv 1606.00915", 2016, "deeplab", "resnet101"),
    ("deeplabv3_cascade", "deeplab", "atrous blocks in cascade, multi-grid", _DEEPLAB3, 2017, "deeplab", "resnet101"),
    ("setr_naive", "setr", "ViT, one upsampling", _SETR, 2021, "setr", _VIT),
    ("setr_pup", "setr", "ViT, progressive upsampling", _SETR, 2021, "setr", _VIT),
    ("setr_mla", "setr", "ViT, multi-level aggregation", _SETR, 2021, "setr", _VIT),
    ("swin_upernet", "swin_upernet", "shifted windows, UPerNet", "Liu et al., arXiv 2103.14030", 2021, "swin", _SWIN),
    ("erfnet", "erfnet", "real time, factorised residuals", _ERFNET, 2018, "real-time", None),
    ("bisenetv2", "bisenetv2", "real time, two branches", "Yu et al., arXiv 2004.02147", 2021, "real-time", None),
)
_ALIASES = {
    "unetplusplus": ("unet++",),
    "deeplabv3plus": ("deeplabv3+", "deeplab_v3+", "deeplab_v3plus"),
    "deeplabv3": ("deeplab_v3",),
    "deeplabv2": ("deeplab_v2",),
    "deeplabv1": ("deeplab_v1",),
}
for _name, _module, _summary, _paper, _year, _family, _encoder in _TABLE:
    MODELS.add(
        _name,
        f"lanecli.models.{_module}:{_name}",
        summary=_summary,
        aliases=_ALIASES.get(_name, ()),
        paper=_paper,
        year=_year,
        family=_family,
        encoder=_encoder,
    )


def default_encoder(model: str) -> str | None:
    """Return the default encoder of `model`, or None if it has an encoder of its own."""
    encoder: str | None = MODELS.entry(model).facts["encoder"]
    return encoder
