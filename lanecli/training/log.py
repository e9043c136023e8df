"""What a run writes down: a row per epoch, a line per event, and the curves as a picture."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

from lanecli import atomic


class RunLog:
    """The log files of a run folder. Times and speeds go to log.jsonl only, so metrics.csv repeats bit for bit."""

    def __init__(self, folder: Path, resumed: tuple[int, int] | None = None, *, writes: bool = True) -> None:
        """Open the log.

        Args:
            folder: the run.
            writes: whether this process writes files; of several, one does.
            resumed: step and finished epochs of the state taken up; what was logged behind them is dropped. None
                starts anew.
        """
        self.metrics_path, self.events_path = folder / "metrics.csv", folder / "log.jsonl"
        self.rows: list[dict[str, Any]] = []
        self._writes = writes
        self._board: Any = None
        if writes:
            from tensorboardX import SummaryWriter

            purge = resumed[0] + 1 if resumed else None  # TensorBoard drops what was logged behind the state
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=purge)
        if resumed is None:
            return
        step, epoch = resumed
        if self.metrics_path.is_file():
            with self.metrics_path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= epoch]
            if writes:
                self._write_rows()
        if writes and self.events_path.is_file():
            kept = [line for line in self.events_path.read_text().splitlines() if _step_of(line) <= step]
            atomic.write(self.events_path, "".join(line + "\n" for line in kept))

    def epoch(self, row: dict[str, Any]) -> None:
        """Add an epoch's row (it holds `epoch` and `step`)."""
        self.rows.append({k: "" if v is None else v for k, v in row.items()})
        if self._writes:
            self._write_rows()
            self._scalars(row["step"], {k: v for k, v in row.items() if k not in ("epoch", "step")})
            self._board.flush()

    def event(self, **values: Any) -> None:
        """Append one line to log.jsonl; a step's numbers go to TensorBoard too."""
        if not self._writes:
            return
        if values.get("event") == "step":
            self._scalars(values["step"], {f"step/{k}": v for k, v in values.items() if k not in ("event", "step")})
        with self.events_path.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def close(self) -> None:
        """Finish TensorBoard's file."""
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


def _step_of(line: str) -> float:
    """The step a line of log.jsonl belongs to; infinity for one cut short when the run was."""
    try:
        return float(json.loads(line).get("step", 0))
    except (ValueError, AttributeError, TypeError):
        return math.inf


# background is nearly all there is: these stay near one whatever is learnt, and would flatten the others
_FLAT = ("val/pixel_accuracy", "val/iou/background", "val/miou")


def _scores_to_draw(row: dict[str, Any]) -> list[str]:
    """Those that move, without the single classes where they would be too many to tell apart."""
    names = [name for name in row if name.startswith("val/") and name not in _FLAT]
    pooled = [name for name in names if not name.startswith("val/iou/")]
    return names if len(names) <= 10 else pooled


def draw_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Loss, scores and learning rate over epochs, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    panels = (
        ("loss", [n for n in rows[0] if n.startswith("train/")]),
        ("score", _scores_to_draw(rows[0])),
        ("learning rate", ["lr"]),
    )
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [int(row["epoch"]) for row in rows]
    for axis, (title, names) in zip(figure.subplots(1, 3), panels, strict=True):
        for name in names:
            values = [float(row[name]) if row.get(name) not in (None, "") else float("nan") for row in rows]
            axis.plot(epochs, values, label=name, marker="." if len(rows) < 30 else None)
        axis.set(title=title, xlabel="epoch")
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(names) > 1:
            axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
