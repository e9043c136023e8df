"""The outputs of a network, by name: those that every architecture has, and the registry of further ones."""

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
"""The outputs of every network; ``auxiliary`` is for training only."""


class Output(nn.Module):
    """A further plane in the graph, computed from other outputs of the same pass, such as the log density of features.

    The specification in a file lists the outputs of a model (`ModelSpec.outputs`). What an output has learned is in its
    buffers, which are saved with the weights under ``extra.NAME.``.

    Attributes:
        needs: the names of the outputs from which it is computed.
    """

    needs: tuple[str, ...] = ("logits",)

    def __init__(self, spec: ModelSpec, network: Network, arguments: Mapping[str, Any]) -> None:
        """Prepare the output.

        Args:
            spec: the specification of the model.
            network: the network, whose ``feature_channels`` and ``feature_stride`` are set; do not keep it.
            arguments: the arguments of this output in the specification.
        """
        super().__init__()

    def forward(self, found: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Map the outputs named in `needs`, of the padded picture, to (N, h, w) float at any stride."""
        raise NotImplementedError


OUTPUTS: Registry[type[Output]] = Registry("output")
OUTPUTS.add("log_density", "lanecli.uncertainty.graph:LogDensity", summary="fitted log density of the features (DDU)")
OUTPUTS.add("neco", "lanecli.uncertainty.graph:Neco", summary="share of a feature in the fitted principal space")
OUTPUTS.add("energy", "lanecli.uncertainty.graph:Energy", summary="energy of the logits")
OUTPUTS.add("entropy", "lanecli.uncertainty.graph:Entropy", summary="softmax entropy of the logits, in nats")
