"""Checks of the arguments of losses. Their errors name the argument."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lanecli.errors import InputError, did_you_mean
from lanecli.losses.pixels import Task


def number(name: str, value: Any, low: float = 0.0, high: float = math.inf, *, above: bool = False) -> float:
    """Return `value` as a float in low..high; with `above`, `low` itself is not allowed.

    Raises:
        InputError: the value is not such a number; the message names the argument.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not low <= value <= high or (above and value == low):
        least = f"above {low:g}" if above else f"at least {low:g}"
        bounds = least if high == math.inf else f"{least} and at most {high:g}"
        raise InputError(f"{name} must be a number {bounds}, not {value!r}")
    return float(value)


def choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """Return `value` if it is one of `allowed`; otherwise raise InputError, which names the nearest one."""
    if value not in allowed:
        raise InputError(
            f"{name} must be one of {', '.join(allowed)}, not {value!r}{did_you_mean(str(value), allowed)}"
        )
    return str(value)


def flag(name: str, value: Any) -> bool:
    """Return `value` if it is true or false; otherwise raise InputError."""
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false, not {value!r}")
    return value


def require_background(argument: str, task: Task) -> None:
    """Raise InputError where `argument` tells foreground from background and the task has no background."""
    if task.mode == "multiclass" and task.background is None:
        raise InputError(f"{argument} tells foreground from background, and these classes have no background")


def channels(value: Any, task: Task) -> tuple[int, ...]:
    """Return the channels over which a loss averages.

    Args:
        value: ``"foreground"``, ``"all"`` or a list of class ids.
        task: the task, which knows its channels.

    Raises:
        InputError: `value` is none of these.
    """
    if value == "foreground":
        return task.foreground
    if value == "all":
        return tuple(range(task.channels))
    is_list = isinstance(value, Sequence) and not isinstance(value, str) and value
    if not is_list or any(type(c) is not int or not 0 <= c < task.channels for c in value):
        raise InputError(f"classes must be 'foreground', 'all' or a list of ids 0..{task.channels - 1}, not {value!r}")
    return tuple(sorted(set(value)))
