"""The results of a sweep: a row for each variant, and tables in CSV, Markdown and LaTeX, and a plot."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lanecli import atomic
from lanecli.training.sweep_sets import MEAN_OF_SETS, ON_SET

SCORES = ("lane_iou", "miou", "dice", "precision", "recall")
"""The scores of a run that have a standard deviation over seeds; ``iou/CLASS`` and the scores on sets have one, too."""
COSTS = ("parameters", "milliseconds", "images_per_second", "seconds")
_TITLES = {
    MEAN_OF_SETS: "mean of sets",
    "lane_iou": "foreground IoU",
    "miou": "mIoU",
    "dice": "Dice",
    "precision": "precision",
    "recall": "recall",
    "parameters": "parameters (M)",
    "milliseconds": "ms",
    "images_per_second": "images/s",
}
_FORMATS = {"parameters": (1e6, 2), "milliseconds": (1, 1), "images_per_second": (1, 1)}
_DEVIATION = "_sd"
Row = Mapping[str, Any]


def summary(name: str, runs: Sequence[Row]) -> dict[str, Any]:
    """Summarise the runs of a variant: a single run keeps its row; several runs give means and standard deviations.

    Args:
        name: the name of the variant.
        runs: the rows of its runs, one for each seed; a failed run has ``failed``.

    Returns:
        The row. For several runs, ``KEY_sd`` is the sample standard deviation (n - 1) over those that did not fail, and
        ``runs`` lists these.
    """
    done = [run for run in runs if "failed" not in run]
    failed = [run for run in runs if "failed" in run]
    if len(runs) == 1:
        return {"variant": name, **runs[0]}
    row: dict[str, Any] = {"variant": name, "seeds": len(done)}
    for key in (*SCORES, *_classes(done), *_sets(done), *COSTS):
        values = [float(run[key]) for run in done if run.get(key) is not None]
        row[key] = statistics.fmean(values) if values else None
        if key not in COSTS:
            row[key + _DEVIATION] = statistics.stdev(values) if len(values) > 1 else None
    if failed:
        row["failed"] = f"{len(failed)} of {len(runs)} seeds: {failed[0]['failed']}"
    return {**row, "runs": list(runs)}


def title(rows: Sequence[Row]) -> str:
    """Return the caption of the table, which explains the scores."""
    seeds = max((row.get("seeds", 1) for row in rows), default=1)
    over = f"; mean ± standard deviation (n - 1) over {seeds} seeds" if seeds > 1 else ""
    sets = " Scores on further sets: foreground IoU at the size of the pictures, and its mean over the sets."
    return (
        "Validation scores after the last epoch, at the network's size. Foreground IoU: pixels are summed over all "
        "pictures, then the mean is over the classes except background; mIoU includes background; Dice, precision and "
        f"recall are means over the classes except background{over}.{sets if _sets(rows) else ''}"
    )


def write_tables(rows: Sequence[Row], out: Path) -> None:
    """Write ``table.csv``, ``table.md``, ``table.tex``, ``table.png``, and ``runs.csv`` if there are several seeds."""
    flat = [{key: value for key, value in row.items() if key != "runs"} for row in rows]
    atomic.write(out / "table.csv", _csv(flat))
    if any("runs" in row for row in rows):
        runs = [{"variant": row["variant"], **run} for row in rows for run in row.get("runs", [row])]
        atomic.write(out / "runs.csv", _csv(runs))
    atomic.write(out / "table.md", "".join(f"{line}\n" for line in (title(rows), "", *table_lines(rows))))
    atomic.write(out / "table.tex", "".join(f"{line}\n" for line in latex_lines(rows)))
    _plot(rows, out / "table.png")


def _csv(rows: Sequence[Row]) -> bytes:
    names = dict.fromkeys(["variant", *(key for row in rows for key in row if key not in ("failed", "final"))])
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*names, "failed"], lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def table_lines(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table in Markdown, the best variant first."""
    head, body = table_cells(rows, "±")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for cells in body:
        line = [_line(cell).replace("|", "\\|") for cell in cells]
        lines.append(f"| {' | '.join(line + [''] * (len(head) - len(line)))} |")
    return lines


def latex_lines(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table for LaTeX, with the package booktabs, the best variant first."""
    head, body = table_cells(rows, "$\\pm$")
    lines = [f"% {title(rows)}", f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", "\\toprule"]
    lines += [" & ".join(map(_latex, head)) + " \\\\", "\\midrule"]
    for cells in body:
        if len(cells) == 2:  # failed
            why = _latex(_line(cells[1]))
            lines.append(f"{_latex(cells[0])} & \\multicolumn{{{len(head) - 1}}}{{l}}{{{why}}} \\\\")
        else:
            lines.append(" & ".join([_latex(cells[0]), *cells[1:]]) + " \\\\")
    return [*lines, "\\bottomrule", "\\end{tabular}"]


def table_cells(rows: Sequence[Row], sign: str) -> tuple[list[str], list[list[str]]]:
    """Return the titles, and the cells of each row; a failed variant has two, its name and the reason."""
    classes = _classes(rows)
    known = [key for key in (*SCORES, *COSTS) if key in _TITLES and any(row.get(key) is not None for row in rows)]
    scores = [key for key in known if key in SCORES]
    keys = [*_sets(rows), *scores, *(classes if len(classes) > 1 else ()), *known[len(scores) :]]
    head = ["variant", *(_TITLES.get(key, key.removeprefix("iou/").removeprefix(ON_SET)) for key in keys)]
    decides = _decisive(rows)
    body = []
    for row in sorted(rows, key=lambda row: -float(row.get(decides) or 0)):
        if "failed" in row and row.get(decides) is None:
            body.append([row["variant"], f"failed: {row['failed']}"])
        else:
            body.append([row["variant"], *(_cell(row, key, sign) for key in keys)])
    return head, body


def _cell(row: Row, key: str, sign: str) -> str:
    value = row.get(key)
    if value is None:
        return "-"
    unit, digits = _FORMATS.get(key, (1, 3))
    text = f"{float(value) / unit:.{digits}f}"
    deviation = row.get(key + _DEVIATION)
    return text if deviation is None else f"{text} {sign} {deviation:.{digits}f}"


def _classes(rows: Sequence[Row]) -> list[str]:
    """Return the keys of the IoU of each class except background."""
    keys = dict.fromkeys(key for row in rows for key in row if key.startswith("iou/") and not key.endswith(_DEVIATION))
    return [key for key in keys if key != "iou/background"]


def _sets(rows: Sequence[Row]) -> list[str]:
    """Return the keys of the scores on sets, and that of their mean."""
    keys = dict.fromkeys(key for row in rows for key in row if key.startswith(ON_SET) and not key.endswith(_DEVIATION))
    return [*keys, MEAN_OF_SETS] if keys else []


def _decisive(rows: Sequence[Row]) -> str:
    """Return the key of the score that decides the order."""
    return MEAN_OF_SETS if _sets(rows) else "lane_iou"


def _line(text: str) -> str:
    return " ".join(text.split())


def _latex(text: str) -> str:
    special = {c: f"\\{c}" for c in "&%$#_{}"} | {"~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    return "".join({**special, "\\": "\\textbackslash{}"}.get(c, c) for c in text)


def _plot(rows: Sequence[Row], path: Path) -> None:
    """Draw the score that decides the order of the variants as a bar for each, with its deviation over seeds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    key = _decisive(rows)
    shown = sorted((row for row in rows if row.get(key) is not None), key=lambda row: float(row[key]))
    if not shown:
        return
    figure = Figure(figsize=(8, 1 + 0.35 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    deviations = [row.get(key + _DEVIATION) or 0.0 for row in shown]
    values = [float(row[key]) for row in shown]
    bars = axis.barh([row["variant"].replace("$", "\\$") for row in shown], values, color="#4c78a8", height=0.7)
    if any(deviations):
        axis.errorbar(values, range(len(shown)), xerr=deviations, fmt="none", ecolor="black", capsize=3)
    else:
        axis.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
    seeds = max(row.get("seeds", 1) for row in shown)
    more = f", mean and standard deviation over {seeds} seeds" if seeds > 1 else ""
    what = "mean foreground IoU of the sets" if key == MEAN_OF_SETS else "foreground IoU after the last epoch"
    axis.set_title(f"{what}{more}", fontsize=10)
    axis.set_xlim(0, min(1.0, 1.15 * max(max(v + d for v, d in zip(values, deviations, strict=True)), 0.01)))
    axis.grid(axis="x", alpha=0.3)
    part = io.BytesIO()
    figure.savefig(part, dpi=110, format="png")
    atomic.write(path, part.getvalue())
