"""Encoder weights from a local file, for machines without a network and for weights from other sources."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lanecli.errors import InputError


def _without_counters(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Drop the update counters of batch norm (integers without a shape), which older files lack."""
    return {name: tensor for name, tensor in state.items() if tensor.ndim or tensor.is_floating_point()}


def _read(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise InputError(f"no such encoder weight file: {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        # weights_only refuses everything but tensors and plain containers
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path}: encoder weights are not readable ({type(error).__name__})") from error
    state = state.get("state_dict", state)
    return {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}


def load_encoder_weights(encoder: nn.Module, path: Path) -> None:
    """Load the file `path` (.safetensors, .pth) into `encoder`.

    Tensors are matched by name, with or without a prefix. If the names differ (the same network from another code
    base), tensors are matched in order, provided that every shape agrees from the first tensor on; a classifier at the
    end is left out.

    Raises:
        InputError: the file is missing, is not readable, or fits in neither way.
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
