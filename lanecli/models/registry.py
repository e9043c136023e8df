"""MODELS: names to builders. A builder takes the class count, encoder and arguments, and gives logits from pixels.

Targets are lazy, so that listing names imports neither torch nor segmentation-models-pytorch.
"""

from __future__ import annotations

from typing import Any, Protocol

from lanecli.models.classic import register as _register_classic
from lanecli.models.modern import register as _register_modern
from lanecli.registry import Registry


class Builder(Protocol):
    """What a registered model is: a callable that builds the module."""

    def __call__(self, *, classes: int, encoder: str | None, encoder_weights: str | None, **arguments: Any) -> Any:
        """Build a torch module from normalised (N, 3, H, W) pictures to (N, classes, H, W) logits.

        H and W it takes are multiples of its attribute ``stride`` and not below its attribute ``minimum``.
        """
        ...


MODELS: Registry[Builder] = Registry("model")

_SMP = (
    ("unet", "encoder-based U-Net", "Ronneberger et al., arXiv 1505.04597", 2015),
    ("unetplusplus", "U-Net with nested dense skips", "Zhou et al., arXiv 1807.10165", 2018),
    ("manet", "multi-scale attention net", "Fan et al., 10.1109/ACCESS.2020.3025372", 2020),
    ("linknet", "additive skips, light decoder", "Chaurasia & Culurciello, arXiv 1707.03718", 2017),
    ("fpn", "feature pyramid", "Kirillov et al., arXiv 1901.02446", 2019),
    ("pspnet", "pyramid pooling", "Zhao et al., arXiv 1612.01105", 2016),
    ("deeplabv3", "parallel atrous spatial pyramid", "Chen et al., arXiv 1706.05587", 2017),
    ("deeplabv3plus", "atrous pyramid and a decoder", "Chen et al., arXiv 1802.02611", 2018),
    ("pan", "pyramid attention", "Li et al., arXiv 1805.10180", 2018),
    ("upernet", "unified perceptual parsing", "Xiao et al., arXiv 1807.10221", 2018),
    ("segformer", "transformer encoder, MLP decoder", "Xie et al., arXiv 2105.15203", 2021),
    ("dpt", "dense prediction transformer", "Ranftl et al., arXiv 2103.13413", 2021),
)

for _name, _summary, _paper, _year in _SMP:
    MODELS.add(_name, f"lanecli.models.smp_models:{_name}", summary=_summary, paper=_paper, year=_year, family="smp")
_register_classic(MODELS)
_register_modern(MODELS)
