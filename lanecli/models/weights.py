"""Encoder weights from a local file, for machines without a network and for weights from elsewhere."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lanecli.errors import InputError


def _without_counters(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights alone: batch norm's counts of its updates (whole numbers without a shape) are not in older files."""
    return {name: tensor for name, tensor in state.items() if tensor.ndim or tensor.is_floating_point()}


def _read(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise InputError(f"no such encoder weight file: {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        # weights_only refuses anything in the file that is not tensors and plain containers
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path}: encoder weights are not readable ({type(error).__name__})") from error
    state = state.get("state_dict", state)
    return {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}


def load_encoder_weights(encoder: nn.Module, path: Path) -> None:
    """Load `path` (.safetensors, .pth) into `encoder`.

    Tensors are matched by name, whatever the prefix. A file whose names differ (the same network from another code
    base) is matched in order, when every shape agrees from the first tensor on; a classifier behind them is left out.

    Raises:
        InputError: the file is missing, not readable, or fits neither way.
    """
    state, wanted = _without_counters(_read(path)), _without_counters(encoder.state_dict())
    by_suffix: dict[str, torch.Tensor] = {}
    for name in wanted:
        tail = next((k for k in (name, name.removeprefix("model.")) if k in state), None)
        if tail is not None and state[tail].shape == wanted[name].shape:
            by_suffix[name] = state[tail]
    if len(by_suffix) == len(wanted):
        encoder.load_state_dict(by_suffix, strict=False)
        return
    in_order = list(state.values())[: len(wanted)]
    if [t.shape for t in in_order] == [t.shape for t in wanted.values()]:
        encoder.load_state_dict(dict(zip(wanted, in_order, strict=True)), strict=False)
        return
    missing = next(n for n in wanted if n not in by_suffix)
    raise InputError(f"{path}: does not fit the encoder: it has no '{missing}' of shape {tuple(wanted[missing].shape)}")
