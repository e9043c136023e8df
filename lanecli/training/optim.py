"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from lanecli.config import OptimConfig, ScheduleConfig
from lanecli.errors import InputError, nearest
from lanecli.registry import Registry

OPTIMISERS: Registry[Any] = Registry("optimiser")
OPTIMISERS.add("sgd", "torch.optim:SGD", summary="stochastic gradient descent, momentum 0.9 unless told")
OPTIMISERS.add("adam", "torch.optim:Adam", summary="Kingma & Ba, arXiv 1412.6980")
OPTIMISERS.add("adamw", "torch.optim:AdamW", summary="decoupled weight decay, Loshchilov & Hutter, arXiv 1711.05101")
OPTIMISERS.add("nadam", "torch.optim:NAdam", summary="Adam with Nesterov momentum")
OPTIMISERS.add("radam", "torch.optim:RAdam", summary="rectified Adam, Liu et al., arXiv 1908.03265")
OPTIMISERS.add("rmsprop", "torch.optim:RMSprop", summary="running mean of squared gradients")

_DEFAULTS = {"sgd": {"momentum": 0.9}}

Schedule = Callable[..., float]
"""Share of the run done, 0..1, to the share of the peak learning rate."""

SCHEDULES: Registry[Schedule] = Registry("schedule")


@SCHEDULES.register("constant", summary="the same rate throughout")
def constant(_done: float) -> float:
    """Always 1."""
    return 1.0


@SCHEDULES.register("cosine", summary="half a cosine to `floor`; arXiv 1608.03983")
def cosine(done: float, floor: float = 0.01) -> float:
    """From 1 to `floor` along half a cosine."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


@SCHEDULES.register("poly", summary="(1 - done) ** power; DeepLab's, arXiv 1606.00915")
def poly(done: float, power: float = 0.9) -> float:
    """(1 - done) ** power."""
    return max(0.0, 1 - done) ** power


@SCHEDULES.register("step", summary="times `factor` at each of `at`")
def step(done: float, at: tuple[float, ...] = (0.6, 0.85), factor: float = 0.1) -> float:
    """`factor` to the number of milestones (shares of the run) passed."""
    return factor ** sum(done >= milestone for milestone in at)


@SCHEDULES.register("one_cycle", summary="up, then down far below the start; arXiv 1708.07120")
def one_cycle(done: float, rise: float = 0.3, start: float = 0.04, end: float = 1e-4) -> float:
    """Cosine from `start` to 1 over the first `rise` of the run, then cosine to `end`."""
    if done < rise:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * done / rise))
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * (done - rise) / (1 - rise)))


@SCHEDULES.register("cyclic", summary="triangles between `low` and 1; arXiv 1506.01186")
def cyclic(done: float, cycles: float = 4, low: float = 0.1) -> float:
    """`cycles` triangles, each starting and ending at 1 with `low` halfway."""
    return low + (1 - low) * abs(1 - 2 * (done * cycles % 1))


def build_optimiser(config: OptimConfig, parameters: Any) -> Any:
    """The optimiser over named parameters; biases and norm layers are not decayed.

    Raises InputError for an unknown name or argument.
    """
    name = OPTIMISERS.canonical(config.name)
    constructor = OPTIMISERS.get(name)
    known = set(list(inspect.signature(constructor).parameters)[1:]) - {"lr", "weight_decay"}
    for argument in config.args:
        if argument not in known:
            raise InputError(
                f"optimiser '{name}' takes no argument '{argument}' in optim.args{nearest(argument, known)}"
            )
    decayed: list[Any] = []
    free: list[Any] = []
    for _, parameter in parameters:
        if parameter.requires_grad:
            (decayed if parameter.ndim > 1 else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    # one kernel over all weights instead of several passes; what it cannot do (such as foreach) the user asked for
    fused = {"fused": True} if "fused" in known and not config.args else {}
    arguments = {**_DEFAULTS.get(name, {}), **fused, **config.args}
    try:
        return constructor([g for g in groups if g["params"]], lr=config.lr, **arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"optimiser '{name}' does not take optim.args {arguments}: {error}") from error


def build_schedule(config: ScheduleConfig, steps: int) -> Callable[[int], float]:
    """The share of the peak learning rate at step 0..steps-1, with a linear warm-up to the schedule's start in front.

    Raises InputError for an unknown name or argument, or a value the schedule cannot compute with.
    """
    schedule = SCHEDULES.get(config.name)
    known = list(inspect.signature(schedule).parameters)[1:]
    for argument in config.args:
        if argument not in known:
            raise InputError(f"schedule '{config.name}' takes no argument '{argument}'{nearest(argument, known)}")
    warmup = round(config.warmup * steps)
    try:
        start = schedule(0.0, **config.args)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"schedule '{config.name}' does not take schedule.args {config.args}: {error}") from error

    def share(number: int) -> float:
        if number < warmup:
            return start * (number + 1) / (warmup + 1)
        return schedule((number - warmup) / max(1, steps - warmup), **config.args)

    return share
