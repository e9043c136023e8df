"""What official programs keep silent about, counted, with an example each."""

from __future__ import annotations


class Warnings:
    """Kinds of oddities: how often each was met, and where first."""

    def __init__(self) -> None:
        """Start with none."""
        self.found: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, where: str, times: int = 1) -> None:
        """Count an oddity. `kind` is a noun in the plural and, in brackets, what it does to the score."""
        count, first = self.found.get(kind, (0, where))
        self.found[kind] = count + times, first

    def merge(self, other: Warnings) -> None:
        """Add those of another part of the set."""
        for kind, (count, first) in other.found.items():
            self.add(kind, first, count)

    def lines(self) -> list[str]:
        """A sentence for each kind."""
        return [f"{kind}: {count}, the first is {first}" for kind, (count, first) in self.found.items()]
