"""The loss of a batch: labels, auxiliary heads, a teacher, pictures without labels, and the weights of boosting."""

from __future__ import annotations

import torch
from torch import Tensor

from lanecli.losses.pixels import Pixels
from lanecli.models.build import Network
from lanecli.training.average import ExponentialAverage
from lanecli.training.batches import targets_of
from lanecli.training.device import autocast
from lanecli.training.parallel import Parallel
from lanecli.training.pseudo_labels import pseudo_labels
from lanecli.training.samme import boosted_loss
from lanecli.training.stage import Stage


class BatchLoss:
    """Computes the loss of a batch, and sums up its terms over an epoch.

    Attributes:
        sums: the loss and its terms, each summed over the steps of the current epoch: float64 scalars by name.
    """

    def __init__(
        self,
        network: Network,
        average: ExponentialAverage | None,
        parallel: Parallel,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """Keep what teachers and auxiliary losses need.

        Args:
            network: the network that is trained.
            average: its averaged weights, which teach where `data.unlabelled` is set and no teacher is named.
            parallel: how the processes of the run share the network.
            device: the device of the network.
            dtype: the type of autocast.
        """
        self.network, self.average, self.parallel = network, average, parallel
        self.processes = parallel.processes
        self.device, self.dtype = device, dtype
        self.sums: dict[str, Tensor] = {}

    def add(self, name: str, value: Tensor) -> None:
        """Add a scalar to the sum called `name`."""
        self.sums[name] = self.sums.get(name, torch.zeros((), dtype=torch.float64, device=self.device)) + value

    def mean_over_processes(self, stage: Stage, loss: Tensor) -> Tensor:
        """Return the mean over processes of a loss, which is `loss` itself where they computed it together."""
        return loss if stage.config.train.sync_loss else self.processes.total(loss) / self.processes.size

    def compute(
        self,
        stage: Stage,
        outputs: list[Tensor],
        pictures: Tensor,
        masks: Tensor,
        plain_pictures: Tensor | None = None,
        unlabelled: Tensor | None = None,
        *,
        teacher_logits: Tensor | None = None,
    ) -> Tensor:
        """Compute the weighted loss of the logits and of the auxiliary heads, and add its terms to :attr:`sums`.

        The loss is over the pictures of all processes with `train.sync_loss`, else over those of this process.

        Args:
            stage: the current stage.
            outputs: logits (N, C, h, w), followed by those of the auxiliary heads.
            pictures: (N, h, w, 3) uint8, from which the logits were computed.
            masks: (N, h, w) uint8 train ids.
            plain_pictures: `pictures` without changes of colour, as a teacher sees them, where some have no labels.
            unlabelled: (N,) bool, true for pictures that a teacher labels.
            teacher_logits: (N, C, h, w) logits of an ensemble, where one is the teacher.

        Returns:
            A scalar in float32.
        """
        config, criterion = stage.config.train, stage.criterion
        if teacher_logits is None and criterion.needs_teacher:
            teacher_logits = self._teacher_logits(stage, pictures if plain_pictures is None else plain_pictures)
        if plain_pictures is not None and unlabelled is not None:
            masks = self._with_pseudo_labels(stage, masks, plain_pictures, unlabelled, teacher_logits)
        targets = targets_of(masks, stage.label_map)
        weights = None
        if stage.previous_members is not None:
            with autocast(self.device, self.dtype):
                weights = stage.previous_members.weights(pictures, targets)
        if config.sync_loss:
            gather = self.processes.gather
            outputs, targets = [gather(logits) for logits in outputs], gather(targets)
            teacher_logits = None if teacher_logits is None else gather(teacher_logits)
            weights = None if weights is None else gather(weights)
        loss, terms = criterion.with_terms(outputs[0], targets, teacher_logits)
        for name, value in terms.items():
            self.add(name, self.mean_over_processes(stage, value) / config.accumulate)
        if weights is not None:
            with torch.autocast(self.device.type, enabled=False):
                boost = boosted_loss(Pixels(outputs[0], targets, criterion.task), weights)
            self.add("boost", self.mean_over_processes(stage, boost.detach()) / config.accumulate)
            loss = loss + boost
        for logits in outputs[1:]:
            loss = loss + self.network.auxiliary_weight * criterion(logits, targets, teacher_logits)
        return loss

    def _with_pseudo_labels(
        self, stage: Stage, masks: Tensor, pictures: Tensor, unlabelled: Tensor, teacher_logits: Tensor | None
    ) -> Tensor:
        """Return `masks` with the confident answers of the teacher for the `unlabelled` pictures.

        `teacher_logits` are its answers to all pictures, if they have been computed already. Sharded weights are
        gathered in every pass, so that all processes must take part in it.
        """
        if teacher_logits is not None or self.parallel.sharded:
            answers = (self._teacher_logits(stage, pictures) if teacher_logits is None else teacher_logits)[unlabelled]
        elif unlabelled.any():
            answers = self._teacher_logits(stage, pictures[unlabelled])
        else:
            return masks
        labels = pseudo_labels(answers, masks[unlabelled], stage.label_map, stage.config.data.confidence)
        masks = masks.clone()
        masks[unlabelled] = labels
        return masks

    def _teacher_logits(self, stage: Stage, pictures: Tensor) -> Tensor:
        teacher = stage.teacher
        if teacher is None:
            assert self.average is not None  # the stage refuses a configuration without train.ema
            teacher = self.average.network
        with torch.no_grad(), autocast(self.device, self.dtype):
            return teacher.eval().logits(pictures)
