"""The speed of training on this machine. Figures that are compared are measured alternately in one run."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lanecli.config import Config, load_config
from lanecli.models.build import build_network
from lanecli.training.batches import batches, targets_of
from lanecli.training.loop import Run
from lanecli.training.watcher import SilentWatcher

DEFAULTS = ["model.name=unet", "model.encoder=resnet18", "data.geometry.size=[512, 256]", "train.batch=8", "loss=ce"]
"""The default configuration that is measured."""

DEFINITIONS = {
    "plain": "float32 as in a simple script, with torch's default layout and no fused optimiser; a batch from memory",
    "fp32": "the loop of lanecli train in float32; a batch from memory",
    "bare": "only forward, loss, backward and step of the network of lanecli train; a batch from memory",
    "loop": "the loop of lanecli train; a batch from memory",
    "read plain": "the plain loop, with pictures that the loader reads and augments",
    "read loop": "the loop of lanecli train, with pictures that the loader reads and augments",
    "loader": "the loader alone",
}


def bench_training(
    overrides: list[str],
    data: list[Path],
    *,
    device: str = "auto",
    steps: int = 2,
    rounds: int = 3,
    progress: Callable[[str], None] = lambda _what: None,
) -> dict[str, Any]:
    """Measure pictures per second of a plain loop and of `lanecli train`.

    Args:
        overrides: ``key=value``, applied to :data:`DEFAULTS`.
        data: prepared datasets for the rows that read pictures; without datasets these rows are left out.
        device: as for training.
        steps: number of steps for each row and round.
        rounds: the number of rounds, each of which measures every row once; medians count.
        progress: called with the row and the round that begins.

    Returns:
        ``rows``: pictures per second, by the names in :data:`DEFINITIONS`; ``rounds``: the same for each round;
        ``speed_up``: the speed of the loop over that of plain (with reading, if there is data); ``loop_cost``: the
        share of time that the loop adds to bare.
    """
    config = load_config(None, [*DEFAULTS, *overrides])
    samples = config.train.batch * config.train.accumulate * steps
    config = config.changed(
        {
            "data": {"root": [str(folder) for folder in data], "samples": samples},
            "train": {"epochs": 1},
            "stages": [],
        }
    )
    with tempfile.TemporaryDirectory(prefix="lanecli-bench-") as folder:
        loop = _LoopBench(config, Path(folder), device)
        single = config.changed({"train": {"precision": "fp32"}})
        rows: dict[str, Callable[[], None]] = {
            "plain": _Plain(loop, None).measure,
            "fp32": _LoopBench(single, Path(folder), device).measure,
            "bare": loop.bare,
            "loop": loop.measure,
        }
        if data:
            rows |= {"read plain": _Plain(loop, loop.read).measure, "read loop": loop.measure_read}
            rows |= {"loader": loop.only_read}
        seconds: dict[str, list[float]] = {name: [] for name in rows}
        for turn in range(rounds + 1):
            for name, measure in rows.items():
                progress(f"{name}, round {turn} of {rounds}" if turn else f"{name}, to warm up")
                _wait(loop.run.device)
                since = time.perf_counter()
                measure()
                _wait(loop.run.device)
                if turn:  # the first round warms up
                    seconds[name].append(time.perf_counter() - since)
    pictures = samples
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    against = ("read plain", "read loop") if data else ("plain", "loop")
    return {
        "device": str(loop.run.device),
        "precision": str(loop.run.dtype).removeprefix("torch."),
        "model": config.model.name,
        "encoder": config.model.encoder,
        "size": list(config.data.geometry.size),
        "batch": config.train.batch,
        "rows": {name: round(pictures / value, 2) for name, value in medians.items()},
        "rounds": {name: [round(pictures / value, 2) for value in values] for name, values in seconds.items()},
        "speed_up": round(medians[against[0]] / medians[against[1]], 3),
        # round by round, because the two times of a round are measured within seconds
        "loop_cost": round(
            statistics.median(a / b - 1 for a, b in zip(seconds["loop"], seconds["bare"], strict=True)), 4
        ),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _LoopBench:
    """Runs the training loop over the same epoch again and again."""

    def __init__(self, config: Config, folder: Path, device: str) -> None:
        self.run = Run(config, folder, device=device, writes=False)
        self.run.enter(self.run.stages[0])
        width, height = config.data.geometry.size
        random = torch.Generator().manual_seed(0)
        shape = (config.train.batch, height, width)
        classes = len(self.run.stage.label_map.classes)
        pictures = torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=random)
        masks = torch.randint(0, classes, shape, dtype=torch.uint8, generator=random)
        self.batch = [pictures, masks]
        if self.run.device.type == "cuda":
            self.batch = [tensor.pin_memory() for tensor in self.batch]

    def measure(self) -> None:
        """Run the loop on one batch from memory."""
        self._epoch(itertools.repeat(self.batch))

    def measure_read(self) -> None:
        """Run the loop as in training, with pictures from the loader."""
        self._epoch(self.read())

    def _epoch(self, read: Iterator[list[Tensor]]) -> None:
        self.run.step = self.run.epoch = 0
        self.run.train_epoch(read, SilentWatcher())

    def read(self) -> Iterator[list[Tensor]]:
        """Return batches from the loader, as in training."""
        run, config = self.run, self.run.config
        pin = run.device.type == "cuda"
        sampler = run.stage.sampler(0)
        return batches(run.stage.training, config.train.batch, config.data.workers, sampler=sampler, pin=pin)

    def only_read(self) -> None:
        """Run the loader alone."""
        for _ in self.read():
            pass

    def bare(self) -> None:
        """Run only forward, loss, backward and the step of the optimiser."""
        run, optimiser = self.run, self.run.optimiser
        run.network.train()
        for _ in range(run.stage.steps * run.config.train.accumulate):
            pictures, masks = (tensor.to(run.device, non_blocking=True) for tensor in self.batch)
            with run.autocast():
                logits = run.forward(pictures)["logits"]
            run.stage.criterion(logits, targets_of(masks, run.stage.label_map)).backward()
            if run.config.train.clip:
                nn.utils.clip_grad_norm_(run.network.parameters(), run.config.train.clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)


class _Plain:
    """The loop of a simple script: float32, torch's default layout and optimiser."""

    def __init__(self, loop: _LoopBench, read: Callable[[], Iterator[list[Tensor]]] | None) -> None:
        """Build the network and the optimiser.

        Args:
            loop: the loop whose model and batches are used.
            read: returns batches; None uses one batch from memory.
        """
        run = loop.run
        self.network = build_network(run.stage.spec).to(run.device).to(memory_format=torch.contiguous_format)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), 1e-3)
        self.loop, self.read = loop, read

    def measure(self) -> None:
        """Train for one epoch."""
        run = self.loop.run
        self.network.train()
        repeated = itertools.repeat(self.loop.batch, run.stage.steps * run.config.train.accumulate)
        for pictures, masks in self.read() if self.read else repeated:
            planes = pictures.to(run.device).permute(0, 3, 1, 2).contiguous()  # the layout of most loaders
            logits = self.network.logits(planes.permute(0, 2, 3, 1))
            loss = F.cross_entropy(logits, masks.to(run.device).long(), ignore_index=255)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
