"""Splits keep groups whole, come close to the shares asked for, and depend on nothing but groups and seed."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanecli.data.splits import assign, parse_split, takes
from lanecli.errors import InputError

GROUPS = st.lists(st.integers(0, 12).map(lambda i: f"road{i // 4}/rec{i}"), min_size=1, max_size=80)


@given(GROUPS, st.integers(0, 5))
def test_neighbours_never_straddle_splits(groups: list[str], seed: int) -> None:
    splits = assign(groups, parse_split("train=0.7,val=0.2,test=0.1"), seed)
    where = defaultdict(set)
    for group, split in zip(groups, splits, strict=True):
        where[group].add(split)
    assert all(len(found) == 1 for found in where.values())


@given(GROUPS, st.randoms())
def test_order_of_pairs_changes_nothing(groups: list[str], shuffler) -> None:  # type: ignore[no-untyped-def]
    rule = parse_split("train=0.8,val=0.2")
    first = dict(zip(groups, assign(groups, rule), strict=True))
    shuffled = groups[:]
    shuffler.shuffle(shuffled)
    assert dict(zip(shuffled, assign(shuffled, rule), strict=True)) == first


@given(GROUPS)
def test_no_split_stays_empty_when_there_are_groups_enough(groups: list[str]) -> None:
    splits = assign(groups, parse_split("train=0.98,val=0.01,test=0.01"))
    assert len(set(splits)) == min(3, len(set(groups)))


def test_shares_of_equal_groups_are_met_exactly() -> None:
    groups = [f"g{i}" for i in range(10) for _ in range(7)]
    assert assign(groups, parse_split("train=0.8,val=0.2")).count("val") == 14


def test_seed_changes_who_is_held_out() -> None:
    groups = [f"g{i}" for i in range(30)]
    held = {
        tuple(
            g for g, s in zip(groups, assign(groups, parse_split("train=0.8,val=0.2"), seed), strict=True) if s == "val"
        )
        for seed in range(4)
    }
    assert len(held) == 4


def test_the_largest_group_of_two_is_learnt_from() -> None:
    assert assign(["big"] * 50 + ["small"] * 16, parse_split("train=0.8,val=0.2")) == ["train"] * 50 + ["val"] * 16


def test_a_road_can_be_held_out_by_name() -> None:
    groups = ["Road02/Record001", "Road04/Record001", "Road04/Record002"]
    assert assign(groups, parse_split("val=Road02,train=Road04")) == ["val", "train", "train"]
    assert assign(groups, parse_split("val=*Record002,train=*")) == ["train", "train", "val"]


def test_the_first_pattern_that_matches_wins() -> None:
    assert assign(["0006R0", "0016E5"], parse_split("val=0006R0*,train=*")) == ["val", "train"]


def test_patterns_first_then_shares_of_the_rest() -> None:
    groups = [f"a/{i}" for i in range(10)] + ["b/0"]
    splits = assign(groups, parse_split("test=b,train=0.9,val=0.1"))
    assert (splits.count("train"), splits.count("val"), splits[-1]) == (9, 1, "test")


def test_a_pattern_is_a_name_or_what_lies_below_not_a_prefix() -> None:
    assert takes("Road02", "Road02/Record001")
    assert not takes("Road0", "Road02/Record001")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train", "NAME=SHARE"),
        ("train=0.8,val=0.3", "sum to 1.1"),
        ("train=1.5,val=-0.5", "not between 0 and 1"),
        ("train=0.5,train=0.5", "two shares"),
        ("val=Road07,train=*", "'Road07' matches no group; the groups are: Road02"),
        ("val=Road02", "group 'Road04' is in no split"),
    ],
)
def test_bad_splits_are_named(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        assign(["Road02", "Road04"], parse_split(text))
