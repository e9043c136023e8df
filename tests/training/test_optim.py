"""Schedules against their closed forms, optimisers and what they are given."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lanecli.errors import InputError
from lanecli.sections import OptimConfig, ScheduleConfig
from lanecli.training.optim import OPTIMISERS, SCHEDULES, build_optimiser, build_schedule

NAMES = st.sampled_from(sorted(SCHEDULES))


def rates(name: str, steps: int, warmup: float = 0.0, **args: Any) -> list[float]:
    share = build_schedule(ScheduleConfig(name=name, warmup=warmup, args=args), steps)
    return [share(i) for i in range(steps)]


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1, bias=False))


def test_constant_is_one() -> None:
    assert rates("constant", 5) == [1.0] * 5


def test_cosine_is_half_a_cosine() -> None:
    assert rates("cosine", 4, floor=0.2) == pytest.approx(
        [1.0, 0.2 + 0.8 * (0.5 + math.sqrt(0.125)), 0.6, 0.2 + 0.8 * (0.5 - math.sqrt(0.125))]
    )
    assert SCHEDULES.get("cosine")(1.0) == pytest.approx(0.01)


def test_poly_is_a_power() -> None:
    assert rates("poly", 4, power=2) == pytest.approx([1, 9 / 16, 1 / 4, 1 / 16])
    assert SCHEDULES.get("poly")(0.5) == pytest.approx(0.5**0.9)
    assert SCHEDULES.get("poly")(1.0) == 0


def test_steps_fall_at_their_milestones() -> None:
    assert rates("step", 10, at=[0.3, 0.5], factor=0.5) == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25]


def test_one_cycle_rises_then_falls_far() -> None:
    shape = SCHEDULES.get("one_cycle")
    assert shape(0.0) == pytest.approx(0.04)
    assert shape(0.15) == pytest.approx(0.52)
    assert shape(0.3) == pytest.approx(1.0)
    assert shape(0.65) == pytest.approx((1 + 1e-4) / 2)
    assert shape(1.0) == pytest.approx(1e-4)
    assert shape(0.0, rise=0) == pytest.approx(1.0)


def test_cyclic_is_a_row_of_triangles() -> None:
    shape = SCHEDULES.get("cyclic")
    assert [shape(d, cycles=2, low=0.5) for d in (0, 0.125, 0.25, 0.375, 0.5, 0.75, 1)] == pytest.approx(
        [1, 0.75, 0.5, 0.75, 1, 0.5, 1]
    )


@settings(deadline=None)
@given(NAMES, st.integers(1, 200), st.floats(0, 0.5))
def test_every_rate_is_above_nothing_and_at_most_the_peak(name: str, steps: int, warmup: float) -> None:
    shares = rates(name, steps, warmup)
    assert all(0 < share <= 1 + 1e-12 for share in shares)


@settings(deadline=None)
@given(NAMES, st.integers(20, 400), st.floats(0.05, 0.5))
def test_the_warm_up_is_a_line_from_zero_to_where_the_schedule_starts(name: str, steps: int, warmup: float) -> None:
    """A jump between them would be a shock to the weights: one_cycle starts low, not at the peak."""
    shares = rates(name, steps, warmup)
    length = round(warmup * steps)
    start = SCHEDULES.get(name)(0.0)
    assert shares[length] == pytest.approx(start)
    rise = start / (length + 1)
    assert shares[0] == pytest.approx(rise)
    assert all(b - a == pytest.approx(rise) for a, b in pairwise(shares[: length + 1]))


def test_a_warm_up_of_nothing_is_none() -> None:
    assert rates("cosine", 10, 0.0)[0] == 1
    assert rates("cosine", 1, 0.03) == [1]


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("cosine", {"flor": 0.1}, r"takes no argument 'flor' \(did you mean 'floor'\?\)"),
        ("constant", {"done": 1}, "takes no argument 'done'"),
        ("cosine", {"done": 1}, "takes no argument 'done'"),
        ("step", {"at": 0.5}, "schedule 'step' does not accept schedule.args"),
        ("cosine", {"floor": "low"}, "schedule 'cosine' does not accept"),
        ("cosin", {}, r"unknown schedule 'cosin' \(did you mean 'cosine'\?\)"),
    ],
)
def test_what_a_schedule_does_not_know_is_named(name: str, args: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_schedule(ScheduleConfig(name=name, args=args), 10)


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_every_optimiser_lowers_a_loss(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    optimiser = build_optimiser(OptimConfig(name=name, lr=0.01, weight_decay=0), model)
    inputs, wanted = torch.randn(32, 3), torch.randn(32, 1)
    losses = []
    for _ in range(30):
        loss = (model(inputs) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_biases_and_norms_are_not_decayed() -> None:
    model = network()
    optimiser = build_optimiser(OptimConfig(lr=0.5, weight_decay=0.3), model)
    decay = {id(p): g["weight_decay"] for g in optimiser.param_groups for p in g["params"]}
    assert {name: decay[id(p)] for name, p in model.named_parameters()} == {
        "0.weight": 0.3,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
        "2.weight": 0.3,
    }
    assert {g["lr"] for g in optimiser.param_groups} == {0.5}


def test_frozen_weights_are_left_out() -> None:
    model = network()
    model[0].requires_grad_(False)
    optimiser = build_optimiser(OptimConfig(), model)
    assert sum(len(g["params"]) for g in optimiser.param_groups) == 3


def test_arguments_reach_the_optimiser() -> None:
    model = network()
    adam = build_optimiser(OptimConfig(args={"betas": [0.8, 0.9], "eps": 1e-4}), model)
    assert tuple(adam.defaults["betas"]) == (0.8, 0.9)
    assert adam.defaults["eps"] == 1e-4
    assert build_optimiser(OptimConfig(name="sgd"), model).defaults["momentum"] == 0.9
    plain = build_optimiser(OptimConfig(name="SGD", args={"momentum": 0.5}), model)
    assert plain.defaults["momentum"] == 0.5


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("adamw", {"beta": [0.9, 0.9]}, r"takes no argument 'beta' in optim.args \(did you mean 'betas'\?\)"),
        ("adamw", {"lr": 1}, "takes no argument 'lr' in optim.args"),
        ("sgd", {"weight_decay": 1}, "takes no argument 'weight_decay'"),
        ("sgd", {"params": []}, "takes no argument 'params'"),
        ("adam", {"eps": -1}, "optimiser 'adam' does not accept optim.args .*epsilon"),
        ("adam", {"betas": 3}, "optimiser 'adam' does not accept"),
        ("adan", {}, "unknown optimiser 'adan'"),
    ],
)
def test_what_an_optimiser_does_not_know_is_named(name: str, args: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_optimiser(OptimConfig(name=name, args=args), network())
