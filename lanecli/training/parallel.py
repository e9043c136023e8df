"""One network in several processes: each has a whole copy (DDP), or a shard of the weights (FSDP)."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from lanecli.errors import InputError
from lanecli.models.build import Network
from lanecli.sections import TrainConfig
from lanecli.training.processes import Processes

_UNIT_WEIGHTS = 1_000_000  # the least number of weights in a module that is gathered as one unit
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Parallel:
    """Calls, saves and loads a network that the processes of a run share.

    Attributes:
        forward: the module that the training loop calls; for a single process the network itself.
        sharded: whether the weights are sharded over the processes (FSDP).
    """

    def __init__(self, network: Network, processes: Processes, config: TrainConfig, idle: Sequence[str] = ()) -> None:
        """Shard the weights if `config` says so.

        Args:
            network: a network on its device, with the same weights in every process.
            processes: the processes that share the work.
            config: the section `train`.
            idle: names of weights that receive no gradient, for which the processes would wait.

        Raises:
            InputError: sharding is combined with fp16, whose gradient scaling it does not support.
        """
        self.network, self.processes, self._synced = network, processes, config.sync_batchnorm
        self.sharded = config.parallel == "fsdp" and processes.size > 1
        self.forward: Any = network
        self._idle = idle
        if self.sharded:
            if config.precision == "fp16":
                raise InputError("train.parallel=fsdp computes in bf16 or fp32, not in fp16")
            shard_weights(network)

    def wrap(self) -> None:
        """Adapt :attr:`forward` to the weights that are trained; call it after freezing or unfreezing weights."""
        weights = dict(self.network.named_parameters())
        for name in self._idle:
            weights[name].requires_grad_(False)
        if self.processes.size == 1 or self.sharded:
            return
        # torch renamed the option; synchronised statistics are equal in all processes already
        renamed = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
        buffers: dict[str, Any] = {"forward_sync_buffers" if renamed else "broadcast_buffers": not self._synced}
        self.forward = DistributedDataParallel(
            self.network,
            device_ids=[self.processes.device] if self.processes.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
            **buffers,
        )

    def accumulating(self, more: bool) -> contextlib.AbstractContextManager[None]:
        """Context for forward and backward of a batch; gradients are exchanged unless `more` batches follow."""
        if isinstance(self.forward, DistributedDataParallel) and more:
            return self.forward.no_sync()
        if self.sharded:
            cast(FSDPModule, self.network).set_requires_gradient_sync(not more)
        return contextlib.nullcontext()

    def weights(self, network: Network | None = None) -> dict[str, torch.Tensor]:
        """Return all weights of the network (or of another one sharded like it). Every process must take part."""
        network = network or self.network
        return dict(get_model_state_dict(network, options=_WHOLE)) if self.sharded else network.state_dict()  # type: ignore[arg-type]

    def load_weights(self, weights: dict[str, torch.Tensor], network: Network | None = None) -> None:
        """Load what :meth:`weights` returned."""
        network = network or self.network
        if self.sharded:
            set_model_state_dict(network, dict(weights), options=StateDictOptions(full_state_dict=True))
        else:
            network.load_state_dict(weights)

    def optimiser_state(self, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
        """Return the whole state of the optimiser. Every process must take part."""
        if self.sharded:
            return dict(get_optimizer_state_dict(self.network, optimiser, options=_WHOLE))
        return optimiser.state_dict()

    def load_optimiser_state(self, optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Load what :meth:`optimiser_state` returned."""
        if self.sharded:
            options = StateDictOptions(full_state_dict=True)
            set_optimizer_state_dict(self.network, optimiser, state, options=options)
            return
        optimiser.load_state_dict(state)
        for parameter, values in optimiser.state.items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    # the memory layout of the weights, because fused kernels ignore strides
                    values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def shard_weights(network: Network) -> None:
    """Shard the weights of `network` over the processes, unit by unit."""
    network.to(memory_format=torch.contiguous_format)  # FSDP supports no other, not even channels_last
    for part in _units(network.architecture):
        fully_shard(part)
    fully_shard(network)


def _units(module: nn.Module) -> Iterable[nn.Module]:
    """Yield the deepest modules that have enough weights to be a unit of FSDP, inner ones first."""
    for child in module.children():
        yield from _units(child)
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            continue  # these are never called themselves
        if sum(p.numel() for p in child.parameters()) >= _UNIT_WEIGHTS and not list(_units(child)):
            yield child
