"""The files of an evaluation: the scores of each picture, a sheet of pictures, and the confusion matrix."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lanecli import atomic
from lanecli.draw.sheet import caption, grid, labelled, legend_strip
from lanecli.geometry import resize
from lanecli.inference.prediction import Prediction
from lanecli.labels import LabelMap
from lanecli.media import read_mask, read_picture, write_picture
from lanecli.metrics import Truth
from lanecli.metrics.segmentation import PixelScores

PICTURES, SHEET, CONFUSION, CONFUSION_PLOT = "pictures.csv", "pictures.jpg", "confusion.csv", "confusion.png"
SCORES = "evaluation.json"
"""The file with all scores, which the command itself writes."""
FILES = (PICTURES, SHEET, CONFUSION, CONFUSION_PLOT)
_WIDTH = 420  # width of a picture on the sheet, in pixels
_EACH = 3  # pictures of each kind
_MOST_CLASSES = 127  # the largest number of classes that can be drawn
_MOST_NUMBERS = 16  # the largest number of classes whose shares are readable in the cells of the plot


@dataclass(frozen=True)
class _Row:
    """The scores of a picture, and its prediction, reduced and compressed."""

    image: Path
    mask: Path
    group: str
    scores: dict[str, Any]
    size: tuple[int, int]
    answer: bytes

    @property
    def rank(self) -> float | None:
        """The foreground mIoU of this picture alone."""
        value: float | None = self.scores["miou_foreground"]
        return value


class EvaluationReport:
    """Collects pictures while they are scored: pass :meth:`add` to `evaluate` as ``each``, then call :meth:`write`."""

    def __init__(self) -> None:
        """Start without pictures."""
        self._rows: list[_Row] = []
        self._counts: np.ndarray | None = None
        self._label_map: LabelMap | None = None

    def add(self, prediction: Prediction, truth: Truth, mask: Path) -> None:
        """Add one picture.

        Args:
            prediction: the prediction for the picture.
            truth: the true classes.
            mask: the file of the true mask, which is read again for the sheet.
        """
        own = PixelScores(prediction.label_map)
        own.update(prediction, truth)
        counts = own.counts["pixels"]
        self._label_map, self._counts = prediction.label_map, counts + (0 if self._counts is None else self._counts)
        answer = prediction.class_map if prediction.labels is None else prediction.labels
        size = (_WIDTH, max(1, round(_WIDTH * answer.shape[0] / answer.shape[1])))
        small = zlib.compress(resize(answer, size, nearest=True).tobytes())
        self._rows.append(_Row(Path(truth.image), mask, truth.group, own.scores(), size, small))

    def write(self, out: Path) -> list[Path]:
        """Write :data:`FILES` to a folder, if there is something to write.

        The sheet has the pictures with the highest, the median and the lowest foreground mIoU, each with the true mask
        and the prediction. With several labels per pixel there is no confusion matrix.

        Returns:
            The files written.
        """
        if self._label_map is None or self._counts is None:
            return []
        label_map = self._label_map
        atomic.write(atomic.prepare_target(out / PICTURES), self._table(label_map))
        written = [out / PICTURES]
        chosen = self._chosen()
        if chosen and len(label_map.classes) <= _MOST_CLASSES:
            tiles = [_tile(title, row, label_map) for title, row in chosen]
            sheet = grid(tiles, 1)
            sheet = np.vstack([sheet, legend_strip(label_map, sheet.shape[1])])
            write_picture(out / SHEET, sheet, overwrite=True)
            written.append(out / SHEET)
        if not label_map.multilabel:
            atomic.write(out / CONFUSION, _confusion_table(self._counts, label_map.names))
            atomic.write(out / CONFUSION_PLOT, _confusion_plot(self._counts, label_map.names))
            written += [out / CONFUSION, out / CONFUSION_PLOT]
        return written

    def _table(self, label_map: LabelMap) -> bytes:
        """Return a row for each picture, in the order in which they were scored."""
        pooled = ("miou_foreground", "miou", "pixel_accuracy")
        rows = [["image", "group", *pooled, *(f"iou/{name}" for name in label_map.names)]]
        for row in self._rows:
            values = [*(row.scores[key] for key in pooled), *(row.scores["iou"][name] for name in label_map.names)]
            rows.append([str(row.image), row.group, *("" if v is None else f"{v:.6f}" for v in values)])
        return _csv(rows)

    def _chosen(self) -> list[tuple[str, _Row]]:
        """Choose the best, typical and worst pictures, each only once; pictures without foreground are left out."""
        ranked = sorted((row for row in self._rows if row.rank is not None), key=lambda row: -float(row.rank or 0))
        each = min(_EACH, -(-len(ranked) // 3))
        middle = (len(ranked) - each) // 2
        kinds = dict.fromkeys(range(each), "best")
        for rank in range(len(ranked) - each, len(ranked)):
            kinds.setdefault(rank, "worst")
        for rank in range(middle, middle + each):
            kinds.setdefault(rank, "typical")
        return [(kinds[rank], ranked[rank]) for rank in sorted(kinds) if 0 <= rank < len(ranked)]


def _tile(title: str, row: _Row, label_map: LabelMap) -> np.ndarray:
    """Draw a line of text above the picture, the true mask and the prediction, side by side.

    Returns:
        (h, 3 `_WIDTH`, 3) uint8 RGB.
    """
    picture = resize(read_picture(row.image, at_least=(_WIDTH, 1)), row.size)
    mask = resize(read_mask(row.mask), row.size, nearest=True)
    answer = np.frombuffer(zlib.decompress(row.answer), np.uint8).reshape(row.size[1], row.size[0])
    sides = np.hstack([picture, labelled(picture, mask, label_map), labelled(picture, answer, label_map)])
    words = f"{title}: mIoU without background {row.rank:.3f}   {row.group}/{row.image.name}   (picture, truth, answer)"
    return np.vstack([caption(words, sides.shape[1]), sides])


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _confusion_table(counts: np.ndarray, names: Sequence[str]) -> bytes:
    """Return numbers of pixels as CSV, with a row for each true class and a column for each predicted class."""
    return _csv(
        [["true \\ answered", *names], *([name, *row] for name, row in zip(names, counts.tolist(), strict=True))]
    )


def _confusion_plot(counts: np.ndarray, names: Sequence[str]) -> bytes:
    """Plot the shares of the pixels of each true class, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.5 + 0.45 * min(len(names), 40)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    picture = axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    shown = [name.replace("$", "\\$") for name in names]
    axis.set_xticks(range(len(names)), shown, rotation=90)
    axis.set_yticks(range(len(names)), shown)
    axis.set(xlabel="answered", ylabel="true", title="share of the pixels of each true class")
    if len(names) <= _MOST_NUMBERS:
        for row, column in np.ndindex(shares.shape):
            color = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", fontsize=8, color=color)
    figure.colorbar(picture, ax=axis, shrink=0.8)
    data = io.BytesIO()
    figure.savefig(data, dpi=110, format="png")
    return data.getvalue()
