"""What a shell may complete: ready configurations, keys and their values, formats, shipped models, choices."""

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
"""Keys whose values are names of a registry."""


def among(names: Iterable[str]) -> Callable[[str], list[str]]:
    """A completion that offers `names`."""
    choices = tuple(names)

    def complete(incomplete: str) -> list[str]:
        return [name for name in choices if name.startswith(incomplete)]

    return complete


def listed(names: Iterable[str]) -> Callable[[str], list[str]]:
    """A completion of names separated by commas: ``overlay,ma`` becomes ``overlay,masks``."""
    choices = tuple(names)

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        taken = before.split(",")
        return [f"{before}{comma}{name}" for name in choices if name.startswith(last) and name not in taken]

    return complete


def models(incomplete: str) -> list[str]:
    """Names of shipped models; where none fits, the shell offers files."""
    from lanecli.shipped import shipped_models

    return among(shipped_models())(incomplete)


def formats(incomplete: str) -> list[str]:
    """Layouts that `prepare` reads, and the word that takes frames out of a video."""
    from lanecli.data.formats import FORMATS

    return among([*FORMATS, "frames"])(incomplete)


def label_maps(incomplete: str) -> list[str]:
    """Named label maps."""
    from lanecli.labelmaps import LABEL_MAPS

    return among(LABEL_MAPS)(incomplete)


def training(ctx: Any, incomplete: str) -> list[str]:
    """A ready configuration, then keys and values, of ``lanecli train``."""
    return _words(_typed(ctx, "config"), incomplete, "")


def sweeping(ctx: Any, incomplete: str) -> list[str]:
    """A ready sweep file, then keys and values, of ``lanecli sweep``."""
    return _words(_typed(ctx, "config"), incomplete, "sweeps")


def shown(incomplete: str) -> list[str]:
    """What ``lanecli show`` shows: shipped models and ready configurations."""
    return [*models(incomplete), *_configs(incomplete, ""), *_configs(incomplete, "sweeps")]


def overriding(ctx: Any, incomplete: str) -> list[str]:
    """Keys and values after the configuration of ``lanecli show``."""
    return _settings(_typed(ctx, "overrides"), incomplete)


def _typed(ctx: Any, name: str) -> Sequence[str]:
    return ctx.params.get(name) or []


def _words(typed: Sequence[str], incomplete: str, kind: str) -> list[str]:
    named = [] if typed else _configs(incomplete, kind)
    return [*named, *_settings(typed, incomplete)]


def _configs(incomplete: str, kind: str) -> list[str]:
    from lanecli.shipped import ready_configs

    return among(path.stem for path in ready_configs(kind))(incomplete)


def _settings(typed: Sequence[str], incomplete: str) -> list[str]:
    """``KEY=`` for every key that begins so; after it the values it can have.

    bash takes ``=`` for a word of its own: ``model.name=un`` comes as ``model.name``, ``=`` and ``un``, and a last
    ``=`` comes as nothing.
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
    """Words a key can be set to; none where it is no choice."""
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
