"""Knowledge distillation: learning from the distribution that a teacher predicts."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lanecli.errors import InputError
from lanecli.losses.arguments import number
from lanecli.losses.base import Loss
from lanecli.losses.pixels import Pixels, Task, weighted_mean


class KullbackLeibler(Loss):
    """T^2 times the mean of KL(teacher || student), both at temperature T (Hinton et al. 2015).

    The divergence is over the classes of a pixel in multiclass mode, and over the yes and no of each label in the other
    modes. The factor T^2 keeps the scale of the gradient. Pixels whose target is the ignore id do not count; the target
    has no other influence.
    """

    needs_teacher = True

    def __init__(self, task: Task, *, temperature: float = 1.0, teacher: str | None = None) -> None:
        """Check and keep the arguments.

        Args:
            task: see :class:`Task`.
            temperature: above 0; values above 1 soften both distributions.
            teacher: the model that the training loop loads as the teacher. It is kept as the attribute `teacher` and
                not used here.
        """
        super().__init__(task)
        self.temperature = number("temperature", temperature, above=True)
        if teacher is not None and not isinstance(teacher, str):
            raise InputError(f"teacher must be the name or path of a model, not {teacher!r}")
        self.teacher = teacher

    def compute(self, pixels: Pixels) -> Tensor:
        """Compute the divergence of a batch. Raises InputError where the teacher's logits are missing."""
        if pixels.teacher is None:
            raise InputError("loss 'kl' learns from a teacher: name its model in the arguments, {teacher: MODEL}")
        teacher, student = pixels.teacher / self.temperature, pixels.logits / self.temperature
        if pixels.softmax:
            target = F.log_softmax(teacher, dim=1)
            divergence = (target.exp() * (target - F.log_softmax(student, dim=1))).sum(1)
        else:
            yes = teacher.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))
            divergence = yes + (-teacher).sigmoid() * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
        return weighted_mean(divergence, pixels.mask) * self.temperature**2
