"""``lanecli select``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lanecli.cli.help import INPUT, OUTPUT
from lanecli.cli.options import (
    CombineOption,
    DeviceOption,
    ModelOption,
    PassesOption,
    PrecisionOption,
    TtaOption,
    UncertaintyOption,
    WeightsOption,
    choice,
    recipe_of,
)
from lanecli.cli.output import JsonOption, emit, note, progress_bar
from lanecli.inference.measures import default_measure

_CHOICE = "Choice"
EXAMPLES = """
lanecli select drive.mp4 --top 20 --out to-label
lanecli select drives/ --top 50 --out to-label --export cvat
"""


def select(
    source: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Pictures, folders, globs, videos.", rich_help_panel=INPUT),
    ],
    top: Annotated[int, typer.Option(metavar="N", min=1, help="How many frames to choose.", rich_help_panel=_CHOICE)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the frames.", rich_help_panel=OUTPUT)],
    every: Annotated[
        int, typer.Option(metavar="N", min=1, help="Use every N-th frame of a video.", rich_help_panel=INPUT)
    ] = 1,
    model: ModelOption = None,
    combine: CombineOption = None,
    weights: WeightsOption = None,
    tta: TtaOption = "none",
    uncertainty: UncertaintyOption = default_measure(),
    passes: PassesOption = 5,
    score: Annotated[str, choice(("mean", "tail", "peak"), "how to score a frame.", _CHOICE)] = "tail",
    spread: Annotated[str, choice(("greedy", "clusters", "none"), "how to avoid similar frames.", _CHOICE)] = "greedy",
    export: Annotated[str | None, choice(("cvat", "labelme", "coco"), "write predictions to correct.", OUTPUT)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder.", rich_help_panel=OUTPUT)] = False,
    json: JsonOption = False,
    precision: PrecisionOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Choose the frames most worth labelling next: uncertain, and not too similar."""
    from lanecli import atomic
    from lanecli.data.annotations import FORMATS
    from lanecli.errors import InputError, did_you_mean, printable_name
    from lanecli.inference.select import select as choose
    from lanecli.media import expand_sources

    if export is not None and export not in FORMATS:
        raise InputError(f"--export takes {', '.join(FORMATS)}, not '{export}'{did_you_mean(export, FORMATS)}")
    atomic.prepare_target(out, overwrite=overwrite, folder=True)
    sources = expand_sources(source, exclude=out)
    recipe = recipe_of(
        model,
        combine=combine,
        weights=weights,
        tta=tta,
        uncertainty=uncertainty,
        passes=passes,
        crf=False,
        backend="torch",  # it gives the features of every model file
        precision=precision,
        device=device,
    )
    failures: list[str] = []
    with progress_bar() as bar:
        task = bar.add_task("")
        document = choose(
            recipe,
            sources,
            out,
            top=top,
            score=score,
            spread=spread,
            every=every,
            export=export,
            begin=lambda s, frames: bar.reset(task, description=printable_name(Path(s.path).name), total=frames),
            progress=lambda done: bar.update(task, completed=done),
            failed=failures.append,
        )
    for line in failures:
        note(f"error: {line}")
    chosen = document["selected"]
    lines = [f"{entry['picture']}  ({entry[score]:.4g})" for entry in chosen[:20]]
    lines += [f"… and {len(chosen) - 20} more"] if len(chosen) > 20 else []
    lines.append(f"{len(chosen)} of {document['frames']} frames; look at {out / 'contact_sheet.png'}")
    if export:
        back = {"cvat": "cvat", "labelme": "labelme", "coco": "coco"}[export]
        lines.append(
            f"next:   correct them in {export}, then lanecli prepare {back} FOLDER --out DATASET --classes lane"
        )
    emit({**document, "out": str(out), "export": export, "errors": failures}, lines, json)
    if failures:
        raise typer.Exit(1)
