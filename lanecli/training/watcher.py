"""The interface through which training reports its progress."""

from __future__ import annotations

from typing import Any, Protocol


class Watcher(Protocol):
    """Receives the progress of training."""

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """Called after an optimiser step; on a GPU after every tenth one."""

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        """Called after each validation, with the row of the log and whether its model is the best so far."""

    def warn(self, line: str) -> None:
        """Called with a warning, after which training continues."""


class SilentWatcher:
    """Ignores all reports, for processes other than the main one."""

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """Do nothing."""

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        """Do nothing."""

    def warn(self, line: str) -> None:
        """Do nothing."""
