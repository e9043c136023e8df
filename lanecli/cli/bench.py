"""``lanecli bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lanecli.cli.output import JsonOption, emit, note


def bench(
    model: Annotated[str | None, typer.Argument(help="A model file, run folder or shipped name.")] = None,
    video: Annotated[Path | None, typer.Option(help="Run the whole path on this video too.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    architectures: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help="Measure these of 'list models', or all, freshly built, instead of MODEL."),
    ] = None,
    measure: Annotated[
        str | None, typer.Option(metavar="WHAT,…", help="Of architectures: counts, export, ms; default all of them.")
    ] = None,
    budget: Annotated[
        float,
        typer.Option(min=0, help="Seconds for each figure of a backend and precision; six times as many for a video."),
    ] = 5.0,
    out: Annotated[
        Path | None, typer.Option(help="Of architectures: JSON file that is gone on with and grows after each.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Measure again what --out has already.")] = False,
    training: Annotated[
        bool, typer.Option("--training", help="Measure training against a plain loop instead of MODEL.")
    ] = False,
    data: Annotated[list[Path] | None, typer.Option(help="Of training: a prepared dataset to read.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Of training: a configuration key.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure latency and throughput of every backend and precision here, and of the whole video path."""
    from lanecli.errors import InputError

    if training:
        if model is not None or video is not None or architectures is not None:
            raise InputError("--training builds its own model: leave out MODEL, --video and --architectures")
        document, lines = _training(settings or [], data or [], device)
        emit(document, lines, json)
        return
    if data or settings:
        raise InputError("--data and --set go with --training")
    if architectures is not None:
        if model is not None or video is not None:
            raise InputError("--architectures are built freshly: leave out MODEL and --video")
        document, lines = _architectures(architectures, measure, out, budget, overwrite)
        emit(document, lines, json)
        return
    if measure is not None or out is not None:
        raise InputError("--measure and --out go with --architectures")
    from lanecli.bench.model import DEFINITIONS
    from lanecli.bench.model import bench as measure_model
    from lanecli.shipped import DEFAULT_MODEL

    if video is not None and not video.is_file():
        raise InputError(f"{video}: no such file")
    document = measure_model(
        model or DEFAULT_MODEL, video, device, budget, progress=lambda what: note(f"measuring {what} …")
    )
    lines = [
        f"{document['machine']['processor']}, {document['machine']['cores']} cores; medians of three",
        f"{'backend':12} {'precision':9}  latency ms  pictures/s" + ("  video fps  share of limit" if video else ""),
    ]
    for row in document["rows"]:
        line = f"{row['backend']:12} {row['precision']:9}  {row['latency_ms']:10.1f}  {row['throughput']:10.1f}"
        if video and row["video_fps"] is None:
            line += "   left out: too slow for --budget"
        elif video:
            line += f"  {row['video_fps']:9.1f}  {100 * row['share_of_limit']:12.0f} %"
        lines.append(line)
    lines += [f"{name}: {text}" for name, text in DEFINITIONS.items() if video or "video" not in text]
    emit({**document, "definitions": DEFINITIONS}, lines, json)


def _training(settings: list[str], data: list[Path], device: str) -> tuple[dict[str, Any], list[str]]:
    """The document and the table of ``--training``."""
    import os

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as lanecli train sets it
    from lanecli.bench.training import DEFINITIONS, bench_training

    document = bench_training(settings, data, device=device, progress=lambda what: note(f"measuring {what} …"))
    width, height = document["size"]
    lines = [
        f"{document['model']}/{document['encoder']} at {width}x{height}, batch {document['batch']}, on "
        f"{document['device']} in {document['precision']}; pictures a second, medians of rounds taken in turn"
    ]
    lines += [f"{name:12} {speed:9.2f}  {DEFINITIONS[name]}" for name, speed in document["rows"].items()]
    cost = 100 * document["loop_cost"]
    lines.append(f"{document['speed_up']:.2f} times a plain loop; the loop adds {cost:.1f} % to its bare step")
    return {**document, "definitions": DEFINITIONS}, lines


def _architectures(
    names: str, measure: str | None, out: Path | None, budget: float, again: bool
) -> tuple[dict[str, Any], list[str]]:
    """The document and the table of ``--architectures``."""
    from lanecli import atomic
    from lanecli.bench.architectures import measure as measure_all
    from lanecli.bench.architectures import parse_measurements, parse_names
    from lanecli.cli.list_models import cost_columns, machine_line
    from lanecli.cli.table import Column, table
    from lanecli.models.facts import DEFINITIONS

    wanted, measurements = parse_names(names), parse_measurements(measure or "counts,export,ms")
    target = atomic.prepare_target(out) if out else None
    try:
        document = measure_all(wanted, measurements, target, budget=budget, again=again, note=note)
    except KeyboardInterrupt:
        if target:
            note("interrupted; the same command goes on")
        raise
    entries = list(document["models"].values())
    kinds = {(b, p): None for e in entries for b, times in (e.get("ms") or {}).items() for p in times}
    columns = [Column("model", list(document["models"])), *cost_columns(entries)]
    columns += [Column(f"{b} {p}", [_ms(entry, b, p) for entry in entries], right=True) for b, p in kinds]
    lines = table(columns)
    if kinds:
        lines += ["", machine_line(document["machine"])]
    return {**document, "definitions": DEFINITIONS}, lines


def _ms(entry: dict[str, Any], backend: str, precision: str) -> str:
    value = (entry.get("ms") or {}).get(backend, {}).get(precision)
    return "-" if value is None else f"{value:.1f}"
