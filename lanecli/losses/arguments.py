"""Checks of loss arguments, with errors that name the argument."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lanecli.errors import InputError, did_you_mean
from lanecli.losses.pixels import Task


def number(name: str, value: Any, low: float = 0.0, high: float = math.inf, *, above: bool = False) -> float:
    """`value` as a float in low..high, `low` itself excluded when `above`. Raises InputError naming the argument."""
    sound = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not sound or not low <= value <= high or (above and value == low):
        least = f"above {low:g}" if above else f"at least {low:g}"
        bounds = least if high == math.inf else f"{least} and at most {high:g}"
        raise InputError(f"{name} is a number {bounds}, not {value!r}")
    return float(value)


def choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """`value` if it is one of `allowed`. Raises InputError naming the nearest."""
    if value not in allowed:
        raise InputError(f"{name} is one of {', '.join(allowed)}, not {value!r}{did_you_mean(str(value), allowed)}")
    return str(value)


def flag(name: str, value: Any) -> bool:
    """`value` if it is true or false. Raises InputError."""
    if not isinstance(value, bool):
        raise InputError(f"{name} is true or false, not {value!r}")
    return value


def require_background(argument: str, task: Task) -> None:
    """Raises InputError where `argument` sets the background against the rest and the task has no background."""
    if task.mode == "multiclass" and task.background is None:
        raise InputError(f"{argument} sets the background against the rest, and these classes have no background")


def channels(value: Any, task: Task) -> tuple[int, ...]:
    """The channels a loss takes its mean over: ``"foreground"``, ``"all"`` or a list of class ids."""
    if value == "foreground":
        return task.foreground
    if value == "all":
        return tuple(range(task.channels))
    whole = isinstance(value, Sequence) and not isinstance(value, str) and value
    if not whole or any(type(c) is not int or not 0 <= c < task.channels for c in value):
        raise InputError(f"classes is 'foreground', 'all' or a list of ids 0..{task.channels - 1}, not {value!r}")
    return tuple(sorted(set(value)))
