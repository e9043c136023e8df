"""Shows the progress of training."""

from __future__ import annotations

import bisect
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lanecli.cli.output import NARROW, progress_bar, say_above

if TYPE_CHECKING:
    from lanecli.training.loop import Run

SCORES = {"miou_foreground": "foreground IoU", "miou": "mIoU", "dice": "foreground Dice"}
"""Scores by which the best epoch is chosen, with the names that are shown."""


def progress_columns() -> tuple[Any, ...]:
    """Return the columns of the training bar besides those of `progress_bar`."""
    from rich.progress import TextColumn

    return (TextColumn("{task.fields[state]}", markup=False),)


@contextlib.contextmanager
def watched_trainings() -> Iterator[Callable[[str, Run], TerminalWatcher]]:
    """Context for the trainings of a study; yields what makes a watcher. Ctrl-C says that the command continues."""
    from lanecli.interruption import Interrupted

    with progress_bar(*progress_columns()) as bar:

        def watch(_name: str, run: Run) -> TerminalWatcher:
            for task in bar.task_ids:
                bar.remove_task(task)
            return TerminalWatcher(bar, run)

        try:
            yield watch
        except KeyboardInterrupt as error:
            raise Interrupted("the same command continues") from error


class TerminalWatcher:
    """Shows progress on stderr: a bar if it is a terminal, and a line for each epoch.

    Args:
        bar: from `progress_bar` with `progress_columns`.
        run: the run to watch.
    """

    def __init__(self, bar: Any, run: Run) -> None:
        self.bar, self.run, self.started = bar, run, time.perf_counter()
        self.ends = run.epoch_ends
        self.task: Any = None
        self.loss = self.speed = 0.0
        self.score = self.validated = ""
        self.narrow = bar.console.is_terminal and bar.console.width < NARROW
        if run.best is not None:
            self._remember_best()

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """Show the step, with loss and speed averaged over recent steps."""
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
        """Print a line for an epoch."""
        from lanecli.training.unlearnt import all_at_zero

        score, mean, loss = (row.get(f"val/{key}") for key in ("miou_foreground", "miou", "loss"))
        # a dataset without a pixel of any class has no score
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
            self._say("  no pixel of any foreground class was found: the IoU of each is 0")

    def warn(self, line: str) -> None:
        """Print a warning."""
        self._say(f"warning: {line}")

    def _remember_best(self) -> None:
        if self.run.best is not None:
            score = self.run.stage.config.train.best
            name = "" if self.narrow else f"{SCORES.get(score, score)} "
            self.score = f"  best {name}{self.run.best:.4f}"

    def _say(self, line: str) -> None:
        say_above(self.bar, line)
