"""The training loop: read it from top to bottom."""

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
from lanecli.losses.pixels import Pixels
from lanecli.media.pictures import write_picture
from lanecli.modelfile import write_safetensors
from lanecli.models.build import Network, build_network
from lanecli.models.idle import freeze_idle
from lanecli.training.average import ExponentialAverage
from lanecli.training.batches import batches, targets_of
from lanecli.training.checkpoint import has_state, load_state, save_state
from lanecli.training.choice import choose
from lanecli.training.device import pick_precision, seed_everything
from lanecli.training.failures import DivergedError, how_to_go_on, with_explained_errors
from lanecli.training.log import RunLog, draw_curves
from lanecli.training.optim import build_optimiser, freeze_encoder
from lanecli.training.parallel import Parallel, spread_weights
from lanecli.training.processes import join
from lanecli.training.provenance import provenance, versions
from lanecli.training.pseudo_labels import pseudo_labels
from lanecli.training.random_state import random_state, set_random_state
from lanecli.training.run_folder import a_whole_state, check_resumed
from lanecli.training.samme import boosted_loss
from lanecli.training.samples import MOST_CLASSES, sample_sheet, spread
from lanecli.training.spec import load_start
from lanecli.training.stage import Stage, build_stages
from lanecli.training.sync_batchnorm import synchronise_batchnorm
from lanecli.training.unlearnt import advice, unlearnt_classes
from lanecli.training.validate import validate
from lanecli.training.watcher import Watcher

_LOOK_EVERY = 10  # steps between looks at the loss on a GPU, each of which waits for it; and between log lines
_BETWEEN_CURVES = 20  # times what drawing the curves takes passes before they are drawn again


class Run:
    """One training run: its parts, its state, and the loop over them."""

    def __init__(
        self, config: Config, folder: Path, *, device: str = "auto", resume: bool = False, writes: bool = True
    ) -> None:
        """Build everything.

        Args:
            config: of the run.
            folder: where it writes.
            device: auto, cpu, cuda or cuda:N.
            resume: take up the state in `folder`/last, or start anew where none was saved.
            writes: keep a log.

        Raises:
            InputError: for what the configuration or the data has wrong.
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
            build_optimiser(stage.config.optim, self.network)  # what is wrong with it is said before anything is done
        self.network.to(self.device)
        if config.train.checkpoint_gradients:
            self.network.checkpoint_gradients()
        idle = freeze_idle(self.network) if self.processes.size > 1 else []
        if config.train.sync_batchnorm and self.processes.size > 1:
            self.network = synchronise_batchnorm(self.network, self.device)
        self.average = ExponentialAverage(self.network, config.train.ema) if config.train.ema else None
        self.parallel = Parallel(self.network, self.processes, config.train, idle)
        if self.average and self.parallel.sharded:
            spread_weights(self.average.network)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        torch.manual_seed(config.train.seed + self.processes.rank)  # dropout differs between processes, weights do not
        self.step = self.epoch = 0
        self.best: float | None = None
        self.sums: dict[str, Tensor] = {}
        """The loss and its terms, summed over the steps of the epoch under way."""
        self._next_curves = 0.0
        self._resumed = load_state(folder / "last") if resume and has_state(folder / "last") else None
        if self._resumed is not None:
            with a_whole_state(folder):
                check_resumed(self._resumed, config, self.processes.size, folder, self.epoch_ends)
                self.step, self.epoch, self.best = (self._resumed[key] for key in ("step", "epoch", "best"))
                self.parallel.load_weights(self._resumed["network"])
                if self.average:
                    self.parallel.load_weights(self._resumed["average"], self.average.network)
                    self.average.updates = self._resumed["updates"]
        with with_explained_errors(self.stage.config, folder):
            taken_up = (self.step, self.epoch) if resume else None
            self.log = RunLog(folder, taken_up, writes=writes and self.processes.main)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.epoch >= self.epochs

    @property
    def epoch_ends(self) -> list[int]:
        """The step each epoch of the run ends at."""
        return [
            stage.first_step + (epoch + 1) * stage.steps_per_epoch
            for stage in self.stages
            for epoch in range(stage.config.train.epochs)
        ]

    def train(self, watcher: Watcher) -> None:
        """Run to the end; a finished run stays as it is.

        Ctrl-C waits for the step under way and saves the state, so that resuming leaves no trace.
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
                # several processes may stop at different steps, and a stage not entered has nothing new: the last save
                # stands
                if self.processes.size == 1 and self._entered:
                    with with_explained_errors(self.stage.config, self.folder):
                        self._save()
                raise
            finally:
                self.log.close()
        self.processes.leave()

    def rehearse(self, stage: Stage) -> tuple[float, float]:
        """Take the first step of `stage` twice: the loss before it, and the seconds the second one took."""
        with with_explained_errors(stage.config, self.folder):
            self.step, self.epoch = stage.first_step, stage.first_epoch
            self._enter(stage)
            self.network.train()
            with contextlib.closing(self._training_batches()) as read:
                parts = [next(read) for _ in range(stage.config.train.accumulate)]
            losses = []
            for _ in range(2):  # the first one builds kernels and state
                since = time.perf_counter()
                losses.append(float(self._take_step(parts)))
                self.step -= 1
            seconds = time.perf_counter() - since
        if not losses[1] - losses[1] == 0:
            raise DivergedError(f"the loss is {losses[1]} after one step: lower optim.lr")
        return losses[0], seconds

    def _train_stage(self, stage: Stage, watcher: Watcher) -> None:
        """From where the run stands to the stage's last epoch."""
        self._enter(stage)
        with contextlib.closing(self._training_batches()) as read:
            while self.epoch < stage.last_epoch:
                row = self._train_epoch(read, watcher)
                self._keep(row | self._validate(), watcher)
        stage.release()

    def _enter(self, stage: Stage) -> None:
        """Make `stage` the one trained: a fresh optimiser, or the one of the state taken up."""
        self.stage, config, self._entered = stage, stage.config, False
        with torch.random.fork_rng():  # a resumed run enters a stage more often
            stage.prepare(self.device, self._read)
        if self.epoch == stage.first_epoch and stage.number:
            self.best = None  # scores of stages differ in size and loss; the one before keeps its best model
            self._keep_model_of_stage(stage.number)
        freeze_encoder(self.network, config.optim.freeze_encoder)
        self.parallel.wrap()
        self.forward: Any = torch.compile(self.parallel.forward) if config.train.compile else self.parallel.forward
        self.optimiser = build_optimiser(config.optim, self.network, fused=not self.parallel.sharded)
        if self._resumed is not None:
            with a_whole_state(self.folder):
                if self.step > stage.first_step:
                    self.parallel.load_optimiser_state(self.optimiser, self._resumed["optimiser"])
                self.scaler.load_state_dict(self._resumed["scaler"])
                totals = self._resumed["sums"].items()
                self.sums = {name: torch.tensor(v, dtype=torch.float64, device=self.device) for name, v in totals}
                set_random_state(self._resumed["random"][self.processes.rank], self.device)
            self._resumed = None
        self._entered = True

    def _keep_model_of_stage(self, number: int) -> None:
        """Put the best model of a finished stage aside, unless it is there: a run killed since has written over it."""
        best, kept = self.folder / "model.safetensors", self.folder / f"stage-{number}.safetensors"
        if self.processes.main and best.exists() and not kept.exists():
            atomic.write(kept, best.read_bytes())

    def _train_epoch(self, read: Iterator[list[Tensor]], watcher: Watcher) -> dict[str, Any]:
        """The rest of the epoch's steps; its row of the log, without validation."""
        stage, config = self.stage, self.config.train
        self.network.train()
        if stage.config.optim.freeze_encoder:
            for encoder in self.network.architecture.encoders():
                encoder.eval()  # running statistics are frozen too
        end = stage.first_step + (self.epoch + 1 - stage.first_epoch) * stage.steps_per_epoch
        seen, since = self.step, time.perf_counter()
        while self.step < end:
            # read before anything changes: an interruption or a broken picture finds weights and statistics of one step
            parts = [next(read) for _ in range(stage.config.train.accumulate)]
            loss = self._take_step(parts)
            if self.device.type == "cpu" or self.step % _LOOK_EVERY == 0 or self.step == end:
                pictures = (self.step - seen) * stage.config.train.batch * stage.config.train.accumulate
                speed = self.processes.size * pictures / (time.perf_counter() - since)
                seen, since = self.step, time.perf_counter()
                self._after_step(watcher, float(loss), speed)
            if self.step % config.save_steps == 0 and self.step < end:
                self._save()
        means = {f"train/{name}": float(total) / stage.steps_per_epoch for name, total in self.sums.items()}
        rate = stage.config.optim.lr * stage.rate(self.step - 1 - stage.first_step)
        return {"epoch": self.epoch + 1, "step": self.step, "lr": rate, **means}

    def _take_step(self, parts: list[list[Tensor]]) -> Tensor:
        """One optimiser step over the batches of `parts`; their mean loss."""
        stage, config = self.stage, self.stage.config
        rate = config.optim.lr * stage.rate(self.step - stage.first_step)
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = rate * parameters["share"]
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for number, part in enumerate(parts, start=1):
            pictures, masks, *views = (tensor.to(self.device, non_blocking=True) for tensor in part)
            taught = views.pop() if stage.ensemble_teacher is not None else None
            with self.parallel.accumulating(number < len(parts)):
                with self._autocast():
                    found = self.forward(pictures, ("logits", "auxiliary"))
                outputs = [found["logits"], *found["auxiliary"]]
                loss = self._loss(outputs, pictures, masks, *views, taught=taught) / len(parts)
                self.scaler.scale(loss).backward()
            total += loss.detach()
        total = self._of_all(total)
        if config.train.clip:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.network.parameters(), config.train.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.network)
        self._count("loss", total)
        self.step += 1
        return total

    def _loss(
        self,
        outputs: list[Tensor],
        pictures: Tensor,
        masks: Tensor,
        calm: Tensor | None = None,
        asked: Tensor | None = None,
        *,
        taught: Tensor | None = None,
    ) -> Tensor:
        """The loss of the logits, and of auxiliary heads with their weight; over all processes where they share it.

        Args:
            outputs: logits (N, C, h, w), those of auxiliary heads behind them.
            pictures: (N, h, w, 3) they answer.
            masks: (N, h, w), the truth.
            calm: the pictures as a teacher sees them, where there are some without labels.
            asked: (N,) bool, which have a teacher's answers for labels.
            taught: an ensemble's logits, where one teaches.
        """
        stage, config = self.stage, self.stage.config.train
        criterion = stage.criterion
        if taught is None and criterion.needs_teacher:
            taught = self._teach(pictures if calm is None else calm)
        if calm is not None and asked is not None:
            masks = self._label(masks, calm, asked, taught)
        targets = targets_of(masks, stage.label_map)
        weights = None
        if stage.forerunners is not None:
            with self._autocast():
                weights = stage.forerunners.weights(pictures, targets)
        if config.sync_loss:
            outputs, targets = [self.processes.gather(logits) for logits in outputs], self.processes.gather(targets)
            taught = None if taught is None else self.processes.gather(taught)
            weights = None if weights is None else self.processes.gather(weights)
        loss, terms = criterion.with_terms(outputs[0], targets, taught)
        for name, value in terms.items():
            self._count(name, self._of_all(value) / config.accumulate)
        if weights is not None:
            with torch.autocast(self.device.type, enabled=False):
                boost = boosted_loss(Pixels(outputs[0], targets, criterion.task), weights)
            self._count("boost", self._of_all(boost.detach()) / config.accumulate)
            loss = loss + boost
        for logits in outputs[1:]:
            loss = loss + self.network.auxiliary_weight * criterion(logits, targets, taught)
        return loss

    def _label(self, masks: Tensor, calm: Tensor, asked: Tensor, taught: Tensor | None) -> Tensor:
        """`masks` in which the pictures `asked` about have what the teacher is sure of; `taught` is its answer to all.

        Weights spread over processes are put together in each pass, so that all processes must take part.
        """
        if taught is not None or self.parallel.sharded:
            answers = (self._teach(calm) if taught is None else taught)[asked]
        elif asked.any():
            answers = self._teach(calm[asked])
        else:
            return masks
        labels = pseudo_labels(answers, masks[asked], self.stage.label_map, self.stage.config.data.confidence)
        masks = masks.clone()
        masks[asked] = labels
        return masks

    def _teach(self, pictures: Tensor) -> Tensor:
        """The teacher's logits."""
        teacher = self.stage.teacher
        if teacher is None:
            assert self.average is not None  # the stage has seen to it
            teacher = self.average.network
        with torch.no_grad(), self._autocast():
            return teacher.eval().logits(pictures)

    def _of_all(self, loss: Tensor) -> Tensor:
        """The mean over processes of a loss each has taken on its own; `loss` where they took it together."""
        return loss if self.stage.config.train.sync_loss else self.processes.total(loss) / self.processes.size

    def _count(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums.get(name, torch.zeros((), dtype=torch.float64, device=self.device)) + value

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)

    def _training_batches(self) -> Generator[list[Tensor]]:
        """From the step under way to the stage's end, without a pause between epochs."""
        stage = self.stage
        with contextlib.closing(self._read(stage.training, stage.sampler(self.step - stage.first_step))) as read:
            yield from stage.ensemble_teacher.answering(read, self.device) if stage.ensemble_teacher else read

    def _read(self, items: Any, sampler: Any = None) -> Generator[list[Tensor]]:
        """Batches; where an interruption may happen."""
        config, pin = self.stage.config, self.device.type == "cuda"
        for batch in batches(items, config.train.batch, config.data.workers, sampler=sampler, pin=pin):
            interruption.check()
            yield batch

    def _kept(self) -> Network:
        """The averaged weights, or the plain ones without averaging."""
        return self.average.network if self.average else self.network

    def _validate(self) -> dict[str, float | None]:
        stage = self.stage
        with torch.inference_mode():
            return validate(self._kept(), stage, self._read, self._autocast(), self.processes)

    def _after_step(self, watcher: Watcher, loss: float, speed: float) -> None:
        if not loss - loss == 0:  # infinite or not a number
            raise DivergedError(
                f"the loss is {loss} at step {self.step}: lower optim.lr, or use train.precision=fp32; "
                f"{how_to_go_on(self.folder)}"
            )
        if self.step % _LOOK_EVERY == 0:
            rate = self.optimiser.param_groups[0]["lr"]
            self.log.event(event="step", step=self.step, loss=loss, lr=rate, images_per_second=round(speed, 2))
        watcher.step(self.step, self.steps, loss, speed)

    def _keep(self, row: dict[str, Any], watcher: Watcher) -> None:
        """Keep the model when it is the best so far, log the epoch, and save the state last.

        What is written before the state is written again, the same, by a run killed in between.
        """
        score = row.get(f"val/{self.stage.config.train.best}")
        # of equal scores the later epoch is kept: where nothing is found yet, it has learnt longer
        is_best = self.best is None or (score is not None and score >= self.best) or not self.stage.validation
        weights = self.parallel.weights(self._kept()) if is_best else {}
        if is_best:
            self.best = score if score is not None else self.best
            scores = {name: value for name, value in row.items() if name.startswith("val/")}
            if self.processes.main:
                spec = replace(self.stage.spec, provenance=self._provenance(scores))
                write_safetensors(self.folder / "model.safetensors", weights, spec)
        self.log.epoch(row)
        self.epoch, self.sums = self.epoch + 1, {}
        self._draw_samples()
        self._draw_curves()
        self._save()
        watcher.epoch(row, is_best)
        if names := unlearnt_classes(self.log.rows, self.stage.label_map):
            self._warn(watcher, advice(names, self.stage.config))

    def _provenance(self, scores: dict[str, Any]) -> dict[str, Any]:
        return provenance(self.config, self.step, scores) | {"trained_on": self.stage.data.fingerprint}

    def _draw_curves(self) -> None:
        """Draw the curves, where that does not take much of short epochs' time; after the last one in any case."""
        now = time.perf_counter()
        if not self.processes.main or (self.epoch < self.epochs and now < self._next_curves):
            return
        draw_curves(self.log.rows, self.folder / "curves.png")
        cost = time.perf_counter() - now
        self._next_curves = now + cost * _BETWEEN_CURVES

    def _draw_samples(self) -> None:
        """Write a sheet of samples, where one is due and its classes can be drawn."""
        every, label_map = self.config.train.sample_epochs, self.stage.label_map
        if not every or not self.stage.validation or (self.epoch % every and self.epoch != self.epochs):
            return
        if len(label_map.classes) > MOST_CLASSES:
            return
        sheet = sample_sheet(self._kept(), spread(self.stage.validation), label_map, self._autocast())
        if self.processes.main:
            write_picture(self.folder / "samples" / f"epoch-{self.epoch:03}.jpg", sheet)

    def _warn(self, watcher: Watcher, line: str) -> None:
        self.log.event(event="warning", step=self.step, text=line)
        watcher.warn(line)

    def _save(self) -> None:
        """The whole state of this step; every process takes part, the main one writes."""
        weights = self.parallel.weights()
        bad = next((name for name, value in weights.items() if not value.isfinite().all()), None)
        if bad is not None:
            raise DivergedError(
                f"weight '{bad}' is no number at step {self.step}: lower optim.lr; {how_to_go_on(self.folder)}"
            )
        state = {
            "step": self.step,
            "epoch": self.epoch,
            "best": self.best,
            "sums": {name: float(total) for name, total in self.sums.items()},
            "network": weights,
            "optimiser": self.parallel.optimiser_state(self.optimiser),
            "scaler": self.scaler.state_dict(),
            "average": self.parallel.weights(self.average.network) if self.average else None,
            "updates": self.average.updates if self.average else 0,
            "random": random_state(self.processes, self.device),
            "config": self.config.model_dump(mode="json"),
        }
        if self.processes.main:
            save_state(self.folder / "last", state)
