"""What a sweep compares, read from its file.

A sweep file is YAML with ``base`` (a configuration), and ``variants`` (name to a list of ``key=value`` overrides) or
``grid`` (key to a list of values, of which every combination is a variant), or both, which are then combined;
``seeds: 3`` trains each variant with three seeds.
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

_LONGEST = 120  # characters of a variant's name: it is a folder's


class SweepFile(BaseModel):
    """A sweep file."""

    model_config = ConfigDict(extra="forbid")

    base: dict[str, Any] = Field(default_factory=dict)
    variants: dict[str, list[str]] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    seeds: int | list[int] = 1
    """How many seeds, from the configuration's own on, or which ones."""
    speeds: bool = True
    """Time the trained networks, one after the other, once all are trained."""


@dataclass(frozen=True)
class Variant:
    """What is compared under one name.

    Attributes:
        name: of its row and its folder.
        configs: one for each seed.
    """

    name: str
    configs: tuple[Config, ...]


@dataclass(frozen=True)
class Sweep:
    """What a sweep file says.

    Attributes:
        variants: by name, in the file's order.
        speeds: whether the networks are timed.
    """

    variants: dict[str, Variant]
    speeds: bool = True


def read_sweep(path: Path, overrides: list[str]) -> Sweep:
    """The variants of a sweep file.

    Args:
        path: of the sweep file.
        overrides: ``key=value`` for all variants; they win over the file's base, the variant's own win over them.

    Raises:
        InputError: the file or a variant is not readable; the variant is named.
    """
    return sweep_of(read_yaml(path, Loader) if path.is_file() else None, path, overrides)


def sweep_of(tree: Any, path: Path, overrides: list[str]) -> Sweep:
    """The variants of what a sweep file, or a part of another file, holds.

    Args:
        tree: as YAML gives it; None where there is no file.
        path: of the file, for messages.
        overrides: as for :func:`read_sweep`.

    Raises:
        InputError: it is no sweep, or a variant is not readable; the variant is named.
    """
    file = _checked(tree, path)
    if not file.variants and not file.grid:
        raise InputError(f"{path}: compares nothing: it names neither 'variants' nor 'grid'")
    variants: dict[str, Variant] = {}
    for name, own in _combined(file, path):
        _check_name(name, path)
        if name.casefold() in (known.casefold() for known in variants):
            raise InputError(f"{path}: two variants are called '{name}'")
        try:
            config = load_config(tree=file.base, overrides=[*overrides, *own])
            variants[name] = Variant(name, tuple(_with_seeds(config, file.seeds)))
        except InputError as error:
            raise InputError(f"{path}, variant '{name}': {error}") from error
    return Sweep(variants, file.speeds)


def _checked(tree: Any, path: Path) -> SweepFile:
    if tree is None:
        raise InputError(f"no such sweep file: {path}" if not path.is_file() else f"{path}: is empty")
    try:
        return SweepFile.model_validate(tree)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        hint = did_you_mean(place, SweepFile.model_fields) if fault["type"] == "extra_forbidden" else ""
        raise InputError(f"{path}: {place}: {fault['msg']}{hint}") from error


def _combined(file: SweepFile, path: Path) -> list[tuple[str, list[str]]]:
    """Name and overrides of each variant."""
    axes: list[list[tuple[str, list[str]]]] = []
    if file.variants:
        axes.append(list(file.variants.items()))
    for key, values in file.grid.items():
        if not values:
            raise InputError(f"{path}: grid.{key} has no value")
        axes.append([(_said(key, value), [f"{key}={json.dumps(value, ensure_ascii=False)}"]) for value in values])
    return [
        (", ".join(name for name, _ in parts), [word for _, own in parts for word in own])
        for parts in itertools.product(*axes)
    ]


def _said(key: str, value: Any) -> str:
    """A value of the grid in a variant's name: ``unet``, ``lr=0.01``, ``ce+dice``."""
    if isinstance(value, list) and key == "loss":
        value = "+".join(str(term.get("name")) if isinstance(term, dict) else str(term) for term in value)
    text = value if isinstance(value, str) else f"{key.rpartition('.')[2]}={json.dumps(value, ensure_ascii=False)}"
    return re.sub(r"[^\w.+=-]+", "_", text).strip("_")


def _check_name(name: str, path: Path) -> None:
    """Raise InputError unless `name` is one folder's below the sweep's own."""
    try:
        parts = safe_relative(name).parts
    except ValueError:
        parts = ()
    if len(parts) != 1 or name != parts[0] or name.startswith("-") or len(name) > _LONGEST:
        raise InputError(f"{path}: '{name[:_LONGEST]}' cannot be the name of a variant's folder")


def _with_seeds(config: Config, seeds: int | list[int]) -> list[Config]:
    first = config.train.seed
    numbers = list(range(first, first + seeds)) if isinstance(seeds, int) else list(dict.fromkeys(seeds))
    if not numbers:
        raise InputError("seeds is a number from 1, or a list of seeds")
    return [config if number == first else config.changed({"train": {"seed": number}}) for number in numbers]
