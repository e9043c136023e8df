"""Gradient checkpointing (Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174).

Blocks keep their input instead of their activations, and compute the activations again in the backward pass. This does
not change the gradients: dropout draws the same numbers again, and batch normalisation and spectral normalisation,
which learn in every forward pass, do not learn in the second one. timm's checkpointing would update batch statistics
twice.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.utils.checkpoint import checkpoint

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def checkpointed(module: nn.Module, forward: Any, *arguments: Any, **named: Any) -> Any:
    """Call `forward` of `module` so that the backward pass computes it again, where gradients are needed."""
    if not (module.training and torch.is_grad_enabled()):
        return forward(*arguments, **named)
    if torch.compiler.is_compiling() and not any(isinstance(m, _SpectralNorm) for m in module.modules()):
        # in a compiled graph the statistics of batch norm are not part of what is computed again
        return checkpoint(forward, *arguments, use_reentrant=False, **named)
    return _checkpoint_eagerly(module, forward, arguments, named)


@torch.compiler.disable
def _checkpoint_eagerly(module: nn.Module, forward: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    def contexts() -> tuple[Any, Any]:
        return contextlib.nullcontext(), _learning_nothing(module)

    return checkpoint(forward, *arguments, use_reentrant=False, context_fn=contexts, **named)


def checkpoint_blocks(encoder: nn.Module) -> int:
    """Checkpoint every block inside `encoder`, in place, and return the number of blocks.

    A block is a module in a list of modules (a stage) that contains no such list itself. An encoder without blocks may
    have a method ``checkpoint_stages`` instead.
    """
    stages = getattr(encoder, "checkpoint_stages", None)
    if stages is not None:
        return int(stages())
    blocks = _blocks(encoder)
    for block in blocks:
        checkpoint_module(block)
    return len(blocks)


def checkpoint_module(module: nn.Module) -> None:
    """Checkpoint `module`, in place: its class is replaced, and its weights keep their values and names."""
    if not issubclass(type(module), _Checkpointed):
        module.__class__ = _checkpointed_class(type(module))  # type: ignore[arg-type]


class _Checkpointed(nn.Module):
    """A mix-in before the class of a module, which checkpoints its forward."""

    def forward(self, *arguments: Any, **named: Any) -> Any:
        return checkpointed(self, super().forward, *arguments, **named)


@functools.cache
def _checkpointed_class(kind: type) -> type:
    return type(kind.__name__, (_Checkpointed, kind), {})


def _blocks(module: nn.Module) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    for child in module.children():
        deeper = _blocks(child)
        if deeper:
            blocks += deeper
        elif isinstance(module, _CONTAINERS) and _is_block(child):
            blocks.append(child)
    return blocks


def _is_block(module: nn.Module) -> bool:
    return not isinstance(module, (*_CONTAINERS, _BatchNorm)) and any(True for _ in module.children())


@contextlib.contextmanager
def _learning_nothing(module: nn.Module) -> Iterator[None]:
    """Within this context a forward pass in training mode does not change running statistics or power iterations."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    spectral = [m for m in module.modules() if isinstance(m, _SpectralNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    training = [each.training for each in spectral]
    try:
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        for each in spectral:
            each.training = False  # the vectors of the first pass give the same norm again
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
        for each, mode in zip(spectral, training, strict=True):
            each.training = mode
