"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lanecli.config import OptimConfig, ScheduleConfig
from lanecli.errors import InputError, did_you_mean
from lanecli.registry import Registry

if TYPE_CHECKING:  # names of optimisers are listed without importing torch
    import torch
    from torch import nn

    from lanecli.models.build import Network

OPTIMISERS: Registry[Any] = Registry("optimiser")
_TORCH = (
    ("sgd", "SGD", "stochastic gradient descent, momentum 0.9 unless told"),
    ("adam", "Adam", "Kingma & Ba, arXiv 1412.6980"),
    ("adamw", "AdamW", "decoupled weight decay, Loshchilov & Hutter, arXiv 1711.05101"),
    ("nadam", "NAdam", "Adam with Nesterov momentum"),
    ("radam", "RAdam", "rectified Adam, Liu et al., arXiv 1908.03265"),
    ("rmsprop", "RMSprop", "running mean of squared gradients"),
    ("adagrad", "Adagrad", "sum of squared gradients, Duchi et al. 2011"),
    ("adadelta", "Adadelta", "Zeiler, arXiv 1212.5701"),
    ("adamax", "Adamax", "Adam in the infinity norm, arXiv 1412.6980"),
    ("adafactor", "Adafactor", "factored second moments, arXiv 1804.04235"),
    ("asgd", "ASGD", "averaged stochastic gradient descent, Polyak & Juditsky 1992"),
    ("rprop", "Rprop", "sign of the gradient only; for whole-set batches"),
)
for _name, _class, _summary in _TORCH:
    OPTIMISERS.add(_name, f"torch.optim:{_class}", summary=_summary)

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


def build_optimiser(config: OptimConfig, network: Network, *, fused: bool = True) -> torch.optim.Optimizer:
    """The optimiser over the weights of `network` that learn; biases and norm layers are not decayed.

    Each of its groups has a ``share``: what the rate of the run is multiplied by for it.

    Args:
        config: of the optimiser.
        network: whose encoder is slowed down or left out as `config` says.
        fused: let one kernel go over all weights where torch has one.

    Raises:
        InputError: an unknown name or argument, or a network without an encoder where `config` needs one.
    """
    name = OPTIMISERS.canonical(config.name)
    constructor = OPTIMISERS.get(name)
    known = set(list(inspect.signature(constructor).parameters)[1:]) - {"lr", "weight_decay"}
    for argument in config.args:
        if argument not in known:
            raise InputError(
                f"optimiser '{name}' takes no argument '{argument}' in optim.args{did_you_mean(argument, known)}"
            )
    arguments = {**_DEFAULTS.get(name, {}), **config.args}
    if fused and "fused" in known and "foreach" not in arguments:
        arguments.setdefault("fused", True)
    decays = "weight_decay" in inspect.signature(constructor).parameters
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    shares = rate_shares(config, network)
    for parameter in network.parameters():
        if parameter.requires_grad:
            groups.setdefault((shares.get(parameter, 1.0), parameter.ndim > 1), []).append(parameter)
    described: list[dict[str, Any]] = [
        {"params": parameters, "share": share}
        | ({"weight_decay": config.weight_decay if decayed else 0.0} if decays else {})
        for (share, decayed), parameters in groups.items()
    ]
    try:
        return constructor(described, lr=config.lr, **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"optimiser '{name}' does not take optim.args {arguments}: {error}") from error


def freeze_encoder(network: Network, frozen: bool) -> None:
    """Leave the encoder's weights as they are, or let all learn again."""
    network.requires_grad_(True)
    for encoder in network.architecture.encoders():
        encoder.requires_grad_(not frozen)


def rate_shares(config: OptimConfig, network: Network) -> dict[nn.Parameter, float]:
    """What the rate is multiplied by for each weight of the encoder: ``encoder_lr * layer_decay ** depth``.

    Depth is 0 for the encoder's last layer and grows towards the picture, a layer being what the encoder's weights
    are named by: a block where blocks are numbered (``layer1.0``, ``blocks.3``), else a child. The decay by layer is
    that of Clark et al., arXiv 2003.10555, and Bao et al., arXiv 2106.08254.
    """
    if config.encoder_lr == 1.0 and config.layer_decay == 1.0:
        return {}
    shares: dict[nn.Parameter, float] = {}
    for encoder in network.architecture.encoders():
        layers = _layers(encoder)
        order = list(dict.fromkeys(layer for layer, _ in layers))
        for layer, parameter in layers:
            depth = len(order) - 1 - order.index(layer)
            shares[parameter] = config.encoder_lr * config.layer_decay**depth
    return shares


def _layers(encoder: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The encoder's weights, each with the layer it is in; a norm that stands alone belongs to the layer before it."""
    named = [(_layer(name), parameter) for name, parameter in encoder.named_parameters()]
    whole = {layer for layer, parameter in named if parameter.ndim > 1}
    layers: list[tuple[str, nn.Parameter]] = []
    for layer, parameter in named:
        before = layers[-1][0] if layers else layer
        layers.append((layer if layer in whole else before, parameter))
    return layers


def _layer(name: str) -> str:
    """The part of a weight's name that says which layer it is in: up to the last number, as in 0 or stages_0."""
    parts = name.split(".")[:-1]
    numbered = [i for i, part in enumerate(parts[:4]) if part.rpartition("_")[2].isdigit()]
    return ".".join(parts[: numbered[-1] + 1] if numbered else parts[:1])


def build_schedule(config: ScheduleConfig, steps: int) -> Callable[[int], float]:
    """The share of the peak learning rate at step 0..steps-1, with a linear warm-up to the schedule's start in front.

    Raises InputError for an unknown name or argument, or a value the schedule cannot compute with.
    """
    schedule = SCHEDULES.get(config.name)
    known = list(inspect.signature(schedule).parameters)[1:]
    for argument in config.args:
        if argument not in known:
            raise InputError(f"schedule '{config.name}' takes no argument '{argument}'{did_you_mean(argument, known)}")
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
