"""What every loss is: a module built from a Task and keyword arguments, called with logits and a target."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lanecli.losses.pixels import Pixels, Task


class Loss(nn.Module):
    """One loss. Subclasses take a :class:`Task` and their own keyword arguments, and implement :meth:`compute`."""

    needs_teacher = False
    """Whether forward must be given a teacher's logits."""
    teacher: str | None = None
    """The model the training loop is to load as teacher, where the loss's arguments name one."""

    def __init__(self, task: Task) -> None:
        """Args: task: classes, mode, ignore id, background."""
        super().__init__()
        self.task = task

    def forward(self, logits: Tensor, target: Tensor, teacher: Tensor | None = None) -> Tensor:
        """The loss of a batch, a scalar: float32, or float64 for float64 logits, autocast or not.

        Args:
            logits: (N, C, H, W) of any floating point type; C is 1 in binary mode.
            target: (N, H, W) train ids (multiclass) or 0 and 1 (binary), (N, C, H, W) 0 and 1 (multilabel); the
                ignore id where a pixel does not count.
            teacher: (N, C, H, W) logits of a teacher, for losses that learn from one.

        Raises:
            InputError: shapes or values that do not fit.
        """
        with torch.autocast(logits.device.type, enabled=False):
            return self.compute(Pixels(logits, target, self.task, teacher))

    def compute(self, pixels: Pixels) -> Tensor:
        """The loss of a prepared batch; autocast is off."""
        raise NotImplementedError
