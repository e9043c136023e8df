"""The table of a study of ensembles as CSV and Markdown, and a plot of its intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lanecli import atomic
from lanecli.metrics.bootstrap import BLOCK, BOOTSTRAPS, FEWEST_GROUPS
from lanecli.report.files import csv_bytes, save_figure
from lanecli.training.ensemble_rows import COLUMNS, REFERENCE
from lanecli.training.ensemble_study import EnsembleStudy

Rows = Sequence[Mapping[str, Any]]
_HEAD = ("", "IoU", "difference", "95 % interval", "NLL", "ECE", "ms", "runs")


def write_table(study: EnsembleStudy, rows: Rows) -> list[Path]:
    """Write ``table.csv``, ``table.md`` and ``intervals.png``, and return their paths.

    Args:
        study: the study.
        rows: the result of :meth:`lanecli.training.ensemble_rows.Rows.table`, in whose order they are shown.
    """
    files = [study.out / "table.csv", study.out / "table.md", study.out / "intervals.png"]
    atomic.write(files[0], csv_bytes(COLUMNS, [[row[key] for key in COLUMNS] for row in rows]))
    atomic.write(files[1], "".join(f"{line}\n" for line in table_lines(study, rows)))
    _plot(files[2], study, rows)
    return files


def table_lines(study: EnsembleStudy, rows: Rows) -> list[str]:
    """Return the lines of the table in Markdown, one table for each test set."""
    what = f"of {study.label}" if study.label else "over the classes except background"
    lines = [
        f"IoU {what}: pixels are summed over all pictures first. Difference: to the {REFERENCE}, which was chosen on "
        f"'{study.hold_out.name}', with the 95 % interval of {BOOTSTRAPS} paired bootstrap resamples of groups, or of "
        f"blocks of {BLOCK} pictures of a group if there are fewer than {FEWEST_GROUPS} groups. NLL, ECE: of all "
        "classes, in nats per pixel and as a share. ms: median time of a picture, one at a time. runs: how often a "
        "network runs for a picture."
    ]
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        lines += ["", f"**{name}** ({own[0]['pictures']} pictures, {own[0]['units']} units)", ""]
        lines += [f"| {' | '.join(_HEAD)} |", "|---" + "|---:" * (len(_HEAD) - 1) + "|"]
        lines += [f"| {' | '.join(_cells(row))} |" for row in own]
    return lines


def _cells(row: Mapping[str, Any]) -> list[str]:
    interval = "-" if row["low"] is None else f"{row['low']:+.4f} … {row['high']:+.4f}"
    figures = [_figure(row[key], digits) for key, digits in (("nll", 4), ("ece", 4), ("ms", 1))]
    name = str(row["row"]).replace("|", "\\|")
    return [name, f"{row['iou']:.4f}", f"{row['difference']:+.4f}", interval, *figures, str(row["models"])]


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _plot(path: Path, study: EnsembleStudy, rows: Rows) -> None:
    """Draw the difference of each row to the best single member with its interval; a panel for each test set."""
    from matplotlib.figure import Figure

    sets = list(dict.fromkeys(row["set"] for row in rows))
    most = max(sum(row["set"] == name for row in rows) for name in sets)
    figure = Figure((2.5 + 4.5 * len(sets), 1.2 + 0.3 * most), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        own = [row for row in rows if row["set"] == name][::-1]
        axes.axvline(0, color="grey", linewidth=1)
        for place, row in enumerate(own):
            if row["low"] is not None:
                axes.plot([row["low"], row["high"]], [place, place], color="#4c78a8", linewidth=2)
            axes.plot(row["difference"], place, marker="o", color="#4c78a8", markersize=5)
        axes.set_yticks(range(len(own)), [str(row["row"]).replace("$", "\\$") for row in own], fontsize=8)
        axes.set_title(name.replace("$", "\\$"), fontsize=9)
        axes.set_xlabel(f"IoU{f' of {study.label}' if study.label else ''} minus that of the {REFERENCE}", fontsize=8)
        axes.locator_params(axis="x", nbins=5)
        axes.grid(axis="x", alpha=0.3)
    save_figure(path, figure)
