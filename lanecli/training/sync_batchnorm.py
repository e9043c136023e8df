"""Batch norm over the pictures of all processes.

torch's SyncBatchNorm works on GPUs only. This module gives the layers the same statistics on a CPU, so that a run with
several processes can be compared with a single process on any machine.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn

from lanecli.errors import InputError
from lanecli.models.build import Network
from lanecli.models.norms import TolerantBatchNorm2d


def synchronise_batchnorm(network: Network, device: torch.device) -> Network:
    """Return `network` with batch norm layers that normalise over all processes in training. Weights keep their names.

    Raises:
        InputError: the network has a kind of batch norm that is not supported here.
    """
    if device.type == "cuda":
        return convert_sync_batchnorm(network)  # timm's function keeps the activation inside timm's layers
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if type(module) not in _SYNCED:
                raise InputError(f"a {type(module).__name__} cannot be synchronised: use train.sync_batchnorm=false")
            module.__class__ = _SYNCED[type(module)]  # type: ignore[assignment]
    return network


def synced_batch_norm(module: nn.modules.batchnorm._BatchNorm, features: Tensor) -> Tensor:
    """Batch normalisation (Ioffe & Szegedy, arXiv 1502.03167) with mean and variance over all processes.

    Args:
        module: the layer; its running statistics are updated.
        features: (N, C, ...) float, with the same shape in every process.

    Returns:
        A tensor with the shape and dtype of `features`, differentiable through the statistics.
    """
    values = features.float()
    axes = [0, *range(2, values.ndim)]
    count = values.numel() // values.shape[1] * dist.get_world_size()
    shape = (1, -1) + (1,) * (values.ndim - 2)
    mean = _Total.apply(values.sum(axes)) / count
    centred = values - mean.view(shape)
    variance = _Total.apply(centred.square().sum(axes)) / count  # of centred values, which avoids cancellation
    if module.track_running_stats and module.running_mean is not None and module.running_var is not None:
        with torch.no_grad():
            module.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            rate = 1.0 / float(module.num_batches_tracked) if module.momentum is None else module.momentum  # type: ignore[arg-type]
            module.running_mean.lerp_(mean.detach(), rate)
            module.running_var.lerp_(variance.detach() * (count / max(1, count - 1)), rate)
    normalised = centred * (variance + module.eps).rsqrt().view(shape)
    if module.affine:
        normalised = normalised * module.weight.view(shape) + module.bias.view(shape)
    return normalised.to(features.dtype)


class _Total(torch.autograd.Function):
    """The sum over all processes. Its gradient is summed in the same way."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class SyncedBatchNorm1d(nn.BatchNorm1d):
    """`BatchNorm1d` over all processes."""

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C) or (N, C, L) to the same shape."""
        return synced_batch_norm(self, features) if self.training else super().forward(features)


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """`BatchNorm2d` over all processes."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return synced_batch_norm(self, features) if self.training else super().forward(features)


class SyncedBatchNormAct2d(BatchNormAct2d):
    """timm's batch norm with an activation, over all processes."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        if not self.training:
            return super().forward(features)
        return self.act(self.drop(synced_batch_norm(self, features)))


_SYNCED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: SyncedBatchNorm1d,
    nn.BatchNorm2d: SyncedBatchNorm2d,
    TolerantBatchNorm2d: SyncedBatchNorm2d,
    BatchNormAct2d: SyncedBatchNormAct2d,
}
