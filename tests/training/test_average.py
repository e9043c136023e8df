"""The average of weights over training."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from lanecli.training.average import ExponentialAverage


class Small(nn.Module):
    """A layer with weights and statistics, and a buffer that is no statistic."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("direction", torch.zeros(2))


def test_weights_and_statistics_are_averaged_and_other_buffers_copied() -> None:
    """Against the sum written out: each step keeps a share of what was there, a small one at the start."""
    network = Small()
    average = ExponentialAverage(network, 0.4)  # type: ignore[arg-type]
    drawn = np.random.default_rng(0)
    wanted = {"norm.weight": np.ones(3), "norm.running_mean": np.zeros(3), "norm.running_var": np.ones(3)}
    for step in range(1, 8):
        network.norm(torch.from_numpy(drawn.normal(5, 2, (16, 3)).astype(np.float32)))
        with torch.no_grad():
            network.norm.weight += step
        network.direction.fill_(step)
        average.update(network)  # type: ignore[arg-type]
        kept = min(0.4, (1 + step) / (10 + step))
        for name, value in wanted.items():
            wanted[name] = kept * value + (1 - kept) * network.state_dict()[name].double().numpy()
    have = average.network.state_dict()
    for name, value in wanted.items():
        assert np.abs(value - network.state_dict()[name].numpy()).max() > 0.01, "the last step alone is not the average"
        np.testing.assert_allclose(have[name], value, rtol=1e-5, err_msg=name)
    assert have["norm.num_batches_tracked"] == 7
    assert have["direction"].tolist() == [7, 7]
