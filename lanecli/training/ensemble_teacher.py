"""Learning from an ensemble, of which only one member is in memory at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from lanecli.errors import InputError
from lanecli.labels import LabelMap
from lanecli.models.build import network_from_file
from lanecli.shipped import find_model

_WINDOW = 32  # batches that one member processes before the next one is loaded, so that loading costs little
_MOST_BYTES = 256 << 20  # of sums kept at once
_LEAST = 1e-7  # smallest probability, so that its logarithm is finite
_RULES = ("mean", "weighted", "logit_mean", "geometric")


def is_ensemble(name: str) -> bool:
    """Whether a teacher's name is that of an ensemble file."""
    return Path(name).suffix.lower() in (".yaml", ".yml")


class EnsembleTeacher:
    """The members of an ensemble file, together as one teacher."""

    def __init__(self, name: str, label_map: LabelMap) -> None:
        """Read the file, and check every member.

        Args:
            name: path of the ensemble file.
            label_map: the classes of the student.

        Raises:
            InputError: the file is not an ensemble, its rule gives no probabilities, or a member has other classes.
        """
        from lanecli.inference.ensemble import read_ensemble
        from lanecli.modelfile import read_spec

        ensemble = read_ensemble(Path(name))
        self.rule = ensemble.combine or ("weighted" if ensemble.weights else "mean")
        if self.rule not in _RULES:
            raise InputError(f"{name}: a student can learn from combine: {', '.join(_RULES)}; not from {self.rule}")
        self.models = [find_model(model, prefer=".safetensors") for model in ensemble.models]
        weights = ensemble.weights or (1.0,) * len(self.models)
        self.shares = [weight / sum(weights) for weight in weights]
        self.label_map = label_map
        for model in self.models:
            theirs = read_spec(model).label_map
            if not theirs.same_classes(label_map):
                raise InputError(f"{name}: {model} has the classes {', '.join(theirs.names)}, not those trained here")

    def with_logits(self, read: Iterator[list[Tensor]], device: torch.device) -> Iterator[list[Tensor]]:
        """Yield the batches of `read`, each followed by the logits of the ensemble, (N, C, h, w) on the CPU.

        A window of batches is read ahead and passed through one member after the other; only one member is in memory at
        a time, and only sums are kept. The windows do not influence the logits, so that a resumed run sees the same
        ones.
        """
        while first := list(itertools.islice(read, 1)):
            pixels = first[0][0][..., 0].numel()
            more = _MOST_BYTES // (4 * pixels * len(self.label_map.classes)) - 1
            window = [*first, *itertools.islice(read, max(0, min(more, _WINDOW - 1)))]
            sums = self._sums([_teacher_pictures(batch) for batch in window], device)
            yield from ([*batch, self._logits(total)] for batch, total in zip(window, sums, strict=True))

    @torch.no_grad()
    def _sums(self, pictures: list[Tensor], device: torch.device) -> list[Tensor]:
        """Return the weighted sum over members for each batch, on the CPU."""
        sums: list[Tensor] = []
        network = None
        for model, share in zip(self.models, self.shares, strict=True):
            del network  # frees its memory before the next one is loaded
            network, _ = network_from_file(model)
            network.to(device)
            for number, batch in enumerate(pictures):
                part = share * self._summand(network.logits(batch.to(device)).float()).cpu()
                if number == len(sums):
                    sums.append(part)
                else:
                    sums[number] += part
        return sums

    def _summand(self, logits: Tensor) -> Tensor:
        """Return what the rule averages: the logits of a member, its probabilities, or their logarithms."""
        if self.rule == "logit_mean":
            return logits
        if self.rule == "geometric":
            return torch.nn.functional.logsigmoid(logits) if self.label_map.multilabel else logits.log_softmax(1)
        return logits.sigmoid() if self.label_map.multilabel else logits.softmax(1)

    def _logits(self, total: Tensor) -> Tensor:
        """Return logits whose probabilities are those of the ensemble."""
        if self.rule == "logit_mean" or (self.rule == "geometric" and not self.label_map.multilabel):
            return total
        if self.rule == "geometric":
            total = total.exp()
        total = total.clamp(_LEAST, 1 - _LEAST)
        return (total / (1 - total)).log() if self.label_map.multilabel else total.log()


def _teacher_pictures(batch: list[Tensor]) -> Tensor:
    """Return the pictures of a batch for a teacher: without the changes of colour, where the batch has both kinds."""
    return batch[2] if len(batch) > 2 else batch[0]
