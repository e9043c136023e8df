"""The training loop: read it from top to bottom."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from lanecli.config import Config, load_config
from lanecli.data.dataset import EvaluationSet, TrainingSet
from lanecli.errors import InputError, LaneError
from lanecli.losses import build_loss
from lanecli.modelfile import read_spec, write_safetensors
from lanecli.models.build import Network, build_network, load_weights, network_from_file
from lanecli.shipped import find_model
from lanecli.training.average import ExponentialAverage
from lanecli.training.batches import StepSampler, batches, targets_of
from lanecli.training.checkpoint import load_state, save_state
from lanecli.training.device import pick_device, pick_precision, seed_everything
from lanecli.training.interruption import Interruption
from lanecli.training.log import RunLog, draw_curves
from lanecli.training.optim import build_optimiser, build_schedule
from lanecli.training.setup import DataPlan, build_spec, provenance, versions
from lanecli.training.validate import validate

BEST_METRIC = "miou_foreground"
_LOG_EVERY = 10  # steps between lines of log.jsonl


class Watcher(Protocol):
    """Who is told how training goes."""

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """After each optimiser step."""

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        """After each validation."""


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
            start = find_model(config.model.weights, prefer=".safetensors")
            counts = len(read_spec(start).label_map.classes), len(self.spec.label_map.classes)
            load_weights(self.network, start, counts)
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
        self.teacher = self._load_teacher(self.criterion.teacher) if self.criterion.needs_teacher else None
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
        self.interruption = Interruption()
        self.forward: Any = torch.compile(self.network) if config.train.compile else self.network

    def train(self, watcher: Watcher) -> None:
        """Run to the end.

        Ctrl-C waits for the step under way and saves the state, so that resuming leaves no trace.
        """
        self.log.event(event="start", step=self.step, device=str(self.device), dtype=str(self.dtype), **versions())
        try:
            with self.interruption.deferred():
                while self.epoch < self.config.train.epochs:
                    row = self._train_epoch(watcher)
                    self._keep(row | self._validate(), watcher)
        except KeyboardInterrupt:
            self._save()
            raise

    def _train_epoch(self, watcher: Watcher) -> dict[str, Any]:
        """The rest of the epoch's steps; its row of the log, without validation."""
        config = self.config.train
        done = self.step - self.epoch * self.steps_per_epoch
        self.sampler.epoch, self.sampler.start = self.epoch, done * config.batch * config.accumulate
        read = self._read(self.training, self.sampler)
        self.network.train()
        for _ in range(done, self.steps_per_epoch):
            started = time.perf_counter()
            for group in self.optimiser.param_groups:
                group["lr"] = self.config.optim.lr * self.rate(self.step)
            for _ in range(config.accumulate):
                pictures, masks = (part.to(self.device, non_blocking=True) for part in next(read))
                with self._autocast():
                    logits = self.forward(pictures)
                targets = targets_of(masks, self.spec.label_map)
                loss = self.criterion(logits, targets, self._taught(pictures)) / config.accumulate
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
        means = {f"train/{name}": value / self.steps_per_epoch for name, value in self.losses.items()}
        rate = self.config.optim.lr * self.rate(self.step - 1)
        return {"epoch": self.epoch + 1, "step": self.step, "lr": rate, **means}

    def _load_teacher(self, name: str | None) -> Network:
        """The model whose answers a distillation loss follows."""
        if name is None:
            raise InputError("a kl loss follows a teacher: loss=[{name: kl, args: {teacher: MODEL}}]")
        network, spec = network_from_file(find_model(name, prefer=".safetensors"))
        if not spec.label_map.same_classes(self.spec.label_map):
            raise InputError(f"teacher {name} knows {', '.join(spec.label_map.names)}: not the classes trained here")
        return network.to(self.device).requires_grad_(False)

    def _taught(self, pictures: torch.Tensor) -> torch.Tensor | None:
        if self.teacher is None:
            return None
        with torch.no_grad(), self._autocast():
            return self.teacher(pictures)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)

    def _read(self, items: Any, sampler: StepSampler | None = None) -> Iterator[list[torch.Tensor]]:
        """Batches; where an interruption may happen."""
        config, pin = self.config, self.device.type == "cuda"
        for batch in batches(items, config.train.batch, config.data.workers, sampler=sampler, pin=pin):
            self.interruption.check()
            yield batch

    def _validate(self) -> dict[str, float | None]:
        """Scores of the averaged weights, of the plain ones without averaging."""
        network = self.average.network if self.average else self.network
        return validate(network, self.validation, self.spec.label_map, self._read, self._autocast())

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

    def _keep(self, row: dict[str, Any], watcher: Watcher) -> None:
        """Log the epoch, keep the model when it is the best so far, and save the state."""
        score = row.get(f"val/{BEST_METRIC}")
        is_best = self.best is None or (score is not None and score > self.best) or not self.validation
        if is_best:
            self.best = score if score is not None else self.best
            network = self.average.network if self.average else self.network
            scores = {name: value for name, value in row.items() if name.startswith("val/")}
            spec = replace(self.spec, provenance=provenance(self.config, self.step, scores))
            write_safetensors(self.folder / "model.safetensors", network.state_dict(), spec)
        self.log.epoch(row)
        self.epoch, self.losses = self.epoch + 1, {}
        self._save()
        draw_curves(self.log.rows, self.folder / "curves.png")
        watcher.epoch(row, is_best)

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


def resume_config(folder: Path) -> Config:
    """The configuration a run was started with. Raises InputError when `folder` is no run."""
    with contextlib.suppress(OSError):
        if (folder / "config.yaml").is_file():
            return load_config(folder / "config.yaml")
    raise InputError(f"{folder} is no training run: it has no config.yaml")
