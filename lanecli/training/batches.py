"""Batches of pictures and targets, which worker processes read ahead."""

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
    """The item numbers of one process: each step takes consecutive numbers, which are divided in the order of ranks."""

    def __init__(self, batches: range, size: int, processes: Processes) -> None:
        """Keep which items to draw.

        Args:
            batches: the numbers of the batches.
            size: pictures per batch and process.
            processes: the processes of the run.
        """
        self.batches, self.size, self.processes = batches, size, processes

    def __len__(self) -> int:
        return len(self.batches) * self.size

    def __iter__(self) -> Iterator[int]:
        for number in self.batches:
            first = (number * self.processes.size + self.processes.rank) * self.size
            yield from range(first, first + self.size)


class ProcessShare:
    """The samples of a set that one process reads: every `size`-th one, starting with number `rank`.

    Every process gets the same number of samples; at the end the last sample may be repeated.
    """

    def __init__(self, items: Any, processes: Processes) -> None:
        """Take the share of this process.

        Args:
            items: a set that is not empty.
            processes: the processes of the run.
        """
        self.items, self.processes = items, processes

    def __len__(self) -> int:
        return -(-len(self.items) // self.processes.size)

    def is_own(self, index: int) -> bool:
        """Whether sample number `index` of this share is not a repetition."""
        return index * self.processes.size + self.processes.rank < len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[min(index * self.processes.size + self.processes.rank, len(self.items) - 1)]


def collate(items: list[tuple[np.ndarray, ...]]) -> tuple[torch.Tensor, ...]:
    """Stack items: pictures (N, h, w, 3) uint8, targets (N, h, w) uint8, and what a teacher needs, if there is one.

    :meth:`lanecli.data.dataset.TrainingSet.student_and_teacher` describes the items.
    """
    return tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*items, strict=True))


def batches(
    items: Any, size: int, workers: int, *, sampler: StepSampler | None = None, pin: bool = False
) -> Iterator[list[torch.Tensor]]:
    """Yield batches: pictures (N, h, w, 3) and masks (N, h, w), uint8, and further tensors if the items have them.

    Args:
        items: a TrainingSet or EvaluationSet.
        size: pictures per batch.
        workers: number of processes that read ahead; with 0 this process reads.
        sampler: the items to read, or None for all of them in order.
        pin: whether to keep batches in pinned memory, from which a GPU copies directly.

    Raises:
        LaneError: a worker raised an error, which is repeated here in one line.
    """
    workers = min(workers, len(items), usable_cores())  # torch warns about more, which would only compete
    loader: DataLoader[Any] = DataLoader(
        items,
        batch_size=size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        generator=torch.Generator(),  # the default one is used by dropout, and each start would draw from it
        worker_init_fn=start_worker,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
    )
    iterator = iter(loader)
    try:
        yield from iterator
    except LaneError as error:
        # the message of a worker's error is a traceback, whose last line holds the error
        text = str(error).strip().splitlines()[-1]
        raise type(error)(text.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")) from None
    finally:
        del iterator  # ends the workers now and not when the garbage collector runs


def usable_cores() -> int:
    """Return the number of cores on which this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def targets_of(masks: torch.Tensor, label_map: LabelMap) -> torch.Tensor:
    """Convert masks to the int64 targets of losses.

    Returns:
        (N, h, w) train ids; with several labels per pixel (N, C, h, w) of 0, 1 and the ignore id.
    """
    if not label_map.multilabel:
        return masks.long()
    return torch.from_numpy(label_map.split_labels(masks.cpu().numpy())).to(masks.device).long()
