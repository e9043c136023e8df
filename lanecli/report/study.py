"""Tables and figures of a study of uncertainty measures, as CSV and PNG."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lanecli import atomic
from lanecli.data.manifest import read_dataset
from lanecli.draw.heatmap import HeatmapPainter
from lanecli.draw.sheet import grid
from lanecli.geometry import resize
from lanecli.inference.sinks.uncertainty import scale_of
from lanecli.inference.study import Study, class_means, example_maps
from lanecli.media import Frame, write_picture
from lanecli.report.files import csv_bytes, save_figure
from lanecli.uncertainty.entropy import largest_entropy
from lanecli.uncertainty.maps import map_kind, uncertainty_maps

_CURVES = ("p_accurate_given_certain", "p_uncertain_given_inaccurate", "pavpu")
_TITLES = ("p(accurate | certain)", "p(uncertain | inaccurate)", "PAvPU")
_TILE = 420


def write_study(study: Study, rows: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write the table (table 2), the curves (figure 3), class means (figure 1, with ``places``), and maps (figure 4).

    Args:
        study: the study, which has been run.
        rows: the result of :func:`lanecli.inference.study.run_study`.

    Returns:
        The files written.
    """
    out = study.out
    results = {m.name: json.loads((out / f"{m.name}.json").read_text(encoding="utf-8")) for m in study.methods}
    files = [out / "table.csv", out / "curves.csv", out / "curves.png"]
    atomic.write(files[0], csv_bytes(list(rows[0]) if rows else [], [list(row.values()) for row in rows]))
    curves = [
        (method, name, scores)
        for method, each in results.items()
        for name, scores in each["uncertainty"]["maps"].items()
    ]
    lines = [
        [method, name, kind, certain, threshold, *values]
        for method, name, scores in curves
        for kind, part in scores["windows"]["4"]["all"].items()
        if part
        for certain, threshold, *values in zip(
            part["certain"], part["thresholds"], *(part[curve] for curve in _CURVES), strict=True
        )
    ]
    atomic.write(files[1], csv_bytes(["method", "map", "thresholds", "certain", "threshold", *_CURVES], lines))
    _plot_curves(files[2], curves)
    if (means := class_means(study)) is not None:
        names = read_dataset(study.data).label_map.names
        files += [out / "class_means.csv", out / "class_means.png"]
        matrix = means["matrix"]
        rows_ = [[name, *(f"{v:.6g}" for v in line)] for name, line in zip(names, matrix, strict=True)]
        atomic.write(files[-2], csv_bytes(["class here, there:", *names], rows_))
        _plot_means(files[-1], names, means)
    files.append(out / "maps.png")
    write_picture(files[-1], _maps(study))
    return files


def _plot_curves(path: Path, curves: Sequence[tuple[str, str, Mapping[str, Any]]]) -> None:
    """Plot the three curves over the share of certain windows, so that methods with any unit share an axis."""
    from matplotlib.figure import Figure

    figure = Figure((13, 4.2), layout="constrained")
    styles = ("-", "--", ":")  # the colours repeat after ten curves
    for axes, curve, title in zip(figure.subplots(1, 3), _CURVES, _TITLES, strict=True):
        for number, (method, name, scores) in enumerate(curves):
            values = [np.nan if value is None else value for value in scores[curve]]
            label, style = f"{method}: {map_kind(name).title}", styles[number // 10 % len(styles)]
            axes.plot(scores["certain"], values, style, marker=".", label=label)
        axes.set(title=title, xlabel="share of 4x4 windows that are certain")
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=7)
    save_figure(path, figure)


def _plot_means(path: Path, names: Sequence[str], means: Mapping[str, Any]) -> None:
    from matplotlib.figure import Figure

    side = 2.5 + 0.5 * len(names)
    figure = Figure((side + 1, side), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(means["matrix"], cmap="viridis")
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), names)
    share = means["same_closer"]
    note = "" if share is None else f"\nthe nearest mean is of the same class in {100 * share:.0f} % of cases"
    figure.suptitle(f"class means at distant positions{note}", fontsize=9)
    figure.colorbar(drawn, label="L2 distance")
    save_figure(path, figure)


def _maps(study: Study) -> np.ndarray:
    """Draw a row for each method and example: the picture, where the prediction is right, and every map."""
    dataset = read_dataset(study.data)
    rows: list[list[np.ndarray]] = []
    for method in study.methods:
        for picture, right, prediction in example_maps(study, method, dataset):
            size = (_TILE, max(1, round(_TILE * picture.shape[0] / picture.shape[1])))
            colors = np.array([[220, 50, 47], [60, 160, 80]], np.uint8)[np.minimum(right, 1)]
            colors[right == 255] = 40
            small = resize(picture, size)
            tiles = [small, resize(colors, size)]
            for name in uncertainty_maps(prediction.maps):
                values = prediction.maps[name]
                label_map = prediction.label_map
                limit = largest_entropy(len(label_map.plane_classes), bernoulli=label_map.bernoulli)
                ends = (0.0, limit) if name == "entropy" else scale_of(name, values)
                frame = Frame.from_rgb(small.copy())  # painted small, so that its title can be read
                painter = HeatmapPainter(f"{method.name}: {map_kind(name).title}", *ends)
                painter.paint(frame, cv2.resize(values, size, interpolation=cv2.INTER_AREA))
                tiles.append(frame.rgb())
            rows.append(tiles)
    widest = max(map(len, rows), default=1)
    blank = np.full_like(rows[0][0], 255)
    return grid([tile for row in rows for tile in (*row, *[blank] * (widest - len(row)))], widest)
