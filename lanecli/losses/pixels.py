"""What the losses see of a batch: logits cast up, labels with the ignored ones marked, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from lanecli.errors import InputError, did_you_mean
from lanecli.labels import IGNORE_ID

MODES = ("multiclass", "multilabel", "binary")


@dataclass(frozen=True)
class Task:
    """What is learned; the arguments are those of :func:`lanecli.losses.build_loss`."""

    classes: int
    mode: str = "multiclass"
    ignore_id: int = IGNORE_ID
    pixel_counts: tuple[int, ...] | None = None
    background: int | None = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError(
                f"unknown loss mode '{self.mode}'{did_you_mean(self.mode, MODES) or f'; there are {MODES}'}"
            )
        least, most = {"multiclass": (2, 254), "multilabel": (1, 254), "binary": (1, 2)}[self.mode]
        if not least <= self.classes <= most:
            raise InputError(f"a {self.mode} loss needs {least} to {most} classes, not {self.classes}")
        if self.mode == "multiclass" and self.background is not None and not 0 <= self.background < self.classes:
            raise InputError(f"background {self.background} is none of the {self.classes} classes")
        if self.pixel_counts is not None and len(self.pixel_counts) != self.weighed:
            raise InputError(f"pixel counts of {len(self.pixel_counts)} classes, the loss weighs {self.weighed}")

    @property
    def channels(self) -> int:
        """Channels of the logits."""
        return 1 if self.mode == "binary" else self.classes

    @property
    def weighed(self) -> int:
        """How many class weights there are: negative and positive in binary mode, else one per class."""
        return 2 if self.mode == "binary" else self.classes

    @property
    def foreground(self) -> tuple[int, ...]:
        """Channels other than the background's. Only multiclass mode has a background channel."""
        if self.mode != "multiclass":
            return tuple(range(self.channels))
        return tuple(c for c in range(self.classes) if c != self.background)


class Pixels:
    """One batch of logits and labels, with what several losses derive from it computed once.

    Attributes:
        logits: (N, C, H, W) float32, or float64 where they came so.
        labels: int64, -1 where ignored: (N, H, W) train ids in multiclass mode, else (N, C, H, W) of 0 and 1.
        valid: bool, shape of `labels`.
        softmax: whether one class of many holds (multiclass) or each on its own (sigmoid).
        teacher: (N, C, H, W) logits to learn from, or None.
    """

    def __init__(self, logits: Tensor, target: Tensor, task: Task, teacher: Tensor | None = None) -> None:
        """Args are those of the losses' forward.

        Raises InputError for shapes that do not fit, and, on the CPU, where looking costs no wait, for a target
        value that is no class and not the ignore id.
        """
        _check_shapes(logits, target, task, teacher)
        self.softmax = task.mode == "multiclass"
        self.task = task
        self.logits = _upcast(logits)
        self.teacher = None if teacher is None else _upcast(teacher).detach()
        if task.mode == "binary":
            target = target.reshape(logits.shape)
        if not target.is_floating_point():
            target = target.long()
        self.valid = target != task.ignore_id
        if target.device.type == "cpu" and not torch.compiler.is_compiling():
            _check_values(torch.where(self.valid, target, 0), task)
        self.labels = torch.where(self.valid, target, -1).long()

    @cached_property
    def log_probabilities(self) -> Tensor:
        """(N, C, H, W) log softmax."""
        return F.log_softmax(self.logits, dim=1)

    @cached_property
    def probabilities(self) -> Tensor:
        """(N, C, H, W) in 0..1."""
        return self.log_probabilities.exp() if self.softmax else self.logits.sigmoid()

    @cached_property
    def mask(self) -> Tensor:
        """`valid` as numbers."""
        return self.valid.to(self.logits.dtype)

    @cached_property
    def channel_mask(self) -> Tensor:
        """`mask` to go with a channel: (N, 1, H, W) in multiclass mode, else (N, C, H, W)."""
        return self.mask.unsqueeze(1) if self.softmax else self.mask

    def members(self, channels: tuple[int, ...]) -> Tensor:
        """(N, len(channels), H, W) of 0 and 1: where each of these classes holds and is not ignored."""
        if self.softmax:
            ids = torch.arange(self.task.classes, device=self.labels.device).view(1, -1, 1, 1)
            return (self.labels.unsqueeze(1) == pick(ids, channels)).to(self.logits.dtype)
        return (pick(self.labels, channels) == 1).to(self.logits.dtype)

    @cached_property
    def foreground(self) -> Tensor:
        """1 where the label is a class other than the background, or a yes; else 0. Ignored labels are either."""
        if not self.softmax:
            return (self.labels == 1).to(self.logits.dtype)
        background = -1 if self.task.background is None else self.task.background
        return self.labels.ne(background).to(self.logits.dtype)

    @cached_property
    def entropy(self) -> Tensor:
        """Negative log-likelihood of each label, shape of `labels`, 0 where ignored."""
        if self.softmax:
            return F.nll_loss(self.log_probabilities, self.labels, ignore_index=-1, reduction="none")
        # A third of the time of torch's binary cross-entropy, and the same numbers
        return F.logsigmoid(self.logits * (2 * self.foreground - 1)) * -self.mask

    def weights(self, class_weights: Tensor | None) -> Tensor:
        """The weight of each label, shape of `labels`, 0 where ignored: that of its class, 1 without weights.

        `class_weights` has `Task.weighed` entries; in multilabel mode each weighs a whole channel.
        """
        if class_weights is None:
            return self.mask
        class_weights = class_weights.to(self.logits)
        if self.task.mode == "multilabel":
            return self.mask * class_weights.view(1, -1, 1, 1)
        return class_weights[self.labels.clamp_min(0)] * self.mask

    def one_vs_rest(self) -> Pixels:
        """The same batch as one yes-or-no question per class; itself where it is that already."""
        if not self.softmax:
            return self
        target = self.members(tuple(range(self.task.classes))).long()
        target = torch.where(self.valid.unsqueeze(1), target, IGNORE_ID)
        return Pixels(self.logits, target, Task(self.task.classes, "multilabel"))


def pick(maps: Tensor, channels: tuple[int, ...]) -> Tensor:
    """Channels of (N, C, H, W); a view where they follow one another."""
    first, last = channels[0], channels[-1]
    if channels == tuple(range(first, last + 1)):
        return maps[:, first : last + 1]
    return maps[:, list(channels)]


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Sum of values times weights over the sum of weights; 0, with gradient 0, where all weights are 0."""
    return (values * weights).sum() / weights.sum().clamp_min(torch.finfo(values.dtype).tiny)


def _upcast(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _check_shapes(logits: Tensor, target: Tensor, task: Task, teacher: Tensor | None) -> None:
    if logits.ndim != 4 or logits.shape[1] != task.channels or not logits.is_floating_point():
        raise InputError(
            f"a {task.mode} loss of {task.classes} classes wants logits (N, {task.channels}, H, W) in floating point, "
            f"got {logits.dtype} {tuple(logits.shape)}"
        )
    plane = (logits.shape[0], *logits.shape[2:])
    wanted = [tuple(logits.shape)] if task.mode == "multilabel" else [plane]
    if task.mode == "binary":
        wanted.append(tuple(logits.shape))
    if tuple(target.shape) not in wanted or (task.mode == "multiclass" and target.is_floating_point()):
        kind = "integer train ids" if task.mode == "multiclass" else "0 and 1"
        raise InputError(
            f"a {task.mode} loss wants a target {wanted[0]} of {kind}, got {target.dtype} {tuple(target.shape)}"
        )
    if teacher is not None and teacher.shape != logits.shape:
        raise InputError(f"the teacher's logits are {tuple(teacher.shape)}, the student's {tuple(logits.shape)}")


def _check_values(values: Tensor, task: Task) -> None:
    highest = task.classes - 1 if task.mode == "multiclass" else 1
    whole = not values.is_floating_point()
    wrong = (values < 0) | (values > highest) if whole else (values != 0) & (values != 1)
    if wrong.any():
        bad = values[wrong]
        raise InputError(
            f"the target holds {bad[0].item():g} ({bad.numel()} such pixels); a {task.mode} loss of {task.classes} "
            f"classes knows 0..{highest} and {task.ignore_id} for ignored"
        )
