"""A batch as the losses see it: logits in float32, labels with ignored ones marked, and what is derived from both."""

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
    """The task that is learned; :func:`lanecli.losses.build_loss` documents the attributes."""

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
            raise InputError(f"background {self.background} is not one of the {self.classes} classes")
        if self.pixel_counts is not None and len(self.pixel_counts) != self.weight_count:
            raise InputError(
                f"there are pixel counts of {len(self.pixel_counts)} classes, but the loss weights {self.weight_count}"
            )

    @property
    def channels(self) -> int:
        """Number of channels of the logits."""
        return 1 if self.mode == "binary" else self.classes

    @property
    def weight_count(self) -> int:
        """Number of class weights: two (negative, positive) in binary mode, else one per class."""
        return 2 if self.mode == "binary" else self.classes

    @property
    def foreground(self) -> tuple[int, ...]:
        """The channels other than the background. Only multiclass mode has a background channel."""
        if self.mode != "multiclass":
            return tuple(range(self.channels))
        return tuple(c for c in range(self.classes) if c != self.background)


class Pixels:
    """One batch of logits and labels. What several losses derive from it is computed only once.

    Attributes:
        logits: (N, C, H, W) in float32, or in float64 if they were given so.
        labels: int64, -1 where ignored: (N, H, W) train ids in multiclass mode, else (N, C, H, W) of 0 and 1.
        valid: bool with the shape of `labels`; false where a label is ignored.
        softmax: whether exactly one class is true (multiclass mode), or each class on its own (sigmoid).
        teacher: (N, C, H, W) logits of a teacher, or None.
    """

    def __init__(self, logits: Tensor, target: Tensor, task: Task, teacher: Tensor | None = None) -> None:
        """Prepare a batch.

        Args:
            logits: as in :meth:`lanecli.losses.base.Loss.forward`.
            target: as there.
            task: the task that is learned.
            teacher: as there.

        Raises:
            InputError: shapes do not fit together; on the CPU, where the check causes no wait, also a target value that
                is neither a class nor the ignore id.
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
        """The log-softmax of the logits, (N, C, H, W)."""
        return F.log_softmax(self.logits, dim=1)

    @cached_property
    def probabilities(self) -> Tensor:
        """The probabilities of the classes, (N, C, H, W) in 0..1."""
        return self.log_probabilities.exp() if self.softmax else self.logits.sigmoid()

    @cached_property
    def mask(self) -> Tensor:
        """`valid` as floating-point 0 and 1."""
        return self.valid.to(self.logits.dtype)

    @cached_property
    def channel_mask(self) -> Tensor:
        """`mask` with a channel axis: (N, 1, H, W) in multiclass mode, else (N, C, H, W)."""
        return self.mask.unsqueeze(1) if self.softmax else self.mask

    def one_hot(self, channels: tuple[int, ...]) -> Tensor:
        """Return (N, len(channels), H, W) of 0 and 1: where the label is this class and is not ignored."""
        if self.softmax:
            ids = torch.arange(self.task.classes, device=self.labels.device).view(1, -1, 1, 1)
            return (self.labels.unsqueeze(1) == select_channels(ids, channels)).to(self.logits.dtype)
        return (select_channels(self.labels, channels) == 1).to(self.logits.dtype)

    @cached_property
    def foreground(self) -> Tensor:
        """1 where the label is a foreground class (or 1, in the sigmoid modes), else 0; undefined where ignored."""
        if not self.softmax:
            return (self.labels == 1).to(self.logits.dtype)
        background = -1 if self.task.background is None else self.task.background
        return self.labels.ne(background).to(self.logits.dtype)

    @cached_property
    def cross_entropy(self) -> Tensor:
        """-log p of the true class of each label, with the shape of `labels`; 0 where ignored."""
        if self.softmax:
            return F.nll_loss(self.log_probabilities, self.labels, ignore_index=-1, reduction="none")
        # The same numbers as torch's binary cross-entropy in a third of the time
        return F.logsigmoid(self.logits * (2 * self.foreground - 1)) * -self.mask

    def weights(self, class_weights: Tensor | None) -> Tensor:
        """Return the weight of each label, with the shape of `labels`; 0 where ignored.

        Args:
            class_weights: `Task.weight_count` weights, one per class; in multilabel mode each applies to a whole
                channel. None gives every label the weight 1.
        """
        if class_weights is None:
            return self.mask
        class_weights = class_weights.to(self.logits)
        if self.task.mode == "multilabel":
            return self.mask * class_weights.view(1, -1, 1, 1)
        return class_weights[self.labels.clamp_min(0)] * self.mask

    def one_vs_rest(self) -> Pixels:
        """Return the same batch in multilabel mode, each class against the rest; itself where it has no softmax."""
        if not self.softmax:
            return self
        target = self.one_hot(tuple(range(self.task.classes))).long()
        target = torch.where(self.valid.unsqueeze(1), target, IGNORE_ID)
        return Pixels(self.logits, target, Task(self.task.classes, "multilabel"))


def select_channels(maps: Tensor, channels: tuple[int, ...]) -> Tensor:
    """Select channels of (N, C, H, W) maps; the result is a view where the channels are consecutive."""
    first, last = channels[0], channels[-1]
    if channels == tuple(range(first, last + 1)):
        return maps[:, first : last + 1]
    return maps[:, list(channels)]


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of `values`; it is 0, and so is its gradient, where all weights are 0."""
    return (values * weights).sum() / weights.sum().clamp_min(torch.finfo(values.dtype).tiny)


def _upcast(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _check_shapes(logits: Tensor, target: Tensor, task: Task, teacher: Tensor | None) -> None:
    if logits.ndim != 4 or logits.shape[1] != task.channels or not logits.is_floating_point():
        raise InputError(
            f"a {task.mode} loss of {task.classes} classes needs floating-point logits (N, {task.channels}, H, W), "
            f"but got {logits.dtype} {tuple(logits.shape)}"
        )
    plane = (logits.shape[0], *logits.shape[2:])
    wanted = [tuple(logits.shape)] if task.mode == "multilabel" else [plane]
    if task.mode == "binary":
        wanted.append(tuple(logits.shape))
    if tuple(target.shape) not in wanted or (task.mode == "multiclass" and target.is_floating_point()):
        kind = "integer train ids" if task.mode == "multiclass" else "0 and 1"
        raise InputError(
            f"a {task.mode} loss needs a target {wanted[0]} of {kind}, but got {target.dtype} {tuple(target.shape)}"
        )
    if teacher is not None and teacher.shape != logits.shape:
        raise InputError(
            f"the teacher's logits have the shape {tuple(teacher.shape)}, the student's {tuple(logits.shape)}"
        )


def _check_values(values: Tensor, task: Task) -> None:
    highest = task.classes - 1 if task.mode == "multiclass" else 1
    whole = not values.is_floating_point()
    wrong = (values < 0) | (values > highest) if whole else (values != 0) & (values != 1)
    if wrong.any():
        bad = values[wrong]
        raise InputError(
            f"the target holds {bad[0].item():g} ({bad.numel()} wrong pixels in all); a {task.mode} loss of "
            f"{task.classes} classes takes 0..{highest}, and {task.ignore_id} for pixels to ignore"
        )
