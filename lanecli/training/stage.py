"""A stage of training: the data, loss, optimiser and learning rate of a range of epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from lanecli.config import Config
from lanecli.data.dataset import EvaluationSet, LabelledPictures, TrainingSet
from lanecli.data.unlabelled import holds_answers
from lanecli.errors import InputError, did_you_mean
from lanecli.labels import LabelMap
from lanecli.losses import LOSSES, build_loss
from lanecli.modelfile import ModelSpec, read_spec
from lanecli.models.build import Network, network_from_file
from lanecli.sections import LossTerm
from lanecli.shipped import find_model
from lanecli.training.batches import StepSampler
from lanecli.training.boosting import error_weights
from lanecli.training.data import OWN_AVERAGE, TrainingData
from lanecli.training.ensemble_teacher import EnsembleTeacher, is_ensemble
from lanecli.training.optim import build_schedule
from lanecli.training.processes import Processes
from lanecli.training.samme import PreviousMembers
from lanecli.training.spec import build_spec
from lanecli.training.validate import score_names

_SEED_STEP = 1_000_003  # between the seeds of stages, so that each has its own order and augmentation


class Stage:
    """One stage, as the training loop needs it.

    Attributes:
        config: the whole configuration of this stage.
        spec: the specification of the model; stages may only differ in its geometry.
        first_step: the first step of the stage, counted from 0 over the run.
        first_epoch: the first epoch of the stage, counted from 0 over the run.
        last_epoch: the epoch after the last one of the stage.
        steps_per_epoch: number of optimiser steps per epoch.
        rate: gives the share of the peak learning rate at a step of the stage.
    """

    def __init__(self, config: Config, number: int, before: Stage | None, processes: Processes) -> None:
        """Read the datasets and compute the number of steps.

        Args:
            config: the configuration of this stage, one of `Config.each_stage`.
            number: its number, from 0.
            before: the previous stage.
            processes: the processes that share each step.

        Raises:
            InputError: something is wrong with the configuration or the data.
        """
        self.config, self.number, self.processes = config, number, processes
        # stages that share their data read the masks, which a sampler may need, only once
        shared = before is not None and _data_keys(before.config) == _data_keys(config)
        self._data: TrainingData = before._data if before is not None and shared else TrainingData(config)
        self.spec: ModelSpec = build_spec(config, self._data)
        if before is not None and not self.spec.label_map.same_classes(before.spec.label_map):
            raise InputError(f"stage {number + 1}: its data has other classes than that of stage {number}")
        scores = score_names(self.spec.label_map)
        if config.train.best not in scores:
            raise InputError(f"train.best={config.train.best} is not a score{did_you_mean(config.train.best, scores)}")
        geometry = self._data.network_geometry(config)
        self.training = TrainingSet(
            self._data.training,
            geometry,
            config.data.augment,
            seed=config.train.seed + _SEED_STEP * number,
            samples=config.data.samples,
            weights=config.data.weights,
            unlabelled=self._data.unlabelled,
            unlabelled_share=config.data.unlabelled_share,
        )
        self.validation = [EvaluationSet(collection, geometry) for collection in self._data.validation]
        together = config.train.batch * config.train.accumulate * processes.size
        self.steps_per_epoch = len(self.training) // together
        if not self.steps_per_epoch:
            raise InputError(
                f"{len(self.training)} training samples are fewer than one step of {together}; lower train.batch"
            )
        # epochs have whole steps only, and each one leaves out other pictures
        self.left_out: int = len(self.training) % together
        self.training.samples = self.steps_per_epoch * together
        self.steps = self.steps_per_epoch * config.train.epochs
        self.rate: Callable[[int], float] = build_schedule(config.schedule, self.steps)
        self.first_step: int = before.first_step + before.steps if before else 0
        self.first_epoch: int = before.last_epoch if before else 0
        self.last_epoch: int = self.first_epoch + config.train.epochs
        self.loss_terms = _with_teacher(
            config, stored=self._data.unlabelled is not None and self._data.unlabelled.has_answers
        )
        self.asks_average = self.training.unlabelled_index is not None and config.teacher in (None, OWN_AVERAGE)
        """Whether the averaged weights of the run itself are the teacher."""
        if self.asks_average and config.train.ema is None:
            raise InputError(
                "the averaged weights of the run label data.unlabelled: set train.ema (to 0.99, for example), or name "
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
            raise InputError("a kl loss needs a teacher: set teacher=MODEL")
        self.teacher: Network | None = None
        self.ensemble_teacher: EnsembleTeacher | None = None
        self.previous_members: PreviousMembers | None = None
        # errors of other models are reported now, and not when the stage begins, hours later
        teacher = self.criterion.teacher
        if teacher is not None and is_ensemble(teacher):
            self.ensemble_teacher = EnsembleTeacher(teacher, self.spec.label_map)
            teacher = None
        for name in (teacher, config.train.weigh_errors_of, *(each.model for each in config.train.boost)):
            if name is not None:
                _check_classes(name, self.spec)

    @property
    def label_map(self) -> LabelMap:
        """The classes."""
        return self.spec.label_map

    @property
    def collections(self) -> list[LabelledPictures]:
        """All collections of pictures of the stage, for training and validation."""
        unlabelled = [self._data.unlabelled] if self._data.unlabelled is not None else []
        return [*self._data.training, *self._data.validation, *unlabelled]

    def sampler(self, done: int) -> StepSampler:
        """Return the sampler of this process for the rest of the stage, after `done` of its steps."""
        config = self.config.train
        batches = range(done * config.accumulate, self.steps * config.accumulate)
        return StepSampler(batches, config.batch, self.processes)

    def prepare(self, device: torch.device, read: Callable[[EvaluationSet], Iterator[list[torch.Tensor]]]) -> None:
        """Load what is needed when the stage begins: the teacher, the previous members, the weights of pictures."""
        self.criterion.to(device)
        if self.criterion.teacher is not None and self.ensemble_teacher is None:
            network, _ = network_from_file(find_model(self.criterion.teacher, prefer=".safetensors"))
            self.teacher = network.to(device).requires_grad_(False)
        if boost := self.config.train.boost:
            members = [(find_model(each.model, prefer=".safetensors"), each.weight) for each in boost]
            self.previous_members = PreviousMembers(members, self.label_map, device)
        model = self.config.train.weigh_errors_of
        if model is not None:
            for collection in self._data.training:
                items = EvaluationSet(collection, self.training.geometry)
                collection.weights = error_weights(model, items, self.label_map, device, read)

    def release(self) -> None:
        """Free the models that :meth:`prepare` loaded."""
        self.teacher = self.previous_members = None

    @property
    def data(self) -> TrainingData:
        """The collections of its pictures."""
        return self._data


def build_stages(configs: Sequence[Config], processes: Processes) -> list[Stage]:
    """Build the stages, in order. Raises InputError; with several stages the message names the stage."""
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
    """Return the keys that determine which pictures are read and how often each one is drawn."""
    data = config.data.model_dump(exclude={"augment", "workers", "geometry"})
    return data | {
        "crop": config.data.geometry.crop,
        "seed": config.train.seed,
        "bootstrap": config.train.bootstrap,
        "weigh_errors_of": config.train.weigh_errors_of,
    }


def _with_teacher(config: Config, stored: bool) -> list[LossTerm]:
    """Return the terms of the loss, in which a kl term learns from the model that the key `teacher` names.

    There is no kl term for stored answers, which are labels like others, and for the averaged weights of the run, which
    only give labels.
    """
    if config.teacher is None or stored:
        return config.loss
    if config.teacher == OWN_AVERAGE or holds_answers(config.teacher):
        if not config.data.unlabelled:
            raise InputError(f"teacher={config.teacher} labels pictures: name their folder with data.unlabelled=DIR")
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
    """Raise InputError if there is no model of this name, or it has other classes than `spec`."""
    theirs = read_spec(find_model(name, prefer=".safetensors")).label_map
    if not theirs.same_classes(spec.label_map):
        raise InputError(f"model {name} has the classes {', '.join(theirs.names)}, not those trained here")
