"""The one Registry class: models, losses, optimisers, schedules, formats, backends and label maps are instances."""

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
    """One registered thing: its canonical name, what it is in a line, and facts such as the paper and its year."""

    name: str
    target: T | str
    summary: str = ""
    aliases: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=lambda: _NO_FACTS)


class Registry(Generic[T]):
    """Names to things of one kind.

    A target is the thing itself or ``"package.module:attribute"``, imported when it is first asked for, so that a
    list of names costs no heavy import. Names are case-insensitive and ``-`` equals ``_``.
    """

    def __init__(self, kind: str) -> None:
        """Args: kind: what is registered, in the singular; it opens every error message."""
        self.kind = kind
        self._entries: dict[str, Entry[T]] = {}
        self._names: dict[str, str] = {}

    @staticmethod
    def _key(name: str) -> str:
        return name.strip().lower().replace("-", "_")

    def add(
        self, name: str, target: T | str, *, summary: str = "", aliases: tuple[str, ...] = (), **facts: Any
    ) -> None:
        """Register `target` under `name`. Raises ValueError when the name or an alias is taken."""
        for word in (name, *aliases):
            if self._key(word) in self._names:
                raise ValueError(f"{self.kind} '{word}' is already registered")
        self._entries[name] = Entry(name, target, summary, aliases, MappingProxyType(facts))
        for word in (name, *aliases):
            self._names[self._key(word)] = name

    def register(
        self, name: str, *, summary: str = "", aliases: tuple[str, ...] = (), **facts: Any
    ) -> Callable[[T], T]:
        """Decorator form of :meth:`add`."""

        def decorate(target: T) -> T:
            self.add(name, target, summary=summary, aliases=aliases, **facts)
            return target

        return decorate

    def canonical(self, name: str) -> str:
        """The registered name behind `name` or an alias. Raises InputError that names the nearest one."""
        key = self._key(name)
        if key not in self._names:
            hint = did_you_mean(key, self._names) or f"; there are: {', '.join(self._entries)}"
            raise InputError(f"unknown {self.kind} '{name}'{hint}")
        return self._names[key]

    def entry(self, name: str) -> Entry[T]:
        """The entry behind a name or alias. Raises InputError that names the nearest one."""
        return self._entries[self.canonical(name)]

    def get(self, name: str) -> T:
        """The thing behind a name or alias, imported now when it was registered by path."""
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
