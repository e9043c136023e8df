"""Reading the variants of a sweep from its file.

A sweep file is YAML with ``base`` (a configuration) and with ``variants`` (names with lists of ``key=value``
overrides), ``grid`` (keys with lists of values; every combination is a variant), or both, which are then combined.
``seeds: 3`` trains each variant with three seeds. ``sets``, a list of ``{root: DIR, split: NAME}``, has further
datasets that the trained models are scored on.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lanecli.config import Config, load_config
from lanecli.data.manifest import safe_relative
from lanecli.errors import InputError, did_you_mean
from lanecli.overrides import Loader
from lanecli.textfiles import read_yaml
from lanecli.training.pictures import Pictures

_LONGEST = 120  # characters of the name of a variant, which is also the name of a folder


class SetEntry(BaseModel):
    """A set that the trained models are scored on."""

    model_config = ConfigDict(extra="forbid")

    root: str
    split: str = "val"


class SweepFile(BaseModel):
    """A sweep file."""

    model_config = ConfigDict(extra="forbid")

    base: dict[str, Any] = Field(default_factory=dict)
    variants: dict[str, list[str]] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    seeds: int | list[int] = 1
    """The number of seeds, starting with that of the configuration, or a list of seeds."""
    speeds: bool = True
    """Whether to time the networks, one after the other, once all are trained."""
    sets: list[SetEntry] = Field(default_factory=list)
    """What the trained models are scored on besides their validation set."""


@dataclass(frozen=True)
class Variant:
    """A variant of a sweep.

    Attributes:
        name: the name of its row and its folder.
        configs: its configurations, one for each seed.
    """

    name: str
    configs: tuple[Config, ...]


@dataclass(frozen=True)
class Sweep:
    """The content of a sweep file.

    Attributes:
        variants: the variants by name, in the order of the file.
        speeds: whether the networks are timed.
        sets: what the trained models are scored on besides their validation set, each on its own.
    """

    variants: dict[str, Variant]
    speeds: bool = True
    sets: tuple[Pictures, ...] = ()


def read_sweep(path: Path, overrides: list[str]) -> Sweep:
    """Read a sweep file.

    Args:
        path: the sweep file.
        overrides: ``key=value`` for all variants. They take precedence over the base in the file, and the overrides of
            a variant take precedence over them.

    Raises:
        InputError: the file or a variant is not readable; the message names the variant.
    """
    return sweep_of(read_yaml(path, Loader) if path.is_file() else None, path, overrides)


def sweep_of(tree: Any, path: Path, overrides: list[str]) -> Sweep:
    """Build the sweep that a file, or a part of a file, describes.

    Args:
        tree: the content from YAML; None if there is no file.
        path: the file, for messages.
        overrides: as for :func:`read_sweep`.

    Raises:
        InputError: the content is not a sweep, or a variant is not readable; the message names the variant.
    """
    file = _checked(tree, path)
    if not file.variants and not file.grid:
        raise InputError(f"{path}: there is nothing to compare: the file has neither 'variants' nor 'grid'")
    variants: dict[str, Variant] = {}
    for name, own in _combined(file, path):
        check_name(name, path)
        if name.casefold() in (known.casefold() for known in variants):
            raise InputError(f"{path}: two variants have the name '{name}'")
        try:
            config = load_config(tree=file.base, overrides=[*overrides, *own])
            variants[name] = Variant(name, tuple(_with_seeds(config, file.seeds)))
        except InputError as error:
            raise InputError(f"{path}, variant '{name}': {error}") from error
    return Sweep(variants, file.speeds, _sets(file, path))


def _checked(tree: Any, path: Path) -> SweepFile:
    if tree is None:
        raise InputError(f"no such sweep file: {path}" if not path.is_file() else f"{path}: the file is empty")
    try:
        return SweepFile.model_validate(tree)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        hint = did_you_mean(key, SweepFile.model_fields) if fault["type"] == "extra_forbidden" else ""
        raise InputError(f"{path}: {key}: {fault['msg']}{hint}") from error


def _sets(file: SweepFile, path: Path) -> tuple[Pictures, ...]:
    sets = tuple(Pictures(Path(each.root), each.split) for each in file.sets)
    if len({each.name for each in sets}) < len(sets):
        raise InputError(f"{path}: sets: each set needs a folder name of its own")
    for each in sets:
        each.samples()  # reports what is missing before anything is trained
    return sets


def _combined(file: SweepFile, path: Path) -> list[tuple[str, list[str]]]:
    """Return the name and the overrides of each variant."""
    axes: list[list[tuple[str, list[str]]]] = []
    if file.variants:
        axes.append(list(file.variants.items()))
    for key, values in file.grid.items():
        if not values:
            raise InputError(f"{path}: grid.{key} has no value")
        axes.append([(_value_name(key, value), [f"{key}={json.dumps(value, ensure_ascii=False)}"]) for value in values])
    return [
        (", ".join(name for name, _ in parts), [word for _, own in parts for word in own])
        for parts in itertools.product(*axes)
    ]


def _value_name(key: str, value: Any) -> str:
    """Name a value of the grid for the name of a variant: ``unet``, ``lr=0.01``, ``ce+dice``."""
    if isinstance(value, list) and key == "loss":
        value = "+".join(str(term.get("name")) if isinstance(term, dict) else str(term) for term in value)
    text = value if isinstance(value, str) else f"{key.rpartition('.')[2]}={json.dumps(value, ensure_ascii=False)}"
    return re.sub(r"[^\w.+=-]+", "_", text).strip("_")


def check_name(name: str, path: Path, what: str = "the folder of a variant") -> None:
    """Raise InputError unless `name`, which stands in the file `path`, can be the name of `what`."""
    try:
        parts = safe_relative(name).parts
    except ValueError:
        parts = ()
    if len(parts) != 1 or name != parts[0] or name.startswith("-") or len(name) > _LONGEST:
        raise InputError(f"{path}: '{name[:_LONGEST]}' cannot be the name of {what}")


def _with_seeds(config: Config, seeds: int | list[int]) -> list[Config]:
    first = config.train.seed
    numbers = list(range(first, first + seeds)) if isinstance(seeds, int) else list(dict.fromkeys(seeds))
    if not numbers:
        raise InputError("seeds must be a number from 1, or a list of seeds")
    return [config if number == first else config.changed({"train": {"seed": number}}) for number in numbers]
