"""Learning from a teacher's distribution."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lanecli.errors import InputError
from lanecli.losses.arguments import number
from lanecli.losses.base import Loss
from lanecli.losses.pixels import Pixels, Task, weighted_mean


class KullbackLeibler(Loss):
    """T^2 times the mean of KL(teacher || student), both at temperature T (Hinton et al. 2015).

    Over the classes of a pixel in multiclass mode, over the yes and no of each label else; T^2 keeps the gradient's
    scale. Only pixels whose target is not ignored count; the target says nothing else here.
    """

    needs_teacher = True

    def __init__(self, task: Task, *, temperature: float = 1.0, teacher: str | None = None) -> None:
        """Make the loss.

        Args:
            task: see :class:`Task`.
            temperature: above 0; above 1 softens both distributions.
            teacher: the model the training loop is to load as teacher; kept as `teacher`, not used here.
        """
        super().__init__(task)
        self.temperature = number("temperature", temperature, above=True)
        if teacher is not None and not isinstance(teacher, str):
            raise InputError(f"teacher is the name or path of a model, not {teacher!r}")
        self.teacher = teacher

    def compute(self, pixels: Pixels) -> Tensor:
        """Raises InputError without a teacher's logits."""
        if pixels.teacher is None:
            raise InputError("loss 'kl' learns from a teacher: name its model in the loss's args, {teacher: MODEL}")
        teacher, student = pixels.teacher / self.temperature, pixels.logits / self.temperature
        if pixels.softmax:
            given = F.log_softmax(teacher, dim=1)
            divergence = (given.exp() * (given - F.log_softmax(student, dim=1))).sum(1)
        else:
            yes = teacher.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))
            divergence = yes + (-teacher).sigmoid() * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
        return weighted_mean(divergence, pixels.mask) * self.temperature**2
