"""The log of a run: a row per epoch, a line per event, and the curves as a picture."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

from lanecli import atomic
from lanecli.errors import InputError


class RunLog:
    """The log files of a run folder. Times and speeds are in log.jsonl only, so that metrics.csv is reproducible."""

    def __init__(self, folder: Path, resumed: tuple[int, int] | None = None, *, writes: bool = True) -> None:
        """Open the log.

        Args:
            folder: the folder of the run.
            resumed: the step and the number of finished epochs of the resumed state, after which the log is cut off;
                None starts a new log.
            writes: whether this process writes files; among several processes one does.
        """
        self.metrics_path, self.events_path = folder / "metrics.csv", folder / "log.jsonl"
        self.rows: list[dict[str, Any]] = []
        self._writes = writes
        self._board: Any = None
        if writes:
            from tensorboardX import SummaryWriter

            purge = resumed[0] + 1 if resumed else None  # TensorBoard drops what was logged after the state
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=purge)
        if resumed is None:
            return
        step, epoch = resumed
        if self.metrics_path.is_file():
            self.rows = [row for row in _read_rows(self.metrics_path) if int(row["epoch"]) <= epoch]
            if writes:
                self._write_rows()
        if writes and self.events_path.is_file():
            kept = [line for line in _read_lines(self.events_path) if _step_of(line) <= step]
            atomic.write(self.events_path, "".join(line + "\n" for line in kept))

    def epoch(self, row: dict[str, Any]) -> None:
        """Add the row of an epoch, which holds `epoch` and `step`."""
        self.rows.append({k: "" if v is None else v for k, v in row.items()})
        if self._writes:
            self._write_rows()
            self._scalars(row["step"], {k: v for k, v in row.items() if k not in ("epoch", "step")})
            self._board.flush()

    def event(self, **values: Any) -> None:
        """Append one line to log.jsonl; the numbers of a step also go to TensorBoard."""
        if not self._writes:
            return
        if values.get("event") == "step":
            self._scalars(values["step"], {f"step/{k}": v for k, v in values.items() if k not in ("event", "step")})
        with self.events_path.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def close(self) -> None:
        """Finish the file for TensorBoard."""
        if self._board is not None:
            self._board.close()

    def _scalars(self, step: int, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._board.add_scalar(name, value, step)

    def _write_rows(self) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with atomic.file(self.metrics_path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, names or ["epoch", "step"])
            writer.writeheader()
            writer.writerows(self.rows)


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of metrics.csv. Raises InputError if a line is damaged."""
    number = 1
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = []
            for row in csv.DictReader(file):
                number += 1
                int(row["epoch"]), int(row["step"])
                if None in row or None in row.values():
                    raise ValueError("wrong number of columns")
                rows.append(row)
        return rows
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise InputError(
            f"{path} line {number}: damaged ({' '.join(str(error).split())[:80]}); restore a copy of the file, or "
            "move it away to continue without the earlier epochs"
        ) from error


def _read_lines(path: Path) -> list[str]:
    """Read the lines of log.jsonl. Raises InputError for a damaged one, except the last, which may be incomplete."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: damaged (byte {error.start} is not UTF-8): move it away to continue without it"
        ) from error
    for number, line in enumerate(lines[:-1], start=1):
        if math.isinf(_step_of(line)):
            raise InputError(
                f"{path} line {number}: damaged, not an event of a run: delete the line, or move the file away"
            )
    return lines


def _step_of(line: str) -> float:
    """Return the step of a line of log.jsonl; infinity for a line that is incomplete."""
    try:
        return float(json.loads(line).get("step", 0))
    except (ValueError, AttributeError, TypeError):
        return math.inf


# nearly all pixels are background: these scores stay near one in any case, and would compress the other curves
_FLAT = ("val/pixel_accuracy", "val/iou/background", "val/miou")
_MOST_CURVES = 40  # the curves of more classes cannot be told apart


def _panels(names: list[str]) -> list[tuple[str, list[str]]]:
    """Return the title and the curves of each panel; the classes have a panel of their own."""
    iou = [name for name in names if name.startswith("val/iou/") and name not in _FLAT]
    pooled = [n for n in names if n.startswith("val/") and n != "val/loss" and n not in (*_FLAT, *iou)]
    losses = [n for n in names if n.startswith("train/")] + [n for n in names if n == "val/loss"]
    panels = [("loss", losses), ("score", pooled)]
    if 0 < len(iou) <= _MOST_CURVES:
        panels.append(("IoU by class", iou))
    return [*panels, ("learning rate", ["lr"])]


def draw_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw losses, scores, IoU by class and learning rate over the epochs, as a PNG file."""
    from cycler import cycler
    from matplotlib import color_sequences
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    panels = _panels(list(dict.fromkeys(name for row in rows for name in row)))
    figure = Figure(figsize=(4.6 * len(panels), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [int(row["epoch"]) for row in rows]
    for axis, (title, names) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axis.set_prop_cycle(
            cycler(linestyle=["-", "--"]) * cycler(color=color_sequences["tab10" if len(names) <= 10 else "tab20"])
        )
        for name in names:
            values = [float(row[name]) if row.get(name) not in (None, "") else float("nan") for row in rows]
            axis.plot(epochs, values, label=name.removeprefix("val/iou/"), marker="." if len(rows) < 30 else None)
        axis.set(title=title, xlabel="epoch")
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(names) > 1:
            many = len(names) > 12
            beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if many else {}
            axis.legend(fontsize=6 if many else 8, ncols=1 + len(names) // 21, **beside)
    figure.savefig(path, dpi=110)
