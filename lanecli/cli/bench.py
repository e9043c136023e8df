"""``lanecli bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lanecli.cli.output import JsonOption, emit, note


def bench(
    model: Annotated[str | None, typer.Argument(help="A model file, run folder or shipped name.")] = None,
    video: Annotated[Path | None, typer.Option(help="Run the whole path on this video too.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: JsonOption = False,
) -> None:
    """Measure latency and throughput of every backend and precision here, and of the whole video path."""
    from lanecli.errors import InputError
    from lanecli.inference.bench import DEFINITIONS
    from lanecli.inference.bench import bench as measure
    from lanecli.shipped import DEFAULT_MODEL

    if video is not None and not video.is_file():
        raise InputError(f"{video}: no such file")
    document = measure(model or DEFAULT_MODEL, video, device, progress=lambda what: note(f"measuring {what} …"))
    lines = [
        f"{document['machine']['processor']}, {document['machine']['cores']} cores; medians of three",
        f"{'backend':12} {'precision':9}  latency ms  pictures/s" + ("  video fps  share of limit" if video else ""),
    ]
    for row in document["rows"]:
        line = f"{row['backend']:12} {row['precision']:9}  {row['latency_ms']:10.1f}  {row['throughput']:10.1f}"
        if video:
            line += f"  {row['video_fps']:9.1f}  {100 * row['share_of_limit']:12.0f} %"
        lines.append(line)
    lines += [f"{name}: {text}" for name, text in DEFINITIONS.items() if video or "video" not in text]
    emit({**document, "definitions": DEFINITIONS}, lines, json)
