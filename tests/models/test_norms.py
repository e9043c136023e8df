"""Batch normalisation with a single value a channel."""

from __future__ import annotations

import torch
from torch import nn

from lanecli.models.norms import TolerantBatchNorm2d, tolerate_single_values


def test_single_values_are_normalised_by_what_was_learned_and_teach_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    names = list(model.state_dict())
    tolerate_single_values(model)
    norm = model[1]
    assert isinstance(norm, TolerantBatchNorm2d)
    assert list(model.state_dict()) == names
    norm.running_mean.fill_(2.0)
    norm.running_var.fill_(4.0)
    single = torch.full((1, 4, 1, 1), 5.0)
    expected = torch.full((1, 4, 1, 1), 3.0 / (4.0 + norm.eps) ** 0.5)
    torch.testing.assert_close(norm.train()(single), expected)
    assert norm.num_batches_tracked == 0
    assert norm.running_mean.eq(2.0).all()


def test_more_values_are_normalised_as_ever() -> None:
    plain, features = nn.BatchNorm2d(4), torch.randn(1, 4, 1, 2, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.BatchNorm2d(4))
    tolerate_single_values(model)
    assert torch.equal(model.train()(features), plain.train()(features))
    assert torch.equal(model[0].running_mean, plain.running_mean)
    assert model[0].num_batches_tracked == 1
