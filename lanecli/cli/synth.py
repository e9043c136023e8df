"""``lanecli synth``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lanecli.cli.output import JsonOption, emit, progress_bar
from lanecli.interruption import Interrupted


def synth(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the dataset is written.")],
    count: Annotated[int, typer.Option(min=1, help="Scenes, or frames of the video.")] = 100,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT.")] = "960x540",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    video: Annotated[bool, typer.Option("--video", help="One drive through one world, and a video of it.")] = False,
    val: Annotated[float, typer.Option(min=0, max=0.9, help="Share of scenes in the val split.")] = 0.1,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one a core.")] = None,
    json: JsonOption = False,
) -> None:
    """Render procedural road scenes with exact masks and lane lines, as a dataset to train on."""
    try:
        written = _rendered(folder, count, size, seed, video, val, workers)
    except KeyboardInterrupt as error:
        raise Interrupted("the same command " + ("begins the drive anew" if video else "goes on")) from error
    document = {"dataset": str(folder), "images": count, "video": str(written) if written else None}
    lines = [f"{count} scenes in {folder}"] + ([f"video:  {written}"] if written else [])
    emit(document, [*lines, f"next:   lanecli train --data {folder}"], json)


def _rendered(
    folder: Path, count: int, size: str, seed: int, video: bool, val: float, workers: int | None
) -> Path | None:
    from lanecli.data.synthesise import synthesise
    from lanecli.geometry import parse_size

    with progress_bar() as bar:
        task = bar.add_task("rendering", total=count)
        return synthesise(
            folder,
            count=count,
            size=parse_size(size),
            seed=seed,
            video=video,
            val=val,
            workers=workers,
            progress=lambda done: bar.update(task, completed=done),
        )
