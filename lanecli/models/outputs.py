"""What a network can be asked for by name, beside what every architecture gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lanecli.modelfile import ModelSpec
from lanecli.registry import Registry

if TYPE_CHECKING:
    from lanecli.models.build import Network

BASIC_OUTPUTS = ("logits", "features", "auxiliary")
"""Outputs of every network; ``auxiliary`` belongs to training only."""


class Output(nn.Module):
    """A further plane in the graph, computed from other outputs of the same pass, such as the log density of features.

    The file's specification says which outputs a model has (`ModelSpec.outputs`); what an output has learnt lies in its
    buffers, which are saved with the weights under ``extra.NAME.``.

    Attributes:
        needs: names of the outputs it is computed from.
    """

    needs: tuple[str, ...] = ("logits",)

    def __init__(self, spec: ModelSpec, network: Network, arguments: Mapping[str, Any]) -> None:
        """Set up.

        Args:
            spec: of the model.
            network: its ``feature_channels`` and ``feature_stride`` are set; do not keep it.
            arguments: what the specification says of this output.
        """
        super().__init__()

    def forward(self, found: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The outputs in `needs`, over the padded picture, to (N, h, w) float at any stride."""
        raise NotImplementedError


OUTPUTS: Registry[type[Output]] = Registry("output")
OUTPUTS.add("log_density", "lanecli.uncertainty.graph:LogDensity", summary="log density of features (DDU), fitted")
OUTPUTS.add("neco", "lanecli.uncertainty.graph:Neco", summary="share of a feature in the principal space, fitted")
OUTPUTS.add("energy", "lanecli.uncertainty.graph:Energy", summary="energy of the logits")
OUTPUTS.add("entropy", "lanecli.uncertainty.graph:Entropy", summary="softmax entropy of the logits, in nats")
