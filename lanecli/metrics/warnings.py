"""Counts what official programs pass over in silence, with an example of each."""

from __future__ import annotations


class Warnings:
    """Counts oddities by kind, and remembers where each kind was met first.

    Attributes:
        kinds: count and first example of each kind.
    """

    def __init__(self) -> None:
        """Start without a warning."""
        self.kinds: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, where: str, times: int = 1) -> None:
        """Count an oddity. `kind` is a noun in the plural, followed by its effect on the score in brackets."""
        count, first = self.kinds.get(kind, (0, where))
        self.kinds[kind] = count + times, first

    def merge(self, other: Warnings) -> None:
        """Add the oddities of another part of the set."""
        for kind, (count, first) in other.kinds.items():
            self.add(kind, first, count)

    def lines(self) -> list[str]:
        """Return a line for each kind."""
        return [f"{kind}: {count}, the first is {first}" for kind, (count, first) in self.kinds.items()]
