"""The base class of all losses: a module built from a Task and keyword arguments, and called on logits and a target."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lanecli.losses.pixels import Pixels, Task


class Loss(nn.Module):
    """One loss. Subclasses take a :class:`Task` and their own keyword arguments, and implement :meth:`compute`."""

    needs_teacher = False
    """Whether `forward` needs the logits of a teacher."""
    teacher: str | None = None
    """The model that the training loop loads as the teacher, where the arguments of the loss name one."""

    def __init__(self, task: Task) -> None:
        """Keep the task.

        Args:
            task: the classes, the mode, the ignore id and the background.
        """
        super().__init__()
        self.task = task

    def forward(self, logits: Tensor, target: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Compute the loss of a batch: a scalar in float32, or in float64 for float64 logits, even under autocast.

        Args:
            logits: (N, C, H, W) of any floating-point type; C is 1 in binary mode.
            target: (N, H, W) of train ids (multiclass) or of 0 and 1 (binary); (N, C, H, W) of 0 and 1 (multilabel).
                The ignore id marks pixels that do not count.
            teacher: (N, C, H, W) logits of a teacher, for losses that learn from one.

        Raises:
            InputError: shapes or values do not fit together.
        """
        with torch.autocast(logits.device.type, enabled=False):
            return self.compute(Pixels(logits, target, self.task, teacher))

    def compute(self, pixels: Pixels) -> Tensor:
        """Compute the loss of a prepared batch. Autocast is off here."""
        raise NotImplementedError
