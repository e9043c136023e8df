"""``lanecli synth``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lanecli.cli.help import OUTPUT, SPEED
from lanecli.cli.output import JsonOption, emit, progress_bar
from lanecli.interruption import Interrupted

_SCENES = "Scenes"
EXAMPLES = """
lanecli synth data/roads --count 1000
lanecli synth data/drive --count 250 --size 1280x720 --video
"""


def synth(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the dataset.", rich_help_panel=OUTPUT)],
    count: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of scenes, or of frames.", rich_help_panel=_SCENES)
    ] = 100,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size in pixels.", rich_help_panel=_SCENES)] = "960x540",
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="The same seed gives the same bytes.", rich_help_panel=_SCENES)
    ] = 0,
    video: Annotated[
        bool,
        typer.Option("--video", help="Render one drive, as pictures and as a video.", rich_help_panel=_SCENES),
    ] = False,
    val: Annotated[
        float,
        typer.Option(metavar="X", min=0, max=0.9, help="Share of the val split, 0 to 0.9.", rich_help_panel=_SCENES),
    ] = 0.1,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes.  [default: one per core]", rich_help_panel=SPEED),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Render procedural road scenes with exact masks and lane lines: a dataset to train on."""
    try:
        written = _rendered(folder, count, size, seed, video, val, workers)
    except KeyboardInterrupt as error:
        raise Interrupted("the same command " + ("starts the drive again" if video else "continues")) from error
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
