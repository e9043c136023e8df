"""``lanecli prepare``: a public layout, or that of a labelling tool, becomes a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lanecli.cli.complete import formats, label_maps
from lanecli.cli.help import INPUT, OUTPUT, SPEED
from lanecli.cli.options import choice
from lanecli.cli.output import JsonOption, emit, note, progress_bar
from lanecli.errors import InputError
from lanecli.interruption import Interrupted

if TYPE_CHECKING:
    from lanecli.data.job import Job

FRAMES = "frames"
"""What is given in place of a FORMAT to extract the frames of a video."""
_PIXELS, _SPLITS, _BACK = "Pictures and masks", "Splits", "Submissions and frames"
EXAMPLES = """
lanecli prepare camvid CamVid/ --out data/camvid --split "val=0006R0*,train=*"
lanecli prepare apolloscape apollo/ --crop-top 690 --out data/apollo
lanecli prepare apolloscape test/ --decode predictions --out submission
lanecli prepare frames drive.mp4 --every 25 --out to-label
"""


def prepare(
    format_name: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="A format of 'lanecli list formats', or 'frames' to extract frames of a video for labelling.",
            rich_help_panel=INPUT,
            autocompletion=formats,
        ),
    ],
    source: Annotated[
        Path | None, typer.Argument(metavar="SRC", help="Folder, zip or file to convert.", rich_help_panel=INPUT)
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the pictures, if labels come without them.", rich_help_panel=INPUT),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Read every file, list the damaged ones, write nothing.", rich_help_panel=INPUT),
    ] = False,
    image_suffix: Annotated[
        str, typer.Option(metavar="TEXT", help="Ending of picture names, for the format folder.", rich_help_panel=INPUT)
    ] = "",
    mask_suffix: Annotated[
        str, typer.Option(metavar="TEXT", help="Ending of mask names, for the format folder.", rich_help_panel=INPUT)
    ] = "",
    crop_top: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Rows to cut off at the top.  [default: 0; with --decode the format's]",
            rich_help_panel=_PIXELS,
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Resize pictures and masks.", rich_help_panel=_PIXELS)
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="MAP",
            help="Label map of 'lanecli list labelmaps', or a YAML file.",
            rich_help_panel=_PIXELS,
            autocompletion=label_maps,
        ),
    ] = None,
    tolerance: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=127, help="Largest difference of a colour's channel.", rich_help_panel=_PIXELS
        ),
    ] = 0,
    line_width: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Width of drawn lines in pixels.  [default: the format's]", rich_help_panel=_PIXELS
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT",
            help="train=0.8,val=0.2 divides whole groups, val=Road02,train=* names them.  [default: official split]",
            rich_help_panel=_SPLITS,
        ),
    ] = None,
    by: Annotated[
        str,
        choice(
            ("group", "folder", "frame"),
            "what is kept in one split; a group is a record, clip, sequence or city.",
            _SPLITS,
        ),
    ] = "group",
    seed: Annotated[
        int, typer.Option(metavar="N", help="Seed for the order of groups of equal size.", rich_help_panel=_SPLITS)
    ] = 0,
    decode: Annotated[
        Path | None,
        typer.Option(
            metavar="PRED_DIR",
            help="Convert predicted masks back to the format's ids and size, into --out; with SRC, under the paths of "
            "its pictures.",
            rich_help_panel=_BACK,
        ),
    ] = None,
    every: Annotated[
        int, typer.Option(metavar="N", min=1, help="With 'frames': write every N-th frame.", rich_help_panel=_BACK)
    ] = 25,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder of the dataset.", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing dataset.", rich_help_panel=OUTPUT)
    ] = False,
    contact_sheet: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Random pairs on contact_sheet.png and .html; 0: none.",
            rich_help_panel=OUTPUT,
        ),
    ] = 12,
    as_json: JsonOption = False,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Threads.  [default: one per core]", rich_help_panel=SPEED),
    ] = None,
) -> None:
    """Convert a public dataset, or the files of a labelling tool, into a dataset to train on."""
    if format_name == FRAMES:
        _frames(source, out, every, overwrite, as_json)
        return
    if decode is not None:
        _decode(
            format_name, decode, source, images, out or Path("runs/submission"), classes, crop_top, overwrite, as_json
        )
        return
    if source is None or (out is None and not check):
        raise InputError("prepare needs a source and --out DIR, as in: lanecli prepare camvid SRC --out DIR")
    from lanecli.data.job import Job
    from lanecli.geometry import parse_size

    job = Job(
        format_name,
        source,
        out,
        classes=classes,
        crop_top=crop_top or 0,
        size=parse_size(size) if size else None,
        split=split,
        by=by,
        seed=seed,
        workers=workers,
        overwrite=overwrite,
        tolerance=tolerance,
        contact_sheet=contact_sheet,
        images=images,
        line_width=line_width,
        image_suffix=image_suffix,
        mask_suffix=mask_suffix,
    )
    if check:
        _check(job, as_json)
    else:
        _prepare(job, as_json)


def _prepare(job: Job, as_json: bool) -> None:
    from lanecli.data.pairs import BrokenPairsError
    from lanecli.data.prepare import prepare_dataset

    try:
        with progress_bar() as bar:
            info = prepare_dataset(job, begin=_progress(bar, "preparing"), note=note)
    except KeyboardInterrupt as error:
        raise Interrupted("the same command continues") from error
    except BrokenPairsError as error:
        for line in error.first_lines:
            note(line)
        if as_json:
            emit({"error": error.summary, "broken": error.lines}, (), True)
        raise InputError(f"{error.summary}; 'lanecli prepare … --check' lists all of them") from error
    document = {
        "dataset": str(info.root),
        "format": info.format,
        "label_map": info.label_map.name,
        "samples": len(info.samples),
        "splits": info.splits,
        "prepared": dict(info.prepared),
        "pixel_counts": info.pixel_counts,
    }
    emit(document, _lines(document), as_json)


def _check(job: Job, as_json: bool) -> None:
    from lanecli.data.prepare import check_dataset

    with progress_bar() as bar:
        total, broken = check_dataset(job, begin=_progress(bar, "checking"), note=note)
    emit({"checked": total, "broken": broken}, (*broken, f"{total} pairs read, {len(broken)} problems"), as_json)
    if broken:
        raise typer.Exit(1)


def _progress(bar: Any, words: str) -> Callable[[int], Callable[[], object]]:
    def begin(total: int) -> Callable[[], object]:
        task = bar.add_task(words, total=total)
        return lambda: bar.advance(task)

    return begin


def _frames(video: Path | None, out: Path | None, every: int, overwrite: bool, as_json: bool) -> None:
    if video is None or out is None:
        raise InputError(
            "'frames' needs a video and --out DIR, as in: lanecli prepare frames VIDEO --every 25 --out DIR"
        )
    from lanecli.data.frames import write_frames

    with progress_bar() as bar:
        task = bar.add_task("reading", total=None)
        written = write_frames(video, out, every, overwrite, lambda done: bar.update(task, completed=done))
    emit(
        {"out": str(out), "files": [str(path) for path in written]},
        (f"{len(written)} pictures in {out}, 1 of {every} frames of {video.name}: label them, then 'lanecli prepare'",),
        as_json,
    )


def _decode(
    format_name: str,
    predictions: Path,
    source: Path | None,
    images: Path | None,
    out: Path,
    classes: str | None,
    crop_top: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    from lanecli.data.formats import FORMATS
    from lanecli.data.submission import decode_folder
    from lanecli.labelmaps import resolve_label_map

    entry = FORMATS.entry(format_name)
    name = classes or entry.facts.get("classes")
    if name is None:
        raise InputError(f"--decode needs --classes, the label map of the {entry.name} predictions")
    label_map = resolve_label_map(name, entry.name)
    top = entry.facts.get("crop_top", 0) if crop_top is None else crop_top
    written, notes = decode_folder(
        predictions, out, label_map, entry.facts.get("frame"), top, overwrite, originals=images or source
    )
    for line in notes:
        note(line)
    document = {"out": str(out), "label_map": label_map.name, "files": [str(p) for p in written]}
    emit(document, [f"{len(written)} masks of {label_map.name} source ids in {out}"], as_json)


def _lines(document: dict[str, Any]) -> list[str]:
    splits = ", ".join(f"{name} {count}" for name, count in document["splits"].items())
    lines = [f"{document['samples']} pairs ({splits}) in {document['dataset']}, label map {document['label_map']}"]
    for split, counts in document["pixel_counts"].items():
        total = sum(counts.values()) or 1
        shares = ", ".join(f"{name} {100 * n / total:.2f} %" for name, n in counts.items() if n)
        lines.append(f"{split}: {shares}")
    return lines + [f"{what}: {how}" for what, how in document["prepared"].items()]
