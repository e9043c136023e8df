"""Shell completion of shipped configurations, keys and their values, formats, shipped models and choices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args, get_origin

_REGISTRIES = {
    "model.name": "lanecli.models.registry:MODELS",
    "model": "lanecli.models.registry:MODELS",
    "loss": "lanecli.losses:LOSSES",
    "optim.name": "lanecli.training.optim:OPTIMISERS",
    "optim": "lanecli.training.optim:OPTIMISERS",
    "schedule.name": "lanecli.training.optim:SCHEDULES",
    "schedule": "lanecli.training.optim:SCHEDULES",
}
"""Keys whose values are names in a registry."""


def among(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a completion that offers `names`."""
    choices = tuple(names)

    def complete(incomplete: str) -> list[str]:
        return [name for name in choices if name.startswith(incomplete)]

    return complete


def listed(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a completion of names separated by commas.

    Example:
        >>> complete_list = listed(["overlay", "masks", "lanes"])
        >>> complete_list("overlay,ma")
        ['overlay,masks']
    """
    choices = tuple(names)

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        taken = before.split(",")
        return [f"{before}{comma}{name}" for name in choices if name.startswith(last) and name not in taken]

    return complete


def models(incomplete: str) -> list[str]:
    """Complete names of shipped models; if none fits, the shell offers files."""
    from lanecli.shipped import shipped_models

    return among(shipped_models())(incomplete)


def formats(incomplete: str) -> list[str]:
    """Complete the formats that `prepare` reads, and ``frames``."""
    from lanecli.data.formats import FORMATS

    return among([*FORMATS, "frames"])(incomplete)


def label_maps(incomplete: str) -> list[str]:
    """Complete named label maps."""
    from lanecli.labelmaps import LABEL_MAPS

    return among(LABEL_MAPS)(incomplete)


def training(ctx: Any, incomplete: str) -> list[str]:
    """Complete the configuration, then keys and values, of ``lanecli train``."""
    return _words(_typed(ctx, "config"), incomplete, "")


def sweeping(ctx: Any, incomplete: str) -> list[str]:
    """Complete the sweep file, then keys and values, of ``lanecli sweep``."""
    return _words(_typed(ctx, "config"), incomplete, "sweeps")


def shown(incomplete: str) -> list[str]:
    """Complete what ``lanecli show`` takes: shipped models and configurations."""
    return [*models(incomplete), *_configs(incomplete, ""), *_configs(incomplete, "sweeps")]


def overriding(ctx: Any, incomplete: str) -> list[str]:
    """Complete keys and values of ``lanecli show CONFIG``."""
    return _settings(_typed(ctx, "overrides"), incomplete)


def _typed(ctx: Any, name: str) -> Sequence[str]:
    return ctx.params.get(name) or []


def _words(typed: Sequence[str], incomplete: str, kind: str) -> list[str]:
    config_names = [] if typed else _configs(incomplete, kind)
    return [*config_names, *_settings(typed, incomplete)]


def _configs(incomplete: str, kind: str) -> list[str]:
    from lanecli.shipped import ready_configs

    return among(path.stem for path in ready_configs(kind))(incomplete)


def _settings(typed: Sequence[str], incomplete: str) -> list[str]:
    """Complete the key of ``KEY=VALUE``, then its value.

    bash treats ``=`` as a word: ``model.name=un`` arrives as ``model.name``, ``=`` and ``un``, and a final ``=`` as an
    empty word.
    """
    if not incomplete and typed and (values := _values(typed[-1])):
        return values
    if len(typed) > 1 and typed[-1] == "=":
        return among(_values(typed[-2]))(incomplete)
    key, equals, value = incomplete.partition("=")
    if equals:
        return [f"{key}={each}" for each in among(_values(key))(value)]
    from lanecli.config import known_keys

    return among(f"{each}=" for each in known_keys())(incomplete)


def _values(key: str) -> list[str]:
    """Return the values that a key can have, or none if it does not take one of several words."""
    if target := _REGISTRIES.get(key):
        from importlib import import_module

        module, _, attribute = target.partition(":")
        return list(getattr(import_module(module), attribute))
    from lanecli.config import Config

    section: Any = Config
    for part in key.split("."):
        field = getattr(section, "model_fields", {}).get(part)
        if field is None:
            return []
        section = field.annotation
    if section is bool:
        return ["true", "false"]
    return [str(each) for each in get_args(section)] if get_origin(section) is Literal else []
