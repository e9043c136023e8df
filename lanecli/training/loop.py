"""The training loop: read it from top to bottom."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from lanecli.config import Config, load_config
from lanecli.data.dataset import EvaluationSet, TrainingSet, start_worker
from lanecli.errors import InputError, LaneError
from lanecli.hardware import cpu_has_bf16
from lanecli.losses import build_loss
from lanecli.metrics.segmentation import ConfusionMatrix
from lanecli.modelfile import write_safetensors
from lanecli.models.build import Network, build_network, load_weights
from lanecli.shipped import find_model
from lanecli.training.checkpoint import load_state, save_state
from lanecli.training.log import RunLog, draw_curves
from lanecli.training.optim import build_optimiser, build_schedule
from lanecli.training.setup import DataPlan, build_spec, versions

BEST_METRIC = "miou_foreground"
_LOG_EVERY = 10  # steps between lines of log.jsonl


class Watcher(Protocol):
    """Who is told how training goes."""

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """After each optimiser step."""

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        """After each validation."""


class StepSampler:
    """Item numbers of one epoch from a step on; the set turns them into samples."""

    def __init__(self, length: int) -> None:
        self.length, self.epoch, self.start = length, 0, 0

    def __len__(self) -> int:
        return self.length - self.start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.epoch * self.length + self.start, (self.epoch + 1) * self.length))


def pick_device(name: str) -> torch.device:
    """``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``. Raises InputError when it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device is auto, cpu, cuda or cuda:N, not '{name}'") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device '{name}' is not there: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The autocast type: bf16 where the hardware has it, on CUDA else fp16, on a CPU else fp32."""
    if name != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if cpu_has_bf16() else torch.float32


def collate(items: list[tuple[np.ndarray, np.ndarray]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (N, h, w, 3) uint8 and targets (N, h, w) uint8."""
    pictures, masks = zip(*items, strict=True)
    return torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(masks))


class Run:
    """One training run: its parts, its state, and the loop over them."""

    def __init__(self, config: Config, folder: Path, *, device: str = "auto", resume: bool = False) -> None:
        """Build everything; with `resume`, take up the state in `folder`/last.

        Raises InputError for what the configuration or the data has wrong.
        """
        self.config, self.folder = config, folder
        self.device = pick_device(device)
        self.dtype = pick_precision(config.train.precision, self.device)
        seed_everything(config.train.seed)
        data = DataPlan(config)
        self.spec = build_spec(config, data)
        self.network: Network = build_network(self.spec, config.model.encoder_weights)
        if config.model.weights is not None:
            load_weights(self.network, find_model(config.model.weights, prefer=".safetensors"))
        self.network.to(self.device)
        self.average = ExponentialAverage(self.network, config.train.ema) if config.train.ema else None
        geometry = data.network_geometry(config)
        self.training = TrainingSet(
            data.training,
            geometry,
            config.data.augment,
            seed=config.train.seed,
            samples=config.data.samples,
            weights=config.data.weights,
        )
        self.validation = [EvaluationSet(source, geometry) for source in data.validation]
        self.criterion = build_loss(
            config.loss,
            classes=len(self.spec.label_map.classes),
            mode=self.spec.task,
            pixel_counts=data.pixel_counts,
            background=self.spec.label_map.background,
        ).to(self.device)
        self.optimiser = build_optimiser(config.optim, self.network.named_parameters())
        per_step = config.train.batch * config.train.accumulate
        self.steps_per_epoch = len(self.training) // per_step
        if not self.steps_per_epoch:
            raise InputError(
                f"{len(self.training)} training samples are fewer than one step of {per_step}; lower train.batch"
            )
        self.steps = self.steps_per_epoch * config.train.epochs
        self.rate = build_schedule(config.schedule, self.steps)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        self.sampler = StepSampler(self.steps_per_epoch * per_step)
        self.training.samples = self.sampler.length  # whole steps only
        self.step = 0
        self.epoch = 0
        """Epochs that are trained, validated and kept."""
        self.losses: dict[str, float] = {}
        """Sums of the loss and its terms over the steps of the epoch under way."""
        self.best: float | None = None
        if resume:
            self._restore()
        self.log = RunLog(folder, (self.step, self.epoch) if resume else None)
        self.interrupted = False
        self.forward: Any = torch.compile(self.network) if config.train.compile else self.network

    def train(self, watcher: Watcher) -> None:
        """Run to the end.

        Ctrl-C waits for the step under way and saves the state, so that resuming leaves no trace.
        """
        self.log.event(event="start", step=self.step, device=str(self.device), dtype=str(self.dtype), **versions())
        try:
            with self._interruptible():
                while self.epoch < self.config.train.epochs:
                    row = self._train_epoch(watcher)
                    self._keep(row | self._validate(), watcher)
        except KeyboardInterrupt:
            self._save()
            raise

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Between steps only does Ctrl-C interrupt: weights and optimiser state are then of one step."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(_signal: int, _frame: Any) -> None:
            if self.interrupted:
                raise KeyboardInterrupt  # the second time at once
            self.interrupted = True

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _pause(self) -> None:
        """Where an interruption may happen."""
        if self.interrupted:
            raise KeyboardInterrupt

    def _train_epoch(self, watcher: Watcher) -> dict[str, Any]:
        """The rest of the epoch's steps; its row of the log, without validation."""
        config = self.config.train
        done = self.step - self.epoch * self.steps_per_epoch
        self.sampler.epoch, self.sampler.start = self.epoch, done * config.batch * config.accumulate
        batches = self._batches(self.training, self.sampler)
        self.network.train()
        for _ in range(done, self.steps_per_epoch):
            started = time.perf_counter()
            for group in self.optimiser.param_groups:
                group["lr"] = self.config.optim.lr * self.rate(self.step)
            for _ in range(config.accumulate):
                pictures, targets = (part.to(self.device, non_blocking=True) for part in next(batches))
                with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32):
                    logits = self.forward(pictures)
                loss = self.criterion(logits, targets.long()) / config.accumulate
                self.scaler.scale(loss).backward()
                self._count_losses(loss.detach() * config.accumulate)
            if config.clip:
                self.scaler.unscale_(self.optimiser)
                nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
            self.scaler.step(self.optimiser)
            self.scaler.update()
            self.optimiser.zero_grad(set_to_none=True)
            if self.average:
                self.average.update(self.network)
            self.step += 1
            self._report(watcher, float(loss.detach()) * config.accumulate, time.perf_counter() - started)
            self._pause()
        means = {f"train/{name}": value / self.steps_per_epoch for name, value in self.losses.items()}
        rate = self.config.optim.lr * self.rate(self.step - 1)
        return {"epoch": self.epoch + 1, "step": self.step, "lr": rate, **means}

    def _count_losses(self, total: torch.Tensor) -> None:
        for name, value in {"loss": total, **self.criterion.last_terms}.items():
            self.losses[name] = self.losses.get(name, 0.0) + float(value) / self.config.train.accumulate

    def _report(self, watcher: Watcher, loss: float, seconds: float) -> None:
        if not np.isfinite(loss):
            raise LaneError(
                f"the loss is {loss} at step {self.step}: lower optim.lr, or use train.precision=fp32; "
                f"the last good state is in {self.folder / 'last'}"
            )
        speed = self.config.train.batch * self.config.train.accumulate / seconds
        if self.step % _LOG_EVERY == 0:
            rate = self.optimiser.param_groups[0]["lr"]
            self.log.event(event="step", step=self.step, loss=loss, lr=rate, images_per_second=round(speed, 2))
        watcher.step(self.step, self.steps, loss, speed)

    @torch.inference_mode()
    def _validate(self) -> dict[str, float | None]:
        """Scores of the averaged weights (of the plain ones without averaging), at the network's size."""
        network = self.average.network if self.average else self.network
        network.eval()
        counts = ConfusionMatrix(len(self.spec.label_map.classes))
        for part in self.validation:
            for pictures, targets in self._batches(part, None):
                with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32):
                    logits = network(pictures.to(self.device))
                counts.update(logits.max(1)[1].to(torch.uint8).cpu().numpy(), targets.numpy())
                self._pause()
        if not self.validation:
            return {}
        scores = counts.scores(self.spec.label_map)
        per_class = {f"val/iou/{name}": value for name, value in scores["iou"].items()}
        return {f"val/{name}": scores[name] for name in ("miou", "miou_foreground", "pixel_accuracy")} | per_class

    def _keep(self, row: dict[str, Any], watcher: Watcher) -> None:
        """Log the epoch, keep the model when it is the best so far, and save the state."""
        score = row.get(f"val/{BEST_METRIC}")
        is_best = self.best is None or (score is not None and score > self.best) or not self.validation
        if is_best:
            self.best = score if score is not None else self.best
            network = self.average.network if self.average else self.network
            facts = {"step": self.step, "epoch": row["epoch"], "config": self.config.model_dump(mode="json")}
            facts |= {name: value for name, value in row.items() if name.startswith("val/")}
            spec = replace(self.spec, provenance=facts | {"versions": versions()})
            write_safetensors(self.folder / "model.safetensors", network.state_dict(), spec)
        self.log.epoch(row)
        self.epoch, self.losses = self.epoch + 1, {}
        self._save()
        draw_curves(self.log.rows, self.folder / "curves.png")
        watcher.epoch(row, is_best)

    def _batches(self, items: Any, sampler: StepSampler | None) -> Iterator[list[torch.Tensor]]:
        """Pictures and targets, batch by batch, read ahead by worker processes."""
        workers = min(self.config.data.workers, len(items))
        loader: DataLoader[Any] = DataLoader(
            items,
            batch_size=self.config.train.batch,
            sampler=sampler,
            num_workers=workers,
            collate_fn=collate,
            generator=torch.Generator(),  # its own, or each start would draw from the dropout stream
            worker_init_fn=start_worker,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if workers else None,
        )
        try:
            yield from loader
        except LaneError as error:
            # a worker's error arrives with its traceback as the message; its last line is what was raised
            text = str(error).strip().splitlines()[-1]
            raise type(error)(text.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")) from None

    def _save(self) -> None:
        state = {
            "step": self.step,
            "epoch": self.epoch,
            "best": self.best,
            "losses": self.losses,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.network.state_dict() if self.average else None,
            "updates": self.average.updates if self.average else 0,
            "random": torch.get_rng_state(),
            "config": self.config.model_dump(mode="json"),
        }
        save_state(self.folder / "last", state)

    def _restore(self) -> None:
        state = load_state(self.folder / "last")
        changed = [k for k, v in self.config.model_dump(mode="json").items() if state["config"].get(k) != v]
        if changed:
            raise InputError(f"{self.folder}: the configuration changed since ({', '.join(changed)}); start a new run")
        self.step, self.epoch = state["step"], state["epoch"]
        self.best, self.losses = state["best"], state["losses"]
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average:
            self.average.network.load_state_dict(state["average"])
            self.average.updates = state["updates"]
        torch.set_rng_state(state["random"])
        if self.epoch >= self.config.train.epochs:
            raise InputError(f"{self.folder}: this run is finished ({self.steps} steps); nothing to resume")


class ExponentialAverage:
    """A second network whose weights follow the first one's slowly (Polyak averaging, exponentially weighted)."""

    def __init__(self, network: Network, decay: float) -> None:
        """Args: network: to follow; decay: share of the old average kept at each step, after a ramp."""
        self.network = torch.optim.swa_utils.AveragedModel(network).module
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Take a step towards `network`; buffers such as batch norm statistics are copied."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))  # young averages forget faster
        for mine, theirs in zip(self.network.parameters(), network.parameters(), strict=True):
            mine.lerp_(theirs.detach().to(mine.dtype), 1 - decay)
        for buffer, current in zip(self.network.buffers(), network.buffers(), strict=True):
            buffer.copy_(current)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def resume_config(folder: Path) -> Config:
    """The configuration a run was started with. Raises InputError when `folder` is no run."""
    with contextlib.suppress(OSError):
        if (folder / "config.yaml").is_file():
            return load_config(folder / "config.yaml")
    raise InputError(f"{folder} is no training run: it has no config.yaml")
