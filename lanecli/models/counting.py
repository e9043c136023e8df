"""Counting the parameters and multiply-adds of an architecture from shapes, without computing anything."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map
from lanecli.modelfile import ModelSpec
from lanecli.models.build import Network, build_network
from lanecli.models.facts import SIZE


def specification(name: str) -> ModelSpec:
    """Return the specification that is counted and timed: two classes and the default encoder of the architecture."""
    return ModelSpec(name, {}, label_map("lane"), Geometry(SIZE))


def count(name: str) -> dict[str, int]:
    """Count the parameters and multiply-adds of an architecture with its default encoder.

    The network runs on tensors without memory, so that nothing is computed.

    Args:
        name: the name of the architecture in the registry.

    Returns:
        ``"parameters"``, ``"macs"``, ``"stride"`` and ``"minimum"``; :data:`lanecli.models.facts.DEFINITIONS` defines
        them.

    Example:
        >>> count("erfnet")["stride"]
        8
    """
    network = _without_memory(name).eval()
    pictures = torch.zeros((1, SIZE[1], SIZE[0], 3), dtype=torch.uint8, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter, _UsedTensors() as taken:
        network(pictures)
    return {
        "parameters": sum(p.numel() for p in network.parameters() if id(p) in taken.ids),
        "macs": counter.get_total_flops() // 2,
        "stride": network.stride,
        "minimum": network.minimum,
    }


def _without_memory(name: str) -> Network:
    with contextlib.suppress(Exception), torch.device("meta"):
        return build_network(specification(name)).to("meta")
    # some encoders read values while they are built, and tensors without memory have none
    return build_network(specification(name)).to("meta")


class _UsedTensors(TorchDispatchMode):
    """Records the id of every tensor that an operator takes as input."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        leaves = tree_leaves((args, kwargs or {}))
        self.ids.update(id(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor))
        return func(*args, **(kwargs or {}))
