"""``lanecli overlay``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lanecli.cli.output import JsonOption, emit, note, progress_bar


def overlay(
    source: Annotated[str, typer.Argument(help="A video, a picture, a folder of pictures or a glob.")],
    masks: Annotated[Path, typer.Option(help="Folder of masks that predict wrote, such as drive.masks.")],
    out: Annotated[Path, typer.Option(help="The file to write; a folder, for several pictures.")],
    alpha: Annotated[float, typer.Option(help="Opacity of the overlay, 0 to 1.")] = 0.5,
    style: Annotated[str, typer.Option(help="Overlay style: fill, contour or solid.")] = "fill",
    classes: Annotated[str, typer.Option(help="The label map whose train ids the masks hold.")] = "lane",
    every: Annotated[int, typer.Option(min=1, help="The masks belong to each N-th frame of the video.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    lanes: Annotated[
        bool, typer.Option(help="Draw lane lines too where STEM.lanes.jsonl stands beside the masks.")
    ] = True,
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
                raise InputError(f"{found.path}: one video at a time, or pictures alone")
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
