"""``lanecli overlay``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lanecli.cli.complete import label_maps
from lanecli.cli.help import INPUT, OUTPUT
from lanecli.cli.options import STYLES, choice
from lanecli.cli.output import JsonOption, emit, note, progress_bar

EXAMPLES = """
lanecli overlay drive.mp4 --masks runs/predict/drive.masks --out again.mp4
"""


def overlay(
    source: Annotated[
        str,
        typer.Argument(help="A video, a picture, a folder of pictures or a glob.", rich_help_panel=INPUT),
    ],
    masks: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder of masks from predict, such as drive.masks.", rich_help_panel=INPUT),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="File to write; for several pictures a folder.", rich_help_panel=OUTPUT),
    ],
    classes: Annotated[
        str,
        typer.Option(
            metavar="MAP",
            help="Label map of the masks' train ids.",
            rich_help_panel=INPUT,
            autocompletion=label_maps,
        ),
    ] = "lane",
    every: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="The masks are those of every N-th frame.", rich_help_panel=INPUT),
    ] = 1,
    alpha: Annotated[
        float, typer.Option(metavar="A", help="Opacity of the overlay, 0 to 1.", rich_help_panel=OUTPUT)
    ] = 0.5,
    style: Annotated[str, choice(STYLES, "how classes are drawn.", OUTPUT)] = "fill",
    lanes: Annotated[
        bool,
        typer.Option(help="Draw the lines of STEM.lanes.jsonl, if it is there.", rich_help_panel=OUTPUT),
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing outputs.", rich_help_panel=OUTPUT)
    ] = False,
    json: JsonOption = False,
) -> None:
    """Draw saved masks on a video or on pictures again; no model is loaded."""
    from lanecli.draw import OverlayStyle
    from lanecli.errors import InputError
    from lanecli.inference.redraw import Redraw
    from lanecli.labelmaps import label_map
    from lanecli.media import expand_sources

    sources = expand_sources([source], exclude=out)
    with progress_bar() as bar:
        task = bar.add_task("drawing", total=len(sources))
        redraw = Redraw(
            masks,
            label_map(classes),
            OverlayStyle(style, alpha),  # type: ignore[arg-type]
            every,
            overwrite,
            lanes,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
        warnings: list[str] = []
        frames = 0
        outputs = []
        for number, found in enumerate(sources):
            if found.kind != "image" and len(sources) > 1:
                raise InputError(f"{found.path}: name one video, or pictures only")
            single = len(sources) == 1 and (out.suffix or found.kind != "image")
            target = out if single else out / found.relative / f"{found.stem}.overlay.png"
            if found.kind == "image":
                redraw.picture(found, target)
                frames += 1
                bar.update(task, completed=number + 1)
            else:
                frames, warnings = redraw.video(found, target)
            outputs.append(str(target))
    for line in warnings:
        note(f"warning: {source}: {line}")
    document = {"source": source, "outputs": outputs, "frames": frames, "warnings": warnings}
    emit(document, [*outputs[:20], f"{frames} frames drawn"], json)
