"""The configuration of an experiment: YAML plus ``dotted.key=value`` overrides. Errors name the nearest known key.

Example:
    >>> config = load_config(overrides=["model=erfnet", "optim.lr=0.01", "train.epochs=3"])
    >>> config.model.name, config.optim.lr, config.train.epochs
    ('erfnet', 0.01, 3)
"""

from __future__ import annotations

import copy
import reprlib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, PrivateAttr, ValidationError, field_validator

from lanecli.errors import InputError, did_you_mean
from lanecli.overrides import NAMED_SECTIONS, Loader, apply_override, expanded, key_for
from lanecli.sections import (
    DataConfig,
    LossTerm,
    ModelConfig,
    OptimConfig,
    ScheduleConfig,
    Section,
    TrainConfig,
)
from lanecli.textfiles import read_yaml


class Config(Section):
    """The configuration of a whole experiment.

    Example:
        >>> Config().changed({"train": {"seed": 3}}).train.seed
        3
    """

    model: ModelConfig = Field(default_factory=ModelConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    loss: list[LossTerm] = Field(default_factory=lambda: [LossTerm(name="ce"), LossTerm(name="dice")])
    optim: OptimConfig = Field(default_factory=OptimConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    teacher: str | None = None
    """A model from whose predictions training learns, too: `loss` gets a kl term with weight 1 unless it has one.

    With `data.unlabelled` it may also be `ema`, the averaged weights of the run (which is the default there), or a
    folder
    of predictions that ``lanecli predict --save probabilities`` has stored."""
    stages: list[dict[str, Any]] = Field(default_factory=list)
    """Stages that are trained one after the other, each with the weights of the last: the keys in which they differ."""
    _stages: tuple[Config, ...] = PrivateAttr(())

    @field_validator(*NAMED_SECTIONS, mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """``schedule: poly`` means ``schedule: {name: poly}``."""
        return {"name": value} if isinstance(value, str) else value

    @field_validator("loss", mode="before")
    @classmethod
    def _sum_of_names(cls, value: Any) -> Any:
        """``ce+dice`` means the sum of both losses, each with weight 1."""
        if isinstance(value, str):
            return [{"name": part.strip()} for part in value.split("+")]
        return [{"name": v} if isinstance(v, str) else v for v in value] if isinstance(value, list) else value

    def model_post_init(self, _context: Any) -> None:
        """Read the stages. Raises InputError, whose message names the stage."""
        self._stages = _read_stages(self) if self.stages else ()

    @property
    def each_stage(self) -> tuple[Config, ...]:
        """A whole configuration for each stage of training, or this one if it has no stages."""
        return self._stages or (self,)

    def changed(self, tree: dict[str, Any]) -> Config:
        """Return a copy with the values in `tree`; sections are merged key by key.

        Raises:
            InputError: a key is unknown, or a value is bad.
        """
        try:
            return Config.model_validate(_merged(self.model_dump(mode="json"), tree))
        except ValidationError as error:
            raise InputError(_explain(error, "configuration")) from error

    def to_yaml(self) -> str:
        """Return the resolved configuration as YAML, from which :func:`load_config` reads an equal one."""
        tree = self.model_dump(mode="json")
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        # PyYAML reads some unescaped control characters as line breaks: then it must escape them
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
    """Return a whole configuration for each stage.

    Raises:
        InputError: a key is unknown, a value is bad, or a stage cannot change the key; the message names the stage.
    """
    base = config.model_dump(mode="json", exclude={"stages"})
    stages = []
    for number, own in enumerate(config.stages, start=1):
        if own.get("stages"):
            raise InputError(f"stage {number}: a stage cannot have stages of its own")
        try:
            stage = Config.model_validate(_merged(base, expanded(own)))
        except ValidationError as error:
            raise InputError(_explain(error, f"stage {number}")) from error
        for key in (*_FIXED, *(f"train.{name}" for name in _FIXED_TRAIN)):
            section, _, name = key.rpartition(".")
            before, after = (getattr(c, section) if section else c for c in (config, stage))
            if getattr(before, name) != getattr(after, name):
                raise InputError(f"stage {number}: {key} must be the same for the whole run")
        stages.append(stage)
    return tuple(stages)


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Merge `own` into `base`: sections key by key; other values, including lists and `args`, are replaced."""
    merged = dict(base)
    for key, value in own.items():
        section = isinstance(value, dict) and isinstance(base.get(key), dict) and key != "args"
        merged[key] = _merged(base[key], value) if section else value
    return merged


def load_config(
    path: Path | None = None, overrides: list[str] | None = None, tree: dict[str, Any] | None = None
) -> Config:
    """Load a configuration.

    Args:
        path: a YAML file; None takes the defaults.
        overrides: ``dotted.key=value``, with values in YAML. They take precedence over the file, including its stages;
            a later override takes precedence over an earlier one.
        tree: the content of a file that has been read already, in place of `path`.

    Raises:
        InputError: a key is unknown or a value is bad. The message names the file and the key, and for an unknown key
            the nearest known one.
    """
    tree = copy.deepcopy(tree) if tree is not None else _read_yaml(path) if path else {}
    for override in overrides or []:
        apply_override(tree, override)
    where = str(path) if path else "configuration"
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        from_override = path is not None and _is_from_override(error, overrides or [])
        raise InputError(_explain(error, "on the command line" if from_override else where)) from error
    except InputError as error:  # from a stage
        raise InputError(f"{where}, {error}") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"no such configuration file: {path}")
    tree = read_yaml(path, Loader)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError(f"{path}: a configuration must be a mapping of keys, but this is a {type(tree).__name__}")
    return tree


def _is_from_override(error: ValidationError, overrides: list[str]) -> bool:
    """Whether an override caused the first error."""
    key = ".".join(map(str, error.errors()[0]["loc"]))
    return any(f"{key}.".startswith(f"{override.partition('=')[0].strip()}.") for override in overrides)


def _explain(error: ValidationError, where: str) -> str:
    """Explain the first error in one line; pydantic's own text has several and does not name the nearest key."""
    first = error.errors()[0]
    key = " ".join(".".join(str(p) for p in first["loc"]).split())
    if first["type"] == "extra_forbidden":
        hint = f" (did you mean '{known}'?)" if (known := key_for(key)) else did_you_mean(key, known_keys())
        return f"{where}: unknown key '{key}'{hint}"
    return f"{where}: {key}: {first['msg'].removeprefix('Value error, ')}, got {reprlib.repr(first.get('input'))}"


def known_keys(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """List every dotted key of the configuration."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, Section):
                keys += known_keys(inner, f"{prefix}{name}.")
    return keys
