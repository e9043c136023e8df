"""Typed experiment configuration: YAML plus dotted overrides, every unknown key named with its nearest neighbour."""

from __future__ import annotations

import copy
import re
import reprlib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from lanecli.errors import InputError, did_you_mean
from lanecli.overrides import NAMED_SECTIONS, Loader, expanded, meant, put
from lanecli.textfiles import read_yaml


class Section(BaseModel):
    """A part of the configuration; unknown keys are errors, and nothing in it is assigned later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(Section):
    """`model`: what is trained."""

    name: str = "linknet"
    encoder: str | None = None
    """None is the architecture's own, or the first it names."""
    encoder_weights: str | None = None
    """None starts from random weights; a file is loaded; any other word is fetched by name from the network."""
    weights: str | None = None
    """A model file or shipped model whose weights training starts from; with other classes, all but the head."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Share of channels dropped in training, and when Monte-Carlo dropout samples; None is the architecture's own."""
    spectral_norm: bool = False
    """Divide the encoder's weights by their largest singular value, so that feature density tells the unfamiliar."""
    args: dict[str, Any] = Field(default_factory=dict)


class GeometryConfig(Section):
    """`data.geometry`: what the network sees."""

    size: tuple[int, int] = (576, 320)
    crop: tuple[float, float, float, float] = (0, 0, 0, 0)
    fit: Literal["stretch", "pad"] = "stretch"

    @field_validator("size", mode="before")
    @classmethod
    def _width_by_height(cls, value: Any) -> Any:
        """``512x256`` is ``[512, 256]``."""
        found = re.fullmatch(r"\s*(\d+)\s*[x×]\s*(\d+)\s*", value) if isinstance(value, str) else None
        return (int(found[1]), int(found[2])) if found else value


class AugmentConfig(Section):
    """`data.augment`: random changes of training pictures; 0 turns one off."""

    flip: float = Field(0.5, ge=0, le=1)
    """Chance of mirroring left to right."""
    scale: tuple[float, float] = (0.75, 1.6)
    """Range of the random zoom; above 1 a part of the picture fills the network's input."""
    aspect: float = Field(0.15, ge=0, lt=1)
    rotate: float = Field(3.0, ge=0, le=180)
    """Degrees, to either side."""
    shift: float = Field(0.1, ge=0, le=1)
    """Share of the picture's side, to either side, beyond what the zoom leaves free."""
    perspective: float = Field(0.0, ge=0, lt=0.5)
    color: float = Field(0.35, ge=0, le=1)
    """Strength of brightness, contrast, saturation, hue, gamma and white balance changes."""
    blur: float = Field(0.15, ge=0, le=1)
    noise: float = Field(0.15, ge=0, le=1)
    cutout: float = Field(0.0, ge=0, le=1)
    repaint: float = Field(0.0, ge=0, le=1)
    """Chance of painting new lane lines on the road of a real picture, the old ones partly removed."""

    @field_validator("scale")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("a range above 0, the smaller zoom first")
        return value


class DataConfig(Section):
    """`data`: what is learned from; with no root, procedural road scenes rendered on the fly."""

    root: list[str] = Field(default_factory=list)
    weights: list[float] | None = None
    """Share of each root in an epoch; None draws every sample once."""
    split: str = "train"
    val_split: str = "val"
    geometry: GeometryConfig = Field(default_factory=GeometryConfig)
    augment: AugmentConfig | None = Field(default_factory=AugmentConfig)
    samples: int | None = Field(None, ge=1)
    """Samples an epoch draws; None means every one once (2000 procedural scenes when there is no root)."""
    sampler: Literal["uniform", "balanced", "rare"] = "uniform"
    """uniform: each sample once; balanced: every class equally often; rare: samples with rare classes more often."""
    workers: int = Field(1, ge=0)
    fold: str | None = None
    """``2/5``: leave the second of five folds of the training split out, whole groups where there are enough."""
    unlabelled: list[str] = Field(default_factory=list)
    """Folders of pictures without labels, learned from where a teacher is sure: `teacher`, or the run's own average."""
    unlabelled_share: float = Field(0.5, gt=0, lt=1)
    """Share of an epoch that is drawn from `unlabelled`."""
    confidence: float = Field(0.8, ge=0.5, lt=1)
    """A teacher's answer on an unlabelled picture is learned from where its probability is at least this."""

    @field_validator("fold")
    @classmethod
    def _fold(cls, value: str | None) -> str | None:
        if value is not None:
            number, _, count = value.partition("/")
            if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) and int(count) > 1):
                raise ValueError("a fold and how many there are, such as 2/5")
        return value

    @field_validator("root", "unlabelled", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("weights")
    @classmethod
    def _shares(cls, value: list[float] | None) -> list[float] | None:
        if value is not None and (min(value, default=0) < 0 or not sum(value) > 0):
            raise ValueError("shares are not negative, and one is above 0")
        return value


class LossTerm(Section):
    """One term of a weighted sum of losses."""

    name: str
    weight: float = 1.0
    args: dict[str, Any] = Field(default_factory=dict)


class OptimConfig(Section):
    """`optim`: the optimiser."""

    name: str = "adamw"
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    args: dict[str, Any] = Field(default_factory=dict)
    encoder_lr: float = Field(1.0, gt=0)
    """Factor of the rate for the encoder."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Factor of the rate from each layer of the encoder to the one below it."""
    freeze_encoder: bool = False
    """Leave the encoder's weights and its norm statistics as they are."""


class ScheduleConfig(Section):
    """`schedule`: the learning rate over the run."""

    name: str = "cosine"
    warmup: float = Field(0.03, ge=0, lt=1)
    """Share of all steps over which the rate rises linearly from zero."""
    args: dict[str, Any] = Field(default_factory=dict)


class ForerunnerConfig(Section):
    """A member of a boosted ensemble that was trained before."""

    model: str
    weight: float


class TrainConfig(Section):
    """`train`: the loop."""

    epochs: int = Field(10, ge=1)
    batch: int = Field(8, ge=1)
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients are summed before a step."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    clip: float | None = Field(1.0, gt=0)
    """Largest gradient norm."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of the exponential moving average of weights that is validated and kept."""
    seed: int = Field(0, ge=0)
    compile: bool = False
    """Compile the network, which takes a while at the start. On a CPU steps are no faster after (docs/training.md)."""
    checkpoint_gradients: bool = False
    """Compute the encoder's activations twice in place of keeping them: less memory, about a third more time."""
    bootstrap: int | None = Field(None, ge=0)
    """Train on a resample, drawn with replacement by this seed, of the training samples (for bagging)."""
    weigh_errors_of: str | None = None
    """A model whose mistakes are drawn more often (for boosting)."""
    boost: list[ForerunnerConfig] = Field(default_factory=list)
    """Members whose wrong pixels weigh more here (docs/ensembles.md); ``lanecli train --boosting N`` sets it."""
    best: str = "miou_foreground"
    """The validation score whose highest value decides which epoch's model is kept."""
    save_steps: int = Field(500, ge=1)
    """Steps between saves of the resume state within an epoch; one is saved at each epoch's end anyway."""
    sample_epochs: int = Field(5, ge=0)
    """Epochs between sheets of sample predictions; 0 for none."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Under torchrun: whole copies of the network (ddp), or its weights spread over the processes (fsdp)."""
    sync_batchnorm: bool = True
    """Under torchrun: batch norm over the pictures of all processes."""
    sync_loss: bool = True
    """Under torchrun: the loss over the pictures of all processes together, else the mean of each one's own."""


class Config(Section):
    """The whole experiment."""

    model: ModelConfig = Field(default_factory=ModelConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    loss: list[LossTerm] = Field(default_factory=lambda: [LossTerm(name="ce"), LossTerm(name="dice")])
    optim: OptimConfig = Field(default_factory=OptimConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    teacher: str | None = None
    """A model whose answers are learned from too: `loss` gains a kl term with weight 1 unless it has one.

    With `data.unlabelled` it may also be `ema`, the run's own averaged weights, as when it is left out, or a folder of
    answers stored by ``lanecli predict --save probabilities``."""
    stages: list[dict[str, Any]] = Field(default_factory=list)
    """Trained one after the other, each from the last one's weights: the keys in which each differs from the rest."""
    _stages: tuple[Config, ...] = PrivateAttr(())

    @field_validator(*NAMED_SECTIONS, mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """``schedule: poly`` is ``schedule: {name: poly}``."""
        return {"name": value} if isinstance(value, str) else value

    @field_validator("loss", mode="before")
    @classmethod
    def _sum_of_names(cls, value: Any) -> Any:
        """``ce+dice`` is the sum of both with weight 1."""
        if isinstance(value, str):
            return [{"name": part.strip()} for part in value.split("+")]
        return [{"name": v} if isinstance(v, str) else v for v in value] if isinstance(value, list) else value

    def model_post_init(self, _context: Any) -> None:
        """Read the stages. Raises InputError, which names the stage."""
        self._stages = _read_stages(self) if self.stages else ()

    @property
    def each_stage(self) -> tuple[Config, ...]:
        """A whole configuration for each stage of training; this one where it names no stages."""
        return self._stages or (self,)

    def changed(self, tree: dict[str, Any]) -> Config:
        """This configuration with the keys of `tree` put over it, sections merged key by key.

        ``config.changed({"train": {"seed": 3}})`` differs in the seed alone.
        """
        try:
            return Config.model_validate(_merged(self.model_dump(mode="json"), tree))
        except ValidationError as error:
            raise InputError(_explain(error, "configuration")) from error

    def to_yaml(self) -> str:
        """The resolved configuration as YAML; :func:`load_config` reads it back equal."""
        tree = self.model_dump(mode="json")
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        # PyYAML takes some control characters for line breaks when it reads them bare: those it must escape
        return text if yaml.safe_load(text) == tree else yaml.safe_dump(tree, sort_keys=False)


_FIXED = ("model", "teacher")
_FIXED_TRAIN = (
    "precision",
    "ema",
    "seed",
    "compile",
    "checkpoint_gradients",
    "parallel",
    "sync_batchnorm",
    "sync_loss",
)


def _read_stages(config: Config) -> tuple[Config, ...]:
    """A whole configuration for each of the stages.

    Raises InputError naming the stage: an unknown key or bad value, or a key no stage can change.
    """
    base = config.model_dump(mode="json", exclude={"stages"})
    stages = []
    for number, own in enumerate(config.stages, start=1):
        if own.get("stages"):
            raise InputError(f"stage {number}: a stage has no stages of its own")
        try:
            stage = Config.model_validate(_merged(base, expanded(own)))
        except ValidationError as error:
            raise InputError(_explain(error, f"stage {number}")) from error
        for key in (*_FIXED, *(f"train.{name}" for name in _FIXED_TRAIN)):
            section, _, name = key.rpartition(".")
            before, after = (getattr(c, section) if section else c for c in (config, stage))
            if getattr(before, name) != getattr(after, name):
                raise InputError(f"stage {number}: {key} is one for the whole run")
        stages.append(stage)
    return tuple(stages)


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `own`, sections merged key by key; other values, lists too, are replaced."""
    merged = dict(base)
    for key, value in own.items():
        section = isinstance(value, dict) and isinstance(base.get(key), dict) and key != "args"
        merged[key] = _merged(base[key], value) if section else value
    return merged


def load_config(
    path: Path | None = None, overrides: list[str] | None = None, tree: dict[str, Any] | None = None
) -> Config:
    """Configuration from a YAML file (or a tree already read) and ``dotted.key=value`` overrides (values are YAML).

    An override beats the file, its stages too; a later one beats one before it.

    Raises InputError naming the file, the key, and the nearest known key for an unknown one.
    """
    tree = copy.deepcopy(tree) if tree is not None else _read_yaml(path) if path else {}
    for override in overrides or []:
        put(tree, override)
    where = str(path) if path else "configuration"
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        typed = path is not None and _typed(error, overrides or [])
        raise InputError(_explain(error, "on the line" if typed else where)) from error
    except InputError as error:  # of a stage
        raise InputError(f"{where}, {error}") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"no such configuration file: {path}")
    tree = read_yaml(path, Loader)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError(f"{path}: a configuration is a mapping of keys, this holds a {type(tree).__name__}")
    return tree


def _typed(error: ValidationError, overrides: list[str]) -> bool:
    """Whether the first fault is one of the line's."""
    place = ".".join(map(str, error.errors()[0]["loc"]))
    return any(f"{place}.".startswith(f"{word.partition('=')[0].strip()}.") for word in overrides)


def _explain(error: ValidationError, where: str) -> str:
    """The first fault in one line; pydantic's own text spans several and names no neighbour."""
    fault = error.errors()[0]
    place = " ".join(".".join(str(p) for p in fault["loc"]).split())
    if fault["type"] == "extra_forbidden":
        hint = f" (did you mean '{key}'?)" if (key := meant(place)) else did_you_mean(place, known_keys())
        return f"{where}: unknown key '{place}'{hint}"
    return f"{where}: {place}: {fault['msg'].removeprefix('Value error, ')}, got {reprlib.repr(fault.get('input'))}"


def known_keys(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted key of the configuration."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, Section):
                keys += known_keys(inner, f"{prefix}{name}.")
    return keys
