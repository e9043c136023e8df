"""Batches of pictures and targets, read ahead by worker processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from lanecli.data.dataset import start_worker
from lanecli.errors import LaneError
from lanecli.labels import LabelMap
from lanecli.training.processes import Processes


class StepSampler:
    """Item numbers of one process: every batch of all processes together is a run of numbers, cut in order of rank."""

    def __init__(self, batches: range, size: int, processes: Processes) -> None:
        """Args: batches: which ones; size: pictures a batch and process; processes: those of the run."""
        self.batches, self.size, self.processes = batches, size, processes

    def __len__(self) -> int:
        return len(self.batches) * self.size

    def __iter__(self) -> Iterator[int]:
        for number in self.batches:
            first = (number * self.processes.size + self.processes.rank) * self.size
            yield from range(first, first + self.size)


class Share:
    """Every `size`-th sample of a set, from `rank` on; each process gets as many, the last ones twice if need be."""

    def __init__(self, items: Any, processes: Processes) -> None:
        """Args: items: a set that is not empty; processes: those of the run."""
        self.items, self.processes = items, processes

    def __len__(self) -> int:
        return -(-len(self.items) // self.processes.size)

    def own(self, place: int) -> bool:
        """Whether sample number `place` of this share is no repetition."""
        return place * self.processes.size + self.processes.rank < len(self.items)

    def __getitem__(self, place: int) -> Any:
        return self.items[min(place * self.processes.size + self.processes.rank, len(self.items) - 1)]


def collate(items: list[tuple[np.ndarray, ...]]) -> tuple[torch.Tensor, ...]:
    """Pictures (N, h, w, 3) uint8 and targets (N, h, w) uint8; where a teacher is asked, its pictures and which ones.

    See :meth:`lanecli.data.dataset.TrainingSet.views`.
    """
    return tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*items, strict=True))


def batches(
    items: Any, size: int, workers: int, *, sampler: StepSampler | None = None, pin: bool = False
) -> Iterator[list[torch.Tensor]]:
    """Pictures (N, h, w, 3) and masks (N, h, w), uint8; and what else the items hold.

    Args:
        items: a TrainingSet or EvaluationSet.
        size: pictures a batch.
        workers: processes that read ahead; 0 reads in this one.
        sampler: which items, or None for all in order.
        pin: keep batches in memory a GPU copies from directly.

    Raises:
        LaneError: what a worker raised, in one line.
    """
    workers = min(workers, len(items), usable_cores())  # more only get in each other's way, and torch says so
    loader: DataLoader[Any] = DataLoader(
        items,
        batch_size=size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        generator=torch.Generator(),  # its own, or each start would draw from the dropout stream
        worker_init_fn=start_worker,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
    )
    iterator = iter(loader)
    try:
        yield from iterator
    except LaneError as error:
        # a worker's error arrives with its traceback as the message; its last line is what was raised
        text = str(error).strip().splitlines()[-1]
        raise type(error)(text.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")) from None
    finally:
        del iterator  # an iterator left to the garbage collector ends its workers at some later, worse moment


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def targets_of(masks: torch.Tensor, label_map: LabelMap) -> torch.Tensor:
    """Masks as losses want them: (N, h, w) train ids, or (N, C, h, w) of 0, 1 and ignored for several labels; int64."""
    if not label_map.multilabel:
        return masks.long()
    return torch.from_numpy(label_map.split_labels(masks.cpu().numpy())).to(masks.device).long()
