"""How training is shown while it runs."""

from __future__ import annotations

import bisect
import time
from typing import TYPE_CHECKING, Any

from lanecli.cli.output import NARROW, say_above

if TYPE_CHECKING:
    from lanecli.training.loop import Run

SCORES = {"miou_foreground": "foreground IoU", "miou": "mIoU", "dice": "foreground Dice"}
"""Scores under the names people say."""


def progress_columns() -> tuple[Any, ...]:
    """What the training bar shows besides rich's own."""
    from rich.progress import TextColumn

    return (TextColumn("{task.fields[state]}", markup=False),)


class TerminalWatcher:
    """Progress on stderr: a bar on a terminal, a line per epoch anywhere."""

    def __init__(self, bar: Any, run: Run) -> None:
        """Args: bar: from `progress_bar` with `progress_columns`. run: that is watched."""
        self.bar, self.run, self.started = bar, run, time.perf_counter()
        self.ends = run.epoch_ends
        self.task: Any = None
        self.loss = self.speed = 0.0
        self.score = self.validated = ""
        self.narrow = bar.console.is_terminal and bar.console.width < NARROW
        if run.best is not None:
            self._remember_best()

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """Smooth and show."""
        first = self.task is None
        if first:
            self.task = self.bar.add_task("", total=steps, completed=step - 1, state="")
        self.loss = loss if first else 0.95 * self.loss + 0.05 * loss
        self.speed = images_per_second if first else 0.9 * self.speed + 0.1 * images_per_second
        name = f"epoch {min(bisect.bisect_left(self.ends, step) + 1, len(self.ends))}/{len(self.ends)}"
        speed = "" if self.narrow else f"  {self.speed:.1f} images/s"
        state = f"loss {self.loss:.4f}{self.validated}{self.score}{speed}"
        self.bar.update(self.task, description=name, completed=step, state=state)

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        """One line."""
        from lanecli.training.unlearnt import all_at_zero

        score, mean, loss = (row.get(f"val/{key}") for key in ("miou_foreground", "miou", "loss"))
        # a set without any pixel of a class has no score of it
        known = [
            f"  {name} {value:.4f}" for name, value in (("foreground IoU", score), ("mIoU", mean)) if value is not None
        ]
        shown, step = "".join(known[: 1 if self.narrow else 2]), "" if self.narrow else f"  step {row['step']}"
        self.validated = f" (val {loss:.4f})" if loss is not None else ""
        mark = "  best" if best and loss is not None else ""
        if best:
            self._remember_best()
        elapsed = time.perf_counter() - self.started
        self._say(
            f"epoch {row['epoch']}/{len(self.ends)}{step}  loss {row['train/loss']:.4f}{self.validated}{shown}{mark}  "
            f"{elapsed:.0f} s"
        )
        if all_at_zero(row, self.run.stage.label_map):
            self._say("  nothing of any foreground class was found: every one is at 0")

    def warn(self, line: str) -> None:
        """One line."""
        self._say(f"warning: {line}")

    def _remember_best(self) -> None:
        if self.run.best is not None:
            score = self.run.stage.config.train.best
            name = "" if self.narrow else f"{SCORES.get(score, score)} "
            self.score = f"  best {name}{self.run.best:.4f}"

    def _say(self, line: str) -> None:
        say_above(self.bar, line)
