"""``lanecli list models``: the architectures and the cost of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lanecli.cli.table import Column, first_fitting_table, wrapped


def model_rows() -> list[dict[str, Any]]:
    """Return a row of facts for each registered architecture, in the order of publication."""
    from lanecli.models.facts import read_facts
    from lanecli.models.registry import MODELS

    document = read_facts()
    rows = []
    for name in MODELS:
        entry = MODELS.entry(name)
        row = {"name": name, "aliases": list(entry.aliases), "summary": entry.summary, **entry.facts}
        facts = document["models"].get(name, {})
        row |= {key: facts.get(key) for key in ("parameters", "macs", "stride", "minimum", "onnx", "ms")}
        rows.append(row | {"machine": document["machine"] if facts.get("ms") else None})
    return sorted(rows, key=lambda row: row["year"])


def model_lines(rows: list[dict[str, Any]], width: int | None) -> list[str]:
    """Return the rows as lines of a table, and what its columns mean, at most `width` characters wide if given."""
    from lanecli.models.facts import DEFINITIONS

    authors, sources = zip(*((row["paper"].rpartition(", ")[::2]) for row in rows), strict=True)
    years = [str(row["year"]) for row in rows]
    first = [f"{_first_name(who)} {year}" for who, year in zip(authors, years, strict=True)]
    name = Column("model", [row["name"] for row in rows])
    figures = cost_columns(rows)
    machine = next((row["machine"] for row in rows if row["machine"]), None)
    if machine:
        figures += [
            Column(title, [_number(((row["ms"] or {}).get(kind) or {}).get("fp32"), 1) for row in rows], right=True)
            for title, kind in (("OpenVINO ms", "openvino"), ("torch ms", "torch"))
        ]
    paper = [Column("paper", authors), Column("year", years)]
    summary = Column("", [row["summary"] for row in rows])
    source = Column("source", sources)
    encoder = Column("default encoder", [row.get("encoder") or "its own" for row in rows])
    short = [name, Column("paper", first), *figures]
    choices = [
        [name, *paper, *figures, source, encoder, summary],
        [name, *paper, *figures, source, summary],
        [name, *paper, *figures, summary],
        [name, *paper, *figures],
        *([[name, *paper, *figures[:-1]], short[:-1]] if machine else [short]),
    ]
    notes = [
        f"M: million parameters {DEFINITIONS['parameters']}.",
        f"GMACs: 10^9 {DEFINITIONS['macs']}.",
        f"stride: {DEFINITIONS['stride']}. ONNX: {DEFINITIONS['onnx']}.",
    ]
    if machine:
        notes.append(f"{machine_line(machine)}; fp32. Yours: lanecli bench --architectures NAME,…")
    else:
        notes.append("Milliseconds on your machine: lanecli bench --architectures NAME,…")
    return [*first_fitting_table(choices, width), "", *(line for text in notes for line in wrapped(text, width))]


def cost_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the columns of parameters, multiply-adds, stride and ONNX export; a missing fact is shown as ``-``."""
    return [
        Column("M", [_number(row.get("parameters"), 1e6) for row in rows], right=True),
        Column("GMACs", [_number(row.get("macs"), 1e9) for row in rows], right=True),
        Column("stride", [str(row.get("stride") or "-") for row in rows], right=True),
        Column("ONNX", [{True: "yes", False: "no", None: "-"}[row.get("onnx")] for row in rows]),
    ]


def machine_line(machine: Mapping[str, Any]) -> str:
    """Return what the milliseconds mean, and the machine they were measured on."""
    from lanecli.models.facts import DEFINITIONS

    versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
    return f"ms: {DEFINITIONS['ms']}; {machine['processor']}, {machine['cores']} cores, {versions}"


def _first_name(authors: str) -> str:
    """Return the first author: ``"Long"`` of ``"Long, Shelhamer & Darrell"``, ``"Noh"`` of ``"Noh et al."``."""
    return authors.replace(",", " ").split()[0]


def _number(value: float | None, unit: float) -> str:
    """Return `value` in units of `unit`, or ``-`` if it is None."""
    return "-" if value is None else f"{value / unit:.1f}"
