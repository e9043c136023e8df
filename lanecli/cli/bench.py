"""``lanecli bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lanecli.cli.help import MODEL
from lanecli.cli.options import DeviceOption
from lanecli.cli.output import JsonOption, emit, note
from lanecli.hardware import let_threads_sleep

_ARCHITECTURES, _TRAINING = "Architectures", "Training"
EXAMPLES = """
lanecli bench runs/train --video drive.mp4
lanecli bench --architectures unet,erfnet --out speed.json
lanecli bench --training --data data/mine --set train.batch=4
"""


def bench(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A model file, run folder or shipped model.  [default: lane]",
            rich_help_panel=MODEL,
        ),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Measure the whole path from file to file too.", rich_help_panel=MODEL),
    ] = None,
    budget: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="Time for each figure; six times as much for a video.",
            rich_help_panel=MODEL,
        ),
    ] = 5.0,
    architectures: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Measure new models of 'lanecli list models', or all, instead of MODEL.",
            rich_help_panel=_ARCHITECTURES,
        ),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…", help="Any of counts, export, ms.  [default: all]", rich_help_panel=_ARCHITECTURES
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON file, written after each model; what it has is not measured again.",
            rich_help_panel=_ARCHITECTURES,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Measure again what --out has.", rich_help_panel=_ARCHITECTURES),
    ] = False,
    training: Annotated[
        bool,
        typer.Option(
            "--training", help="Compare training with a plain loop, instead of MODEL.", rich_help_panel=_TRAINING
        ),
    ] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A prepared dataset; may be given several times.", rich_help_panel=_TRAINING),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A configuration key.", rich_help_panel=_TRAINING),
    ] = None,
    json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Measure latency and throughput of every backend and precision on this machine."""
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
    """Measure training and return the document and the lines of its table."""
    let_threads_sleep()
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
    """Measure architectures and return the document and the lines of its table."""
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
            note("interrupted; the same command continues")
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
