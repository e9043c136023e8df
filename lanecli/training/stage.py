"""A stage of training: the data, loss, optimiser and rate that hold from one epoch to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from lanecli.config import Config, LossTerm
from lanecli.data.dataset import EvaluationSet, Source, TrainingSet
from lanecli.data.unlabelled import is_answers
from lanecli.errors import InputError, did_you_mean
from lanecli.labels import LabelMap
from lanecli.losses import LOSSES, build_loss
from lanecli.modelfile import ModelSpec, read_spec
from lanecli.models.build import Network, network_from_file
from lanecli.shipped import find_model
from lanecli.training.batches import StepSampler
from lanecli.training.boosting import error_weights
from lanecli.training.data import OWN_AVERAGE, TrainingData
from lanecli.training.ensemble_teacher import EnsembleTeacher, is_ensemble
from lanecli.training.optim import build_schedule
from lanecli.training.processes import Processes
from lanecli.training.samme import Forerunners
from lanecli.training.spec import build_spec
from lanecli.training.validate import score_names

_APART = 1_000_003  # between the seeds of stages: each draws its own order and changes


class Stage:
    """What the loop needs of one stage.

    Attributes:
        config: the whole configuration as it is in this stage.
        spec: of the model it makes; stages differ in geometry at most.
        first_step, first_epoch, last_epoch: its place in the run, counted from 0, the last one not included.
        steps_per_epoch: optimiser steps.
        rate: share of the peak learning rate at a step of the stage.
    """

    def __init__(self, config: Config, number: int, before: Stage | None, processes: Processes) -> None:
        """Read the datasets and lay out the steps.

        Args:
            config: of this stage, one of `Config.each_stage`.
            number: its place, from 0.
            before: the stage in front of it.
            processes: the processes that share each step.

        Raises:
            InputError: for what the configuration or the data has wrong.
        """
        self.config, self.number, self.processes = config, number, processes
        # stages mostly share their data: its masks, which a sampler may look through, are then read once
        shared = before is not None and _data_keys(before.config) == _data_keys(config)
        self._data: TrainingData = before._data if before is not None and shared else TrainingData(config)
        self.spec: ModelSpec = build_spec(config, self._data)
        if before is not None and not self.spec.label_map.same_classes(before.spec.label_map):
            raise InputError(f"stage {number + 1}: its data has other classes than stage {number}'s")
        scores = score_names(self.spec.label_map)
        if config.train.best not in scores:
            raise InputError(f"train.best={config.train.best} is no score{did_you_mean(config.train.best, scores)}")
        geometry = self._data.network_geometry(config)
        self.training = TrainingSet(
            self._data.training,
            geometry,
            config.data.augment,
            seed=config.train.seed + _APART * number,
            samples=config.data.samples,
            weights=config.data.weights,
            unlabelled=self._data.unlabelled,
            unlabelled_share=config.data.unlabelled_share,
        )
        self.validation = [EvaluationSet(source, geometry) for source in self._data.validation]
        together = config.train.batch * config.train.accumulate * processes.size
        self.steps_per_epoch = len(self.training) // together
        if not self.steps_per_epoch:
            raise InputError(
                f"{len(self.training)} training samples are fewer than one step of {together}; lower train.batch"
            )
        self.left_out: int = len(self.training) % together  # whole steps only; each epoch's order leaves out others
        self.training.samples = self.steps_per_epoch * together
        self.steps = self.steps_per_epoch * config.train.epochs
        self.rate: Callable[[int], float] = build_schedule(config.schedule, self.steps)
        self.first_step: int = before.first_step + before.steps if before else 0
        self.first_epoch: int = before.last_epoch if before else 0
        self.last_epoch: int = self.first_epoch + config.train.epochs
        self.loss_terms = _with_teacher(
            config, stored=self._data.unlabelled is not None and self._data.unlabelled.taught
        )
        self.asks_average = self.training.asked is not None and config.teacher in (None, OWN_AVERAGE)
        """Whether the run's own averaged weights are the teacher."""
        if self.asks_average and config.train.ema is None:
            raise InputError(
                "data.unlabelled is labelled by the run's own averaged weights: set train.ema (0.99, say), or name "
                "another teacher=MODEL"
            )
        self.criterion = build_loss(
            self.loss_terms,
            classes=len(self.spec.label_map.classes),
            mode=self.spec.task,
            pixel_counts=self._data.pixel_counts,
            background=self.spec.label_map.background,
        )
        if self.criterion.needs_teacher and self.criterion.teacher is None and not self.asks_average:
            raise InputError("a kl loss follows a teacher: teacher=MODEL")
        self.teacher: Network | None = None
        self.ensemble_teacher: EnsembleTeacher | None = None
        self.forerunners: Forerunners | None = None
        # what is wrong with other models is said now, not when the stage begins, hours later
        taught_by = self.criterion.teacher
        if taught_by is not None and is_ensemble(taught_by):
            self.ensemble_teacher = EnsembleTeacher(taught_by, self.spec.label_map)
            taught_by = None
        for name in (taught_by, config.train.weigh_errors_of, *(each.model for each in config.train.boost)):
            if name is not None:
                _check_classes(name, self.spec)

    @property
    def label_map(self) -> LabelMap:
        """The classes."""
        return self.spec.label_map

    @property
    def sources(self) -> list[Source]:
        """All pictures it reads, for training and validation."""
        unlabelled = [self._data.unlabelled] if self._data.unlabelled is not None else []
        return [*self._data.training, *self._data.validation, *unlabelled]

    def sampler(self, done: int) -> StepSampler:
        """Items of this process from `done` steps of the stage to its end."""
        config = self.config.train
        batches = range(done * config.accumulate, self.steps * config.accumulate)
        return StepSampler(batches, config.batch, self.processes)

    def prepare(self, device: torch.device, read: Callable[[EvaluationSet], Iterator[list[torch.Tensor]]]) -> None:
        """Load what is only needed once the stage begins: the teacher, and weights of a boosted draw."""
        self.criterion.to(device)
        if self.criterion.teacher is not None and self.ensemble_teacher is None:
            network, _ = network_from_file(find_model(self.criterion.teacher, prefer=".safetensors"))
            self.teacher = network.to(device).requires_grad_(False)
        if boost := self.config.train.boost:
            members = [(find_model(each.model, prefer=".safetensors"), each.weight) for each in boost]
            self.forerunners = Forerunners(members, self.label_map, device)
        model = self.config.train.weigh_errors_of
        if model is not None:
            for source in self._data.training:
                items = EvaluationSet(source, self.training.geometry)
                source.weights = error_weights(model, items, self.label_map, device, read)

    def release(self) -> None:
        """Let go of what :meth:`prepare` loaded."""
        self.teacher = self.forerunners = None

    @property
    def data(self) -> TrainingData:
        """Where its pictures come from."""
        return self._data


def build_stages(configs: Sequence[Config], processes: Processes) -> list[Stage]:
    """The stages in order. Raises InputError, which names the stage where there are several."""
    stages: list[Stage] = []
    for number, config in enumerate(configs):
        try:
            stages.append(Stage(config, number, stages[-1] if stages else None, processes))
        except InputError as error:
            if len(configs) == 1 or str(error).startswith("stage "):
                raise
            raise InputError(f"stage {number + 1}: {error}") from error
    return stages


def _data_keys(config: Config) -> dict[str, object]:
    """What decides which pictures are read and how often each is drawn."""
    data = config.data.model_dump(exclude={"augment", "workers", "geometry"})
    return data | {
        "crop": config.data.geometry.crop,
        "seed": config.train.seed,
        "bootstrap": config.train.bootstrap,
        "weigh_errors_of": config.train.weigh_errors_of,
    }


def _with_teacher(config: Config, stored: bool) -> list[LossTerm]:
    """The loss, in which a kl term follows the model named as teacher at the configuration's top.

    Stored answers are labels like others, and the run's own average need not be followed beyond those it gives.
    """
    if config.teacher is None or stored:
        return config.loss
    if config.teacher == OWN_AVERAGE or is_answers(config.teacher):
        if not config.data.unlabelled:
            raise InputError(f"teacher={config.teacher} labels pictures: name their folder, data.unlabelled=DIR")
        return config.loss
    terms = [
        term.model_copy(update={"args": {"teacher": config.teacher, **term.args}})
        if term.name in LOSSES and LOSSES.canonical(term.name) == "kl"
        else term
        for term in config.loss
    ]
    if terms == config.loss and not any(term.args.get("teacher") for term in terms):
        terms = [*terms, LossTerm(name="kl", args={"teacher": config.teacher})]
    return terms


def _check_classes(name: str, spec: ModelSpec) -> None:
    """Raise InputError when there is no model of this name, or it has other classes than `spec`."""
    theirs = read_spec(find_model(name, prefer=".safetensors")).label_map
    if not theirs.same_classes(spec.label_map):
        raise InputError(f"model {name} knows {', '.join(theirs.names)}: not the classes trained here")
