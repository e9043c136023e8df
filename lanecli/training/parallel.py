"""One network over several processes: whole copies (DDP), or its weights spread over them (FSDP)."""

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

from lanecli.config import TrainConfig
from lanecli.errors import InputError
from lanecli.models.build import Network
from lanecli.training.processes import Processes

_SHARD = 1_000_000  # weights in a part of the network that is gathered as one
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Parallel:
    """How a network is called, saved and loaded by the processes of a run.

    Attributes:
        forward: what the training loop calls; for one process, the network itself.
    """

    def __init__(self, network: Network, processes: Processes, config: TrainConfig, idle: Sequence[str] = ()) -> None:
        """Spread the weights where `config` says so.

        Args:
            network: on its device, with the same weights in every process.
            processes: those that share the work.
            config: of training.
            idle: names of weights that get no gradient; several processes would wait for it.

        Raises:
            InputError: sharding and fp16 together, whose gradient scaling it does not support.
        """
        self.network, self.processes, self._synced = network, processes, config.sync_batchnorm
        self.sharded = config.parallel == "fsdp" and processes.size > 1
        self.forward: Any = network
        self._idle = idle
        if self.sharded:
            if config.precision == "fp16":
                raise InputError("train.parallel=fsdp computes in bf16 or fp32, not in fp16")
            spread_weights(network)

    def wrap(self) -> None:
        """Make :attr:`forward` fit the weights that learn now; call it after freezing or unfreezing some."""
        weights = dict(self.network.named_parameters())
        for name in self._idle:
            weights[name].requires_grad_(False)
        if self.processes.size == 1 or self.sharded:
            return
        # torch renamed the option; synchronised statistics are the same everywhere already
        renamed = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
        buffers: dict[str, Any] = {"forward_sync_buffers" if renamed else "broadcast_buffers": not self._synced}
        self.forward = DistributedDataParallel(
            self.network,
            device_ids=[self.processes.device] if self.processes.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
            **buffers,
        )

    def accumulating(self, more: bool) -> contextlib.AbstractContextManager[None]:
        """Around forward and backward of a batch; with `more` to come before the step, gradients are not sent yet."""
        if isinstance(self.forward, DistributedDataParallel) and more:
            return self.forward.no_sync()
        if self.sharded:
            cast(FSDPModule, self.network).set_requires_gradient_sync(not more)
        return contextlib.nullcontext()

    def weights(self, network: Network | None = None) -> dict[str, torch.Tensor]:
        """All weights of the network (or of another one sharded like it); every process takes part."""
        network = network or self.network
        return dict(get_model_state_dict(network, options=_WHOLE)) if self.sharded else network.state_dict()  # type: ignore[arg-type]

    def load_weights(self, weights: dict[str, torch.Tensor], network: Network | None = None) -> None:
        """Take up what :meth:`weights` gave."""
        network = network or self.network
        if self.sharded:
            set_model_state_dict(network, dict(weights), options=StateDictOptions(full_state_dict=True))
        else:
            network.load_state_dict(weights)

    def optimiser_state(self, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
        """The optimiser's whole state; every process takes part."""
        if self.sharded:
            return dict(get_optimizer_state_dict(self.network, optimiser, options=_WHOLE))
        return optimiser.state_dict()

    def load_optimiser_state(self, optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Take up what :meth:`optimiser_state` gave."""
        if self.sharded:
            options = StateDictOptions(full_state_dict=True)
            set_optimizer_state_dict(self.network, optimiser, state, options=options)
            return
        optimiser.load_state_dict(state)
        for parameter, values in optimiser.state.items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    # laid out in memory like the weights: fused kernels go over both without looking at strides
                    values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def spread_weights(network: Network) -> None:
    """Spread the weights of `network` over the processes, part by part."""
    network.to(memory_format=torch.contiguous_format)  # FSDP takes no other, channels_last included
    for part in _parts(network.architecture):
        fully_shard(part)
    fully_shard(network)


def _parts(module: nn.Module) -> Iterable[nn.Module]:
    """The deepest parts that hold a good number of weights, inner ones first."""
    for child in module.children():
        yield from _parts(child)
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            continue  # never called itself
        if sum(p.numel() for p in child.parameters()) >= _SHARD and not list(_parts(child)):
            yield child
