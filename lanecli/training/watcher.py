"""Who is told how training goes."""

from __future__ import annotations

from typing import Any, Protocol


class Watcher(Protocol):
    """Who is told how training goes."""

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """After an optimiser step; on a GPU after every tenth."""

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        """After each validation."""

    def warn(self, line: str) -> None:
        """Something that training goes on in spite of."""


class SilentWatcher:
    """Tells nobody: for processes beside the main one."""

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """Nothing."""

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        """Nothing."""

    def warn(self, line: str) -> None:
        """Nothing."""
