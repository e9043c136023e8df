"""Registration of the transformer and real-time architectures."""

from __future__ import annotations

from typing import Any

from lanecli.registry import Registry

_SETR = "Zheng et al., arXiv 2012.15840"
_SWIN = "Liu et al., arXiv 2103.14030"
_ENTRIES = (
    ("setr_naive", "setr:setr_naive", "ViT, one upsampling", _SETR, 2021, "setr"),
    ("setr_pup", "setr:setr_pup", "ViT, progressive upsampling", _SETR, 2021, "setr"),
    ("setr_mla", "setr:setr_mla", "ViT, multi-level aggregation", _SETR, 2021, "setr"),
    ("swin_upernet", "swin_upernet:swin_upernet", "shifted-window transformer, UPerNet decoder", _SWIN, 2021, "swin"),
    (
        "erfnet",
        "erfnet:erfnet",
        "real time, factorised residuals",
        "Romera et al., 10.1109/TITS.2017.2750080",
        2018,
        "real-time",
    ),
    (
        "bisenetv2",
        "bisenetv2:bisenetv2",
        "real time, detail and semantic branches",
        "Yu et al., arXiv 2004.02147",
        2021,
        "real-time",
    ),
)


def register(models: Registry[Any]) -> None:
    """Add them to `models` by path, so that nothing heavy is imported."""
    for name, target, summary, paper, year, family in _ENTRIES:
        models.add(name, f"lanecli.models.{target}", summary=summary, paper=paper, year=year, family=family)
