"""Learning from an ensemble whose members are never in memory together."""

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

_WINDOW = 32  # batches answered by one member before the next is loaded: reading its file is then a small part
_MOST_BYTES = 256 << 20  # of answers kept at once
_LEAST = 1e-7  # probability: its logarithm is a logit to learn from
_RULES = ("mean", "weighted", "logit_mean", "geometric")


def is_ensemble(name: str) -> bool:
    """Whether a teacher's name is that of an ensemble file."""
    return Path(name).suffix.lower() in (".yaml", ".yml")


class EnsembleTeacher:
    """The members of an ensemble file as one teacher."""

    def __init__(self, name: str, label_map: LabelMap) -> None:
        """Read the file, and check every member.

        Args:
            name: path of the ensemble file.
            label_map: of what is trained.

        Raises:
            InputError: it is none, its rule gives nothing to learn from, or a member has other classes.
        """
        from lanecli.inference.ensemble import read_ensemble
        from lanecli.modelfile import read_spec

        ensemble = read_ensemble(Path(name))
        self.rule = ensemble.combine or ("weighted" if ensemble.weights else "mean")
        if self.rule not in _RULES:
            raise InputError(f"{name}: a student learns from combine: {', '.join(_RULES)}; not from {self.rule}")
        self.models = [find_model(model, prefer=".safetensors") for model in ensemble.models]
        weights = ensemble.weights or (1.0,) * len(self.models)
        self.shares = [weight / sum(weights) for weight in weights]
        self.label_map = label_map
        for model in self.models:
            theirs = read_spec(model).label_map
            if not theirs.same_classes(label_map):
                raise InputError(f"{name}: {model} knows {', '.join(theirs.names)}: not the classes trained here")

    def answering(self, read: Iterator[list[Tensor]], device: torch.device) -> Iterator[list[Tensor]]:
        """Batches of `read`, each with the ensemble's logits (N, C, h, w) behind it, on the CPU.

        A window of batches is read ahead and put to one member after the other: one is in memory at a time, and what
        is kept are sums. Where the windows begin changes no answer, so a resumed run sees the same.
        """
        while first := list(itertools.islice(read, 1)):
            pixels = first[0][0][..., 0].numel()
            more = _MOST_BYTES // (4 * pixels * len(self.label_map.classes)) - 1
            window = [*first, *itertools.islice(read, max(0, min(more, _WINDOW - 1)))]
            sums = self._sums([_seen(batch) for batch in window], device)
            yield from ([*batch, self._logits(total)] for batch, total in zip(window, sums, strict=True))

    @torch.no_grad()
    def _sums(self, pictures: list[Tensor], device: torch.device) -> list[Tensor]:
        """What the members say of each batch, weighed and added up, on the CPU."""
        sums: list[Tensor] = []
        network = None
        for model, share in zip(self.models, self.shares, strict=True):
            del network  # before the next is loaded
            network, _ = network_from_file(model)
            network.to(device)
            for number, batch in enumerate(pictures):
                part = share * self._said(network.logits(batch.to(device)).float()).cpu()
                if number == len(sums):
                    sums.append(part)
                else:
                    sums[number] += part
        return sums

    def _said(self, logits: Tensor) -> Tensor:
        """What is averaged of a member's logits: themselves, probabilities, or their logarithms."""
        if self.rule == "logit_mean":
            return logits
        if self.rule == "geometric":
            return torch.nn.functional.logsigmoid(logits) if self.label_map.multilabel else logits.log_softmax(1)
        return logits.sigmoid() if self.label_map.multilabel else logits.softmax(1)

    def _logits(self, total: Tensor) -> Tensor:
        """Logits whose probabilities are the ensemble's."""
        if self.rule == "logit_mean" or (self.rule == "geometric" and not self.label_map.multilabel):
            return total
        if self.rule == "geometric":
            total = total.exp()
        total = total.clamp(_LEAST, 1 - _LEAST)
        return (total / (1 - total)).log() if self.label_map.multilabel else total.log()


def _seen(batch: list[Tensor]) -> Tensor:
    """The pictures of a batch as a teacher sees them: without the student's changes of looks, where both are there."""
    return batch[2] if len(batch) > 2 else batch[0]
