"""The Registry class, of which models, losses, optimisers, schedules, formats, backends and label maps have instances.

Example:
    >>> corners: Registry[int] = Registry("shape")
    >>> corners.add("square", 4, aliases=("quad",), summary="four equal sides")
    >>> corners.canonical("QUAD"), corners.get("square")
    ('square', 4)
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

from lanecli.errors import InputError, did_you_mean

T = TypeVar("T")
_NO_FACTS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Entry(Generic[T]):
    """An entry of a registry.

    Attributes:
        name: its canonical name.
        target: the registered object, or the path from which it is imported.
        summary: what it is, in a line.
        aliases: further names.
        facts: facts about it, such as the paper and its year.
    """

    name: str
    target: T | str
    summary: str = ""
    aliases: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=lambda: _NO_FACTS)


class Registry(Generic[T]):
    """Objects of one kind by name.

    A target is the object itself, or ``"package.module:attribute"``, which is imported when it is first used, so that
    listing names needs no heavy import. Names are case-insensitive, and ``-`` equals ``_``.
    """

    def __init__(self, kind: str) -> None:
        """Create an empty registry.

        Args:
            kind: what is registered, in the singular, for error messages.
        """
        self.kind = kind
        self._entries: dict[str, Entry[T]] = {}
        self._names: dict[str, str] = {}

    @staticmethod
    def _key(name: str) -> str:
        return name.strip().lower().replace("-", "_")

    def add(
        self, name: str, target: T | str, *, summary: str = "", aliases: tuple[str, ...] = (), **facts: Any
    ) -> None:
        """Register `target` under `name`. Raises ValueError if the name or an alias is taken."""
        for alias in (name, *aliases):
            if self._key(alias) in self._names:
                raise ValueError(f"{self.kind} '{alias}' is already registered")
        self._entries[name] = Entry(name, target, summary, aliases, MappingProxyType(facts))
        for alias in (name, *aliases):
            self._names[self._key(alias)] = name

    def register(
        self, name: str, *, summary: str = "", aliases: tuple[str, ...] = (), **facts: Any
    ) -> Callable[[T], T]:
        """Return a decorator that does the same as :meth:`add`."""

        def decorate(target: T) -> T:
            self.add(name, target, summary=summary, aliases=aliases, **facts)
            return target

        return decorate

    def canonical(self, name: str) -> str:
        """Return the registered name for a name or an alias. Raises InputError, which names the nearest one."""
        key = self._key(name)
        if key not in self._names:
            hint = did_you_mean(key, self._names) or f"; there are: {', '.join(self._entries)}"
            raise InputError(f"unknown {self.kind} '{name}'{hint}")
        return self._names[key]

    def entry(self, name: str) -> Entry[T]:
        """Return the entry for a name or an alias. Raises InputError, which names the nearest one."""
        return self._entries[self.canonical(name)]

    def get(self, name: str) -> T:
        """Return the object for a name or an alias, which is imported now if it was registered by path."""
        target = self.entry(name).target
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            return cast(T, getattr(importlib.import_module(module), attribute))
        return target

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._key(name) in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
