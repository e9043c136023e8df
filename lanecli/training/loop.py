"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lanecli import atomic, interruption
from lanecli.config import Config
from lanecli.modelfile import write_safetensors
from lanecli.models.build import Network, build_network
from lanecli.models.idle import freeze_idle
from lanecli.training.average import ExponentialAverage
from lanecli.training.batch_loss import BatchLoss
from lanecli.training.batches import batches
from lanecli.training.checkpoint import has_state, load_state
from lanecli.training.choice import choose
from lanecli.training.device import autocast, pick_precision, seed_everything
from lanecli.training.epoch_pictures import EpochPictures
from lanecli.training.failures import DivergedError, how_to_resume, with_explained_errors
from lanecli.training.log import RunLog
from lanecli.training.optim import build_optimiser, freeze_encoder
from lanecli.training.parallel import Parallel, shard_weights
from lanecli.training.processes import join
from lanecli.training.provenance import provenance, versions
from lanecli.training.run_state import restore_run, restore_stage, save_run
from lanecli.training.spec import load_start
from lanecli.training.stage import Stage, build_stages
from lanecli.training.sync_batchnorm import synchronise_batchnorm
from lanecli.training.unlearnt import advice, unlearnt_classes
from lanecli.training.validate import validate
from lanecli.training.watcher import Watcher

_REPORT_STEPS = 10  # steps between lines of the log, and on a GPU between reads of the loss, which wait for it


class Run:
    """One training run: its parts, its state, and the loop.

    Attributes:
        stages: the stages of the run; `stage` is the current one.
        network: the network that is trained; `average` has its averaged weights, with `train.ema`.
        step: number of steps done; `steps` is the number of steps of the run.
        epoch: number of epochs done; `epochs` is the number of epochs of the run.
        best: the best validation score of the current stage so far; None before there is one.
        chosen: lines that say which settings were chosen from the data.
    """

    def __init__(
        self, config: Config, folder: Path, *, device: str = "auto", resume: bool = False, writes: bool = True
    ) -> None:
        """Build everything that training needs.

        Args:
            config: the configuration of the run.
            folder: the folder to write to.
            device: auto, cpu, cuda or cuda:N.
            resume: continue from the state in `folder`/last, or start from the beginning if none was saved.
            writes: whether to keep a log.

        Raises:
            InputError: something is wrong with the configuration or the data.
        """
        config, self.chosen = choose(config)
        self.config, self.folder = config, folder
        self.processes, self.device = join(device)
        self.dtype = pick_precision(config.train.precision, self.device)
        seed_everything(config.train.seed)
        self.stages = build_stages(config.each_stage, self.processes)
        self.stage, self._entered = self.stages[0], False
        self.steps, self.epochs = sum(s.steps for s in self.stages), self.stages[-1].last_epoch
        self.network = build_network(self.stages[0].spec, config.model.encoder_weights)
        load_start(config, self.stages[0].spec, self.network)
        for stage in self.stages:
            build_optimiser(stage.config.optim, self.network)  # reports errors before anything is trained
        self.network.to(self.device)
        if config.train.checkpoint_gradients:
            self.network.checkpoint_gradients()
        idle = freeze_idle(self.network) if self.processes.size > 1 else []
        if config.train.sync_batchnorm and self.processes.size > 1:
            self.network = synchronise_batchnorm(self.network, self.device)
        self.average = ExponentialAverage(self.network, config.train.ema) if config.train.ema else None
        self.parallel = Parallel(self.network, self.processes, config.train, idle)
        if self.average and self.parallel.sharded:
            shard_weights(self.average.network)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        torch.manual_seed(config.train.seed + self.processes.rank)  # only dropout differs between processes
        self.step = self.epoch = 0
        self.best: float | None = None
        self.batch_loss = BatchLoss(self.network, self.average, self.parallel, self.device, self.dtype)
        self.pictures = EpochPictures(
            folder, self.epochs, sample_epochs=config.train.sample_epochs, main=self.processes.main
        )
        self._resumed = load_state(folder / "last") if resume and has_state(folder / "last") else None
        if self._resumed is not None:
            restore_run(self, self._resumed)
        with with_explained_errors(self.stage.config, folder):
            resumed_at = (self.step, self.epoch) if resume else None
            self.log = RunLog(folder, resumed_at, writes=writes and self.processes.main)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.epochs

    @property
    def epoch_ends(self) -> list[int]:
        """The step at which each epoch of the run ends."""
        return [
            stage.first_step + (epoch + 1) * stage.steps_per_epoch
            for stage in self.stages
            for epoch in range(stage.config.train.epochs)
        ]

    def train(self, watcher: Watcher) -> None:
        """Train to the end. A finished run is not changed.

        Ctrl-C lets the current step finish and saves the state, so that a resumed run ends with the same weights.
        """
        self.log.event(event="start", step=self.step, device=str(self.device), dtype=str(self.dtype), **versions())
        interruption.listen()
        with interruption.Deferred():
            try:
                for stage in self.stages:
                    if self.epoch < stage.last_epoch:
                        with with_explained_errors(stage.config, self.folder):
                            self._train_stage(stage, watcher)
            except KeyboardInterrupt:
                # the last save stays where several processes may stop at different steps, or the stage has not begun
                if self.processes.size == 1 and self._entered:
                    with with_explained_errors(self.stage.config, self.folder):
                        self._save()
                raise
            finally:
                self.log.close()
        self.processes.leave()

    def _train_stage(self, stage: Stage, watcher: Watcher) -> None:
        """Train from the current epoch to the last one of the stage."""
        self.enter(stage)
        with contextlib.closing(self.training_batches()) as read:
            while self.epoch < stage.last_epoch:
                row = self.train_epoch(read, watcher)
                self._finish_epoch(row | self._validate(), watcher)
        stage.release()

    def enter(self, stage: Stage) -> None:
        """Make `stage` the current stage, with a new optimiser, or with that of a resumed state."""
        self.stage, config, self._entered = stage, stage.config, False
        with torch.random.fork_rng():  # a resumed run enters a stage once more
            stage.prepare(self.device, self._read)
        if self.epoch == stage.first_epoch and stage.number:
            self.best = None  # scores of stages with other sizes cannot be compared; each keeps its best model
            self._keep_model_of_stage(stage.number)
        freeze_encoder(self.network, config.optim.freeze_encoder)
        self.parallel.wrap()
        self.forward: Any = torch.compile(self.parallel.forward) if config.train.compile else self.parallel.forward
        self.optimiser = build_optimiser(config.optim, self.network, fused=not self.parallel.sharded)
        if self._resumed is not None:
            restore_stage(self, stage, self._resumed)
            self._resumed = None
        self._entered = True

    def _keep_model_of_stage(self, number: int) -> None:
        """Copy the best model of a finished stage, unless a copy exists: a killed run may have overwritten it since."""
        best, kept = self.folder / "model.safetensors", self.folder / f"stage-{number}.safetensors"
        if self.processes.main and best.exists() and not kept.exists():
            atomic.write(kept, best.read_bytes())

    def train_epoch(self, read: Iterator[list[Tensor]], watcher: Watcher) -> dict[str, Any]:
        """Take the remaining steps of the epoch, and return its row of the log, without validation."""
        stage, config = self.stage, self.config.train
        self.network.train()
        if stage.config.optim.freeze_encoder:
            for encoder in self.network.architecture.encoders():
                encoder.eval()  # its running statistics are frozen too
        end = stage.first_step + (self.epoch + 1 - stage.first_epoch) * stage.steps_per_epoch
        seen, since = self.step, time.perf_counter()
        while self.step < end:
            # read before anything changes, so that an interruption or a broken picture leaves the state of one step
            parts = [next(read) for _ in range(stage.config.train.accumulate)]
            loss = self.take_step(parts)
            if self.device.type == "cpu" or self.step % _REPORT_STEPS == 0 or self.step == end:
                pictures = (self.step - seen) * stage.config.train.batch * stage.config.train.accumulate
                speed = self.processes.size * pictures / (time.perf_counter() - since)
                seen, since = self.step, time.perf_counter()
                self._after_step(watcher, float(loss), speed)
            if self.step % config.save_steps == 0 and self.step < end:
                self._save()
        means = {f"train/{name}": float(total) / stage.steps_per_epoch for name, total in self.batch_loss.sums.items()}
        rate = stage.config.optim.lr * stage.rate(self.step - 1 - stage.first_step)
        return {"epoch": self.epoch + 1, "step": self.step, "lr": rate, **means}

    def take_step(self, parts: list[list[Tensor]]) -> Tensor:
        """Take one optimiser step over the batches in `parts`, and return their mean loss."""
        stage, config = self.stage, self.stage.config
        rate = config.optim.lr * stage.rate(self.step - stage.first_step)
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = rate * parameters["share"]
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for number, part in enumerate(parts, start=1):
            pictures, masks, *views = (tensor.to(self.device, non_blocking=True) for tensor in part)
            teacher_logits = views.pop() if stage.ensemble_teacher is not None else None
            with self.parallel.accumulating(number < len(parts)):
                with self.autocast():
                    outputs = self.forward(pictures, ("logits", "auxiliary"))
                logits = [outputs["logits"], *outputs["auxiliary"]]
                loss = self.batch_loss.compute(stage, logits, pictures, masks, *views, teacher_logits=teacher_logits)
                loss = loss / len(parts)
                self.scaler.scale(loss).backward()
            total += loss.detach()
        total = self.batch_loss.mean_over_processes(stage, total)
        if config.train.clip:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.network.parameters(), config.train.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.network)
        self.batch_loss.add("loss", total)
        self.step += 1
        return total

    def autocast(self) -> torch.autocast:
        """Return the context in which the network computes in the precision of the run."""
        return autocast(self.device, self.dtype)

    def training_batches(self) -> Generator[list[Tensor]]:
        """Yield batches from the current step to the end of the stage, without a pause between epochs."""
        stage = self.stage
        with contextlib.closing(self._read(stage.training, stage.sampler(self.step - stage.first_step))) as read:
            yield from stage.ensemble_teacher.with_logits(read, self.device) if stage.ensemble_teacher else read

    def _read(self, items: Any, sampler: Any = None) -> Generator[list[Tensor]]:
        """Yield batches, between which a run can be interrupted."""
        config, pin = self.stage.config, self.device.type == "cuda"
        for batch in batches(items, config.train.batch, config.data.workers, sampler=sampler, pin=pin):
            interruption.check()
            yield batch

    def _network_to_keep(self) -> Network:
        """Return the network with averaged weights, or the trained one where nothing is averaged."""
        return self.average.network if self.average else self.network

    def _validate(self) -> dict[str, float | None]:
        stage = self.stage
        with torch.inference_mode():
            return validate(self._network_to_keep(), stage, self._read, self.autocast(), self.processes)

    def _after_step(self, watcher: Watcher, loss: float, speed: float) -> None:
        if not loss - loss == 0:  # infinite or NaN
            raise DivergedError(
                f"the loss is {loss} at step {self.step}: lower optim.lr, or use train.precision=fp32; "
                f"{how_to_resume(self.folder)}"
            )
        if self.step % _REPORT_STEPS == 0:
            rate = self.optimiser.param_groups[0]["lr"]
            self.log.event(event="step", step=self.step, loss=loss, lr=rate, images_per_second=round(speed, 2))
        watcher.step(self.step, self.steps, loss, speed)

    def _finish_epoch(self, row: dict[str, Any], watcher: Watcher) -> None:
        """Keep the model if it is the best so far, log the epoch, and save the state last.

        If a run is killed before the state is saved, it writes the same files again when it is resumed.
        """
        score = row.get(f"val/{self.stage.config.train.best}")
        # of equal scores the later epoch wins: while scores are still 0, it has learned longer
        is_best = self.best is None or (score is not None and score >= self.best) or not self.stage.validation
        weights = self.parallel.weights(self._network_to_keep()) if is_best else {}
        if is_best:
            self.best = score if score is not None else self.best
            scores = {name: value for name, value in row.items() if name.startswith("val/")}
            if self.processes.main:
                origin = provenance(self.config, self.step, scores) | {"trained_on": self.stage.data.fingerprint}
                spec = replace(self.stage.spec, provenance=origin)
                write_safetensors(self.folder / "model.safetensors", weights, spec)
        self.log.epoch(row)
        self.epoch, self.batch_loss.sums = self.epoch + 1, {}
        self.pictures.draw(self.epoch, self.log.rows, self._network_to_keep(), self.stage, self.autocast())
        self._save()
        watcher.epoch(row, is_best)
        if names := unlearnt_classes(self.log.rows, self.stage.label_map):
            self._warn(watcher, advice(names, self.stage.config))

    def _warn(self, watcher: Watcher, line: str) -> None:
        self.log.event(event="warning", step=self.step, text=line)
        watcher.warn(line)

    def _save(self) -> None:
        save_run(self)
