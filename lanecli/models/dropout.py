"""Dropout as a way to sample networks: Gal & Ghahramani, "Dropout as a Bayesian Approximation", ICML 2016,
arXiv 1506.02142."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from lanecli.errors import InputError


def check_rate(rate: object) -> None:
    """Raise InputError when `rate` is no number from 0 up to, not including, 1."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise InputError(f"model.dropout must be a number from 0 to below 1, not {rate!r}")


@contextlib.contextmanager
def sampling(network: nn.Module) -> Iterator[None]:
    """Inside, dropout drops as in training while every other layer stays as it is: each pass is another sample.

    Args:
        network: in eval mode, so that batch normalisation uses what it has learned.

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
