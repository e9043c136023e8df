"""The resume state: bit for bit, and whole whenever the machine stops."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lanecli.errors import InputError
from lanecli.training import checkpoint
from lanecli.training.checkpoint import load_state, save_state


def same(a: Any, b: Any) -> bool:
    """Equal in kind and every bit; tuples come back as lists."""
    if isinstance(a, torch.Tensor):
        if not isinstance(b, torch.Tensor) or (a.dtype, a.shape) != (b.dtype, b.shape):
            return False
        return a.contiguous().reshape(-1).view(torch.uint8).tolist() == b.reshape(-1).view(torch.uint8).tolist()
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a)


def test_everything_comes_back_bit_for_bit(tmp_path: Path) -> None:
    base = torch.randn(4, 6)
    state = {
        "step": 3,
        "best": None,
        "rate": 0.1 + 0.2,
        "tiny": 5e-324,
        "nan": float("nan"),
        "on": True,
        "words": ["a", "tensor:state.step", "", "ü"],
        "dotted.name": {"a.b": base, "a": {"b": base + 1}},
        "numbers": {0: base.double(), "0": torch.ones(1), -3: 1, True + 1: 2},
        "pair": (0.9, 0.999),
        "strange": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
        "kinds": [
            base.to(torch.bfloat16),
            base.half(),
            torch.arange(5),
            torch.tensor([True, False]),
            torch.zeros(0, 3),
            torch.tensor(7, dtype=torch.uint8),
            torch.get_rng_state(),
        ],
        "views": [base.T, base[:, 1], base.expand(2, 4, 6)],
        "empty": {},
    }
    save_state(tmp_path / "last", state)
    assert same(state, load_state(tmp_path / "last"))
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


def test_an_optimiser_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    def run(steps: int, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
        for i in range(steps):
            optimiser.zero_grad()
            model(torch.full((2, 3), float(i % 3))).square().sum().backward()
            optimiser.step()

    torch.manual_seed(1)
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
    run(3, model, optimiser)
    save_state(tmp_path / "last", {"network": model.state_dict(), "optimiser": optimiser.state_dict()})
    run(3, model, optimiser)

    other = torch.nn.Linear(3, 2)
    again = torch.optim.AdamW(other.parameters(), lr=99.0)
    state = load_state(tmp_path / "last")
    other.load_state_dict(state["network"])
    again.load_state_dict(state["optimiser"])
    run(3, other, again)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
STATES = st.dictionaries(
    st.text(max_size=3) | st.integers(-5, 5),
    st.recursive(
        LEAVES | st.builds(lambda n: torch.arange(n), st.integers(0, 3)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner),
        max_leaves=8,
    ),
    max_size=4,
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STATES)
def test_any_nesting_comes_back(tmp_path: Path, state: dict[Any, Any]) -> None:
    save_state(tmp_path / "last", state)
    assert same(state, load_state(tmp_path / "last"))


class Crash(BaseException):
    """The machine stops here."""


def _names(module: Any) -> list[tuple[Any, str]]:
    return [(os, "replace"), (shutil, "rmtree"), (module, "save_file"), (module.json, "dump"), (os, "fsync")]


def _crash_at(monkeypatch: pytest.MonkeyPatch, call: int, before: bool) -> Callable[[], int]:
    """Stop before or after the `call`-th step of writing; the calls made so far are counted."""
    made = 0

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: Any, **kwargs: Any) -> Any:
            nonlocal made
            made += 1
            if made == call and before:
                raise Crash
            result = function(*args, **kwargs)
            if made == call:
                raise Crash
            return result

        return stepped

    for owner, name in _names(checkpoint):
        function = (lambda _file: None) if name == "fsync" else getattr(owner, name)  # slow, and no matter here
        monkeypatch.setattr(owner, name, wrap(function))
    return lambda: made


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("second_crash", [False, True])
def test_one_whole_state_is_there_whenever_it_stops(tmp_path: Path, before: bool, second_crash: bool) -> None:
    """Stopped at every step of a save, and at every step of the save that follows such a stop."""

    def save(folder: Path, value: int, call: int) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            made = _crash_at(patch, call, before)
            try:
                save_state(folder, {"value": value, "weights": torch.full((3,), value)})
            except Crash:
                return True
            assert made() < call
            return False

    def check(folder: Path, *allowed: int) -> int:
        state = load_state(folder)
        assert state["value"] in allowed
        assert torch.equal(state["weights"], torch.full((3,), state["value"]))
        return int(state["value"])

    seen = set()
    crashes = 0
    for first in range(1, 30):
        folder = tmp_path / f"{first}" / "last"
        save(folder, 1, 999)
        crashed = save(folder, 2, first)
        value = check(folder, 1, 2)
        seen.add(value)
        if second_crash:
            for second in range(1, 30):
                copy = tmp_path / f"{first}-{second}"
                shutil.copytree(folder.parent, copy)
                again = save(copy / "last", 3, second)
                check(copy / "last", value, 3)
                save(copy / "last", 4, 999)
                check(copy / "last", 4)
                if not again:
                    break
        save(folder, 5, 999)
        assert check(folder, 5) == 5
        assert [p.name for p in folder.parent.iterdir()] == ["last"]
        if not crashed:
            break
        crashes += 1
    assert crashes >= 7
    assert seen == {1, 2}


def test_a_folder_without_a_state_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="last holds no training state: nothing to resume"):
        load_state(tmp_path / "last")
    (tmp_path / "last").mkdir()
    with pytest.raises(InputError, match="nothing to resume"):
        load_state(tmp_path / "last")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "3]",
        "{}",
        '{"keys": 3}',
        '{"keys": [[1]]}',
        '{"keys": [["str", [1], 2]]}',
        "[" * 100_000,
        '"tensor:no"',
    ],
)
def test_a_damaged_document_is_one_line(tmp_path: Path, text: str) -> None:
    save_state(tmp_path / "last", {"a": torch.zeros(2)})
    (tmp_path / "last" / "state.json").write_text(text)
    with pytest.raises(InputError, match="last: the training state is not readable"):
        load_state(tmp_path / "last")


def test_damaged_or_missing_tensors_are_one_line(tmp_path: Path) -> None:
    save_state(tmp_path / "last", {"a": torch.zeros(200)})
    path = tmp_path / "last" / "state.safetensors"
    data = path.read_bytes()
    for end in (0, 5, 60, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(InputError, match="not readable"):
            load_state(tmp_path / "last")
    path.unlink()
    with pytest.raises(InputError, match="not readable"):
        load_state(tmp_path / "last")


def test_what_cannot_be_stored_is_named_and_the_old_state_stays(tmp_path: Path) -> None:
    save_state(tmp_path / "last", {"a": 1})
    with pytest.raises(TypeError, match=r"state\.b\.1: a set cannot be stored"):
        save_state(tmp_path / "last", {"b": [0, {1}]})
    assert load_state(tmp_path / "last") == {"a": 1}


@pytest.mark.parametrize("key", ["Infinity", "-Infinity", "NaN", "1e999", "[]", "{}", "null", '"x"'])
def test_a_key_that_is_no_whole_number_is_damage(tmp_path: Path, key: str) -> None:
    save_state(tmp_path / "last", {"epochs": {7: 1.5}})
    path = tmp_path / "last" / "state.json"
    whole = path.read_text()
    assert whole.count('"int", 7') == 1
    path.write_text(whole.replace('"int", 7', f'"int", {key}'))
    with pytest.raises(InputError, match="the training state is not readable"):
        load_state(tmp_path / "last")
