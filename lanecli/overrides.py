"""Overrides on the command line, ``KEY=VALUE``, and their effect on a configuration file and its stages.

Example:
    >>> tree = {"optim": {"lr": 0.1}, "stages": [{"optim": {"lr": 0.01}}]}
    >>> apply_override(tree, "optim.lr=1e-3")
    >>> tree
    {'optim': {'lr': 0.001}, 'stages': [{'optim': {}}]}
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from lanecli.errors import InputError, did_you_mean


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader for YAML 1.1, except that ``1e-3`` is a number, as in YAML 1.2, and not a string."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)

NAMED_SECTIONS = ("model", "optim", "schedule")
"""Sections that may be set by their name alone: ``schedule=poly`` means ``schedule.name=poly``."""

SYNONYMS = {
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
"""Names that other tools use, and keys without their section, with the key that they stand for."""


def key_for(name: str) -> str | None:
    """Return the key for a name of another tool or a key without its section; None if none is known.

    Example:
        >>> key_for("batch_size")
        'train.batch'
    """
    key = SYNONYMS.get(name.rpartition(".")[2].lower().replace("-", "_"))
    return None if key == name else key


def split_words(words: Sequence[str], options: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Divide the arguments of a command into files and overrides; ``train.epochs = 3`` is one override.

    Args:
        words: the arguments as they were typed.
        options: the options of the command, for the message about an unknown one.

    Returns:
        The files, and the overrides.

    Raises:
        InputError: a word looks like an option; the message says what to type instead.

    Example:
        >>> split_words(["lane.yaml", "optim.lr", "=", "0.01"])
        (['lane.yaml'], ['optim.lr=0.01'])
    """
    joined: list[str] = []
    after_equals = False
    for index, word in enumerate(words):
        if word.startswith("-") and not after_equals:
            raise InputError(_unknown_option(word, words[index + 1 : index + 2], options))
        if joined and (after_equals or word.startswith("=")):
            joined[-1] += word
        else:
            joined.append(word)
        after_equals = word == "="
    return [w for w in joined if "=" not in w], [w for w in joined if "=" in w]


def _unknown_option(word: str, following: Sequence[str], options: Sequence[str]) -> str:
    name, _, value = word.lstrip("-").partition("=")
    value = value or next((w for w in following if not w.startswith("-")), "VALUE")
    key = key_for(name) or (name if "." in name or name in ("loss", "teacher", *NAMED_SECTIONS) else None)
    if key:
        return f"no such option: {word}; settings have the form KEY=VALUE: type {key}={value}"
    return f"no such option: {word}{did_you_mean(word, options)}"


def expanded(tree: dict[str, Any]) -> dict[str, Any]:
    """Return `tree` with ``schedule: {name: poly}`` for ``schedule: poly``, and so on for other sections."""
    return {
        key: {"name": value} if key in NAMED_SECTIONS and isinstance(value, str) else value
        for key, value in tree.items()
    }


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Apply one ``dotted.key=value`` to the tree of a configuration, and to its stages, in place.

    Raises:
        InputError: the text is not an override, or it contradicts a stage; the message names the stage and what to
            type.
    """
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise InputError(f"'{override}' does not have the form KEY=VALUE, such as train.epochs=20")
    keys, value = key.strip().split("."), _parse(text, override)
    sets_name = len(keys) == 1 and keys[0] in NAMED_SECTIONS and isinstance(value, str)
    if sets_name:  # the arguments in the file belong to another name
        keys.append("name")
    stages = tree.get("stages")
    trees = [tree]
    if isinstance(stages, list) and keys[0] != "stages":
        trees += [stage for stage in stages if isinstance(stage, dict)]
    for number, each in enumerate(trees):
        each.update(expanded(each))
        if sets_name and isinstance(each.get(keys[0]), dict):
            each[keys[0]].pop("args", None)
        if number:
            _remove_from_stage(each, keys, value, override, number)
    _set(tree, keys, value, override)


def _remove_from_stage(stage: dict[str, Any], keys: list[str], value: Any, override: str, number: int) -> None:
    """Remove the value of a stage that would take precedence over the override."""
    node = stage
    for depth, key in enumerate(keys[:-1], start=1):
        if key not in node:
            return
        inner, path = node[key], ".".join(keys[:depth])
        if not isinstance(inner, dict):
            raise InputError(f"'{override}': stage {number} has {path}={inner}; set {path}={{…}} as a whole")
        if key == "args":  # the arguments of a stage replace all others, so that the override must be among them
            _set(inner, keys[depth:], value, override)
            return
        node = inner
    node.pop(keys[-1], None)


def _parse(text: str, override: str) -> Any:
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"'{override}': the value is not valid YAML") from error


def _set(tree: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        if tree.get(key) is None:  # missing, or a heading with nothing below it
            tree[key] = {}
        node = tree[key]
        if not isinstance(node, dict):
            raise InputError(f"'{override}': '{key}' is not a section")
        tree = node
    tree[keys[-1]] = value
