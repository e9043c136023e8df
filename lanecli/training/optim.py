"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lanecli.errors import InputError, did_you_mean
from lanecli.registry import Registry
from lanecli.sections import OptimConfig, ScheduleConfig

if TYPE_CHECKING:  # names of optimisers are listed without importing torch
    import torch
    from torch import nn

    from lanecli.models.build import Network

OPTIMISERS: Registry[Any] = Registry("optimiser")
_TORCH = (
    ("sgd", "SGD", "stochastic gradient descent, with momentum 0.9 by default"),
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
    ("rprop", "Rprop", "uses only the sign of the gradient; for batches of the whole training set"),
)
for _name, _class, _summary in _TORCH:
    OPTIMISERS.add(_name, f"torch.optim:{_class}", summary=_summary)

_DEFAULTS = {"sgd": {"momentum": 0.9}}

Schedule = Callable[..., float]
"""A function from the completed share of the run, 0..1, to the learning rate as a share of its peak."""

SCHEDULES: Registry[Schedule] = Registry("schedule")


@SCHEDULES.register("constant", summary="the same rate throughout")
def constant(_done: float) -> float:
    """Always 1."""
    return 1.0


@SCHEDULES.register("cosine", summary="half a cosine to `floor`; arXiv 1608.03983")
def cosine(done: float, floor: float = 0.01) -> float:
    """Fall from 1 to `floor` along half a cosine.

    Example:
        >>> cosine(0.0), cosine(1.0)
        (1.0, 0.01)
    """
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


@SCHEDULES.register("poly", summary="(1 - done) ** power; DeepLab's, arXiv 1606.00915")
def poly(done: float, power: float = 0.9) -> float:
    """Fall from 1 to 0 as (1 - done) ** power."""
    return max(0.0, 1 - done) ** power


@SCHEDULES.register("step", summary="the rate is multiplied by `factor` at each of `at`")
def step(done: float, at: tuple[float, ...] = (0.6, 0.85), factor: float = 0.1) -> float:
    """Multiply by `factor` at each milestone in `at`, a share of the run."""
    return factor ** sum(done >= milestone for milestone in at)


@SCHEDULES.register("one_cycle", summary="rises, then falls far below its start; arXiv 1708.07120")
def one_cycle(done: float, rise: float = 0.3, start: float = 0.04, end: float = 1e-4) -> float:
    """Rise from `start` to 1 over the share `rise` of the run, then fall to `end`, each along half a cosine."""
    if done < rise:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * done / rise))
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * (done - rise) / (1 - rise)))


@SCHEDULES.register("cyclic", summary="triangles between `low` and 1; arXiv 1506.01186")
def cyclic(done: float, cycles: float = 4, low: float = 0.1) -> float:
    """Follow `cycles` triangles, each of which starts and ends at 1 and has `low` in the middle."""
    return low + (1 - low) * abs(1 - 2 * (done * cycles % 1))


def build_optimiser(config: OptimConfig, network: Network, *, fused: bool = True) -> torch.optim.Optimizer:
    """The optimiser over the weights of `network` that learn; biases and norm layers are not decayed.

    Each of its groups has a ``share``: what the rate of the run is multiplied by for it.

    Args:
        config: the section `optim`.
        network: the network to train. `config` may give its encoder a lower learning rate.
        fused: whether to use torch's fused kernel, which updates all weights at once, where there is one.

    Raises:
        InputError: a name or argument is unknown, or `config` needs an encoder that the network does not have.
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
        raise InputError(f"optimiser '{name}' does not accept optim.args {arguments}: {error}") from error


def freeze_encoder(network: Network, frozen: bool) -> None:
    """Freeze the weights of the encoder, or let all weights learn again."""
    network.requires_grad_(True)
    for encoder in network.architecture.encoders():
        encoder.requires_grad_(not frozen)


def rate_shares(config: OptimConfig, network: Network) -> dict[nn.Parameter, float]:
    """Return the factor of the learning rate for each weight of the encoder: ``encoder_lr * layer_decay ** depth``.

    The depth is 0 for the last layer of the encoder and grows towards the picture. The names of the weights define the
    layers: a layer is a block where blocks are numbered (``layer1.0``, ``blocks.3``), else a child module. The decay by
    layer follows Clark et al., arXiv 2003.10555, and Bao et al., arXiv 2106.08254.
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
    """Return the weights of the encoder, each with its layer. A norm on its own joins the previous layer."""
    weights = [(_layer(name), parameter) for name, parameter in encoder.named_parameters()]
    whole = {layer for layer, parameter in weights if parameter.ndim > 1}
    layers: list[tuple[str, nn.Parameter]] = []
    for layer, parameter in weights:
        previous = layers[-1][0] if layers else layer
        layers.append((layer if layer in whole else previous, parameter))
    return layers


def _layer(name: str) -> str:
    """Return the part of a weight's name that names its layer: up to the last number, such as 0 or stages_0."""
    parts = name.split(".")[:-1]
    numbered = [i for i, part in enumerate(parts[:4]) if part.rpartition("_")[2].isdigit()]
    return ".".join(parts[: numbered[-1] + 1] if numbered else parts[:1])


def build_schedule(config: ScheduleConfig, steps: int) -> Callable[[int], float]:
    """Build the function that gives the share of the peak learning rate at step 0..steps-1.

    A linear warm-up precedes the schedule and ends at its first value.

    Raises:
        InputError: a name or argument is unknown, or an argument has a bad value.
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
        raise InputError(f"schedule '{config.name}' does not accept schedule.args {config.args}: {error}") from error

    def share(number: int) -> float:
        if number < warmup:
            return start * (number + 1) / (warmup + 1)
        return schedule((number - warmup) / max(1, steps - warmup), **config.args)

    return share
