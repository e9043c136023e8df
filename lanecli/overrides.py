"""What is typed on the line, ``KEY=VALUE``, put over the tree of a configuration file and over its stages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from lanecli.errors import InputError, did_you_mean


class Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but ``1e-3`` is a number as in YAML 1.2: without a point it would be a word."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)

NAMED_SECTIONS = ("model", "optim", "schedule")
"""Sections whose name may stand for them: ``schedule=poly`` is ``schedule.name=poly``."""

OTHER_WORDS = {
    "lr": "optim.lr",
    "learning_rate": "optim.lr",
    "optimizer": "optim.name",
    "optimiser": "optim.name",
    "weight_decay": "optim.weight_decay",
    "wd": "optim.weight_decay",
    "scheduler": "schedule.name",
    "lr_scheduler": "schedule.name",
    "warmup": "schedule.warmup",
    "epochs": "train.epochs",
    "num_epochs": "train.epochs",
    "max_epochs": "train.epochs",
    "batch": "train.batch",
    "batch_size": "train.batch",
    "accumulate": "train.accumulate",
    "grad_accum": "train.accumulate",
    "precision": "train.precision",
    "amp": "train.precision",
    "ema": "train.ema",
    "seed": "train.seed",
    "compile": "train.compile",
    "arch": "model.name",
    "architecture": "model.name",
    "encoder": "model.encoder",
    "backbone": "model.encoder",
    "encoder_weights": "model.encoder_weights",
    "pretrained": "model.encoder_weights",
    "weights": "model.weights",
    "dropout": "model.dropout",
    "size": "data.geometry.size",
    "image_size": "data.geometry.size",
    "img_size": "data.geometry.size",
    "imgsz": "data.geometry.size",
    "crop": "data.geometry.crop",
    "augment": "data.augment",
    "augmentation": "data.augment",
    "sampler": "data.sampler",
    "workers": "data.workers",
    "num_workers": "data.workers",
    "samples": "data.samples",
    "root": "data.root",
    "criterion": "loss",
    "loss_fn": "loss",
}
"""Words of other tools, and keys without their section, to the key that is meant."""


def meant(key: str) -> str | None:
    """The key that a word of another tool, or a key without its section, stands for; None where none is known."""
    found = OTHER_WORDS.get(key.rpartition(".")[2].lower().replace("-", "_"))
    return None if found == key else found


def split_words(words: Sequence[str], options: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Files, and overrides, among the words of a command; ``train.epochs = 3`` is one override.

    Args:
        words: as they were typed.
        options: of the command, for the answer to one it has not.

    Raises:
        InputError: a word that looks like an option; what to type in its place is named.
    """
    joined: list[str] = []
    waits = False
    for place, word in enumerate(words):
        if word.startswith("-") and not waits:
            raise InputError(_no_option(word, words[place + 1 : place + 2], options))
        if joined and (waits or word.startswith("=")):
            joined[-1] += word
        else:
            joined.append(word)
        waits = word == "="
    return [w for w in joined if "=" not in w], [w for w in joined if "=" in w]


def _no_option(word: str, following: Sequence[str], options: Sequence[str]) -> str:
    name, _, value = word.lstrip("-").partition("=")
    value = value or next((w for w in following if not w.startswith("-")), "VALUE")
    key = meant(name) or (name if "." in name or name in ("loss", "teacher", *NAMED_SECTIONS) else None)
    if key:
        return f"no such option: {word}; settings are KEY=VALUE: type {key}={value}"
    return f"no such option: {word}{did_you_mean(word, options)}"


def expanded(tree: dict[str, Any]) -> dict[str, Any]:
    """`tree` with ``schedule: poly`` written as ``schedule: {name: poly}``, and the like."""
    return {
        key: {"name": value} if key in NAMED_SECTIONS and isinstance(value, str) else value
        for key, value in tree.items()
    }


def put(tree: dict[str, Any], override: str) -> None:
    """Put one ``dotted.key=value`` over a configuration's tree, and over the stages in it that say otherwise.

    Raises InputError where it is none, or a stage leaves no place for it; the stage is named, and what to type.
    """
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise InputError(f"'{override}' is no KEY=VALUE such as train.epochs=20")
    keys, value = key.strip().split("."), _parse(text, override)
    named = len(keys) == 1 and keys[0] in NAMED_SECTIONS and isinstance(value, str)
    if named:  # the arguments in the file are another's
        keys.append("name")
    stages = tree.get("stages")
    places = [tree]
    if isinstance(stages, list) and keys[0] != "stages":
        places += [stage for stage in stages if isinstance(stage, dict)]
    for number, place in enumerate(places):
        place.update(expanded(place))
        if named and isinstance(place.get(keys[0]), dict):
            place[keys[0]].pop("args", None)
        if number:
            _give_way(place, keys, value, override, number)
    _set(tree, keys, value, override)


def _give_way(stage: dict[str, Any], keys: list[str], value: Any, override: str, number: int) -> None:
    """Take out of a stage what would beat the typed key."""
    node = stage
    for depth, key in enumerate(keys[:-1], start=1):
        if key not in node:
            return
        inner, path = node[key], ".".join(keys[:depth])
        if not isinstance(inner, dict):
            raise InputError(f"'{override}': stage {number} has {path}={inner}; type {path}={{…}} as a whole")
        if key == "args":  # a stage's arguments replace the others: the typed one has to be among them
            _set(inner, keys[depth:], value, override)
            return
        node = inner
    node.pop(keys[-1], None)


def _parse(text: str, override: str) -> Any:
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"'{override}': the value is not readable as YAML") from error


def _set(tree: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        if tree.get(key) is None:  # not there, or a heading with nothing under it
            tree[key] = {}
        node = tree[key]
        if not isinstance(node, dict):
            raise InputError(f"'{override}': '{key}' is not a section")
        tree = node
    tree[keys[-1]] = value
