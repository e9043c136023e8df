"""The model registry: every architecture by name, built for any class count and any input size."""

from __future__ import annotations

from lanecli.models.build import build_network, network_from_file
from lanecli.models.registry import MODELS

__all__ = ["MODELS", "build_network", "network_from_file"]
