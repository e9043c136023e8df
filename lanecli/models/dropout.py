"""Dropout as a way to sample networks: Gal & Ghahramani, "Dropout as a Bayesian Approximation", ICML 2016,
arXiv 1506.02142."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from lanecli.errors import InputError


def check_rate(rate: object) -> None:
    """Raise InputError if `rate` is not a number of at least 0 and below 1."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise InputError(f"model.dropout must be a number of at least 0 and below 1, not {rate!r}")


@contextlib.contextmanager
def dropout_sampling(network: nn.Module) -> Iterator[None]:
    """Within this context dropout is active as in training, and other layers are unchanged: each pass is a new sample.

    Args:
        network: a network in eval mode, so that batch normalisation uses its learned statistics.

    Raises:
        InputError: `network` has no dropout, so that all samples would be equal.
    """
    layers = [m for m in network.modules() if isinstance(m, _DropoutNd) and m.p > 0]
    if not layers:
        raise InputError("the model has no dropout to sample with: train it with model.dropout above 0")
    before = [layer.training for layer in layers]
    try:
        for layer in layers:
            layer.train()
        yield
    finally:
        for layer, mode in zip(layers, before, strict=True):
            layer.train(mode)
