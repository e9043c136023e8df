"""``lanecli predict``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lanecli import __version__
from lanecli.cli.help import INPUT, OUTPUT, REFINE, TRUST
from lanecli.cli.options import (
    STYLES,
    BackendOption,
    BatchOption,
    CleanOption,
    CombineOption,
    CrfOption,
    DeviceOption,
    ModelOption,
    PassesOption,
    PrecisionOption,
    SaveOption,
    TtaOption,
    UncertaintyOption,
    WeightsOption,
    choice,
    recipe_of,
)
from lanecli.cli.output import JsonOption, emit, note, progress_bar
from lanecli.errors import printable_name
from lanecli.interruption import Interrupted
from lanecli.ownership import FolderInUseError, owned

if TYPE_CHECKING:
    from lanecli.inference.run import Run, SourceReport
    from lanecli.media import Source

_DEFAULT_OUT = Path("runs/predict")
_LONGEST_LIST = 20


EXAMPLES = """
lanecli predict drive.mp4      writes runs/predict/drive.overlay.mp4
lanecli predict photos/ --model runs/train --save overlay,masks --out out
lanecli predict drive.mp4 --smooth 0.2 --tta flip --save overlay,lanes
"""


def predict(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Pictures, folders, globs, videos, camera numbers, stream URLs.",
            rich_help_panel=INPUT,
        ),
    ],
    every: Annotated[
        int, typer.Option(metavar="N", min=1, help="Use every N-th frame of a video.", rich_help_panel=INPUT)
    ] = 1,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Only the I-th of N parts of the sources, such as 1/4.", rich_help_panel=INPUT
        ),
    ] = None,
    model: ModelOption = None,
    combine: CombineOption = None,
    weights: WeightsOption = None,
    tta: TtaOption = "none",
    smooth: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="Half-life of smoothing along a video; 0: none.",
            show_default=False,
            rich_help_panel=REFINE,
        ),
    ] = 0.0,
    crf: CrfOption = False,
    clean: CleanOption = False,
    uncertainty: UncertaintyOption = "none",
    passes: PassesOption = 5,
    certain: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            help="Pixels above this uncertainty stay undecided (255).",
            rich_help_panel=TRUST,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Output folder.  [default: runs/predict, numbered if taken]",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    save: SaveOption = "overlay",
    decode: Annotated[
        bool,
        typer.Option("--decode", help="Write masks with the label map's source ids.", rich_help_panel=OUTPUT),
    ] = False,
    alpha: Annotated[
        float, typer.Option(metavar="A", help="Opacity of the overlay, 0 to 1.", rich_help_panel=OUTPUT)
    ] = 0.5,
    style: Annotated[str, choice(STYLES, "how classes are drawn.", OUTPUT)] = "fill",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing outputs.", rich_help_panel=OUTPUT)
    ] = False,
    json: JsonOption = False,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    device: DeviceOption = "auto",
    batch: BatchOption = 1,
) -> None:
    """Draw lane markings on pictures and video, or write them as masks."""
    # numpy's products are tiny here: threads of its own, which it starts when it is loaded, only disturb the network's
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from lanecli.draw import OverlayStyle
    from lanecli.inference.record import JobRecord
    from lanecli.inference.run import Run, check_outputs, needed_parts, parse_save, select_shard
    from lanecli.inference.sinks import SinkSettings
    from lanecli.media import expand_sources

    kinds = parse_save(save)
    excluded: list[str] = []
    sources = select_shard(expand_sources(source, exclude=out or _DEFAULT_OUT, note=excluded.append), shard)
    for line in excluded:
        note(f"note: {line}")
    settings = SinkSettings(OverlayStyle(style, alpha), decode, overwrite)  # type: ignore[arg-type]
    recipe = recipe_of(
        model,
        combine=combine,
        weights=weights,
        tta=tta,
        uncertainty=uncertainty,
        passes=passes,
        crf=crf,
        clean=clean,
        smooth=smooth,
        certain=certain,
        backend=backend,
        precision=precision,
        device=device,
        batch=batch,
    )
    predictor = recipe.open(needed_parts(kinds))
    with _owned_folder(out, shard, kinds, sources, overwrite) as folder:
        job = {**asdict(recipe), "files": list(map(_file_state, recipe.files())), "save": kinds, "every": every}
        job |= {"style": asdict(settings)["style"], "decode": decode, "version": __version__}
        record = JobRecord(folder, job, shard, restart=overwrite) if out is not None else None
        run = Run(predictor, folder, kinds, settings, every, record)
        document = {"model": recipe.models[0] if len(recipe.models) == 1 else list(recipe.models), **predictor.compute}
        reports: list[SourceReport] = []
        try:
            _predict_all(run, sources, reports)
        except KeyboardInterrupt as error:
            raise Interrupted("; ".join(_what_is_kept(reports, record is not None and record.has_begun))) from error
        finally:
            check_outputs(reports)
            if reports:
                emit(
                    {"sources": [report.to_dict() for report in reports], "left_out": excluded, **document},
                    _lines(reports, document, crf),
                    json,
                )
        code = _exit_code(reports)
        if record and code != 1:  # everything is done, or nothing could be
            record.close()
    if code:
        raise typer.Exit(code)


def _predict_all(run: Run, sources: list[Source], reports: list[SourceReport]) -> None:
    """Predict `sources` with a progress bar, and append the report of each to `reports`."""
    with progress_bar() as bar:
        task = bar.add_task("")
        run.begin = lambda s, frames: bar.reset(task, description=printable_name(Path(s.path).name), total=frames)
        run.progress = lambda done: bar.update(task, completed=done)
        for report in run.reports(sources):
            reports.append(report)
            if not report.earlier:
                for warning in report.warnings:
                    note(f"warning: {report.source}: {warning}")
            if report.error:
                note(f"error: {report.error}")


@contextlib.contextmanager
def _owned_folder(
    out: Path | None, shard: str | None, kinds: tuple[str, ...], sources: list[Source], overwrite: bool
) -> Iterator[Path]:
    """Own the output folder: `out`, or else the first of the default folders that is free."""
    from lanecli.inference.sinks import free_folders

    for folder in [out or _DEFAULT_OUT] if out or overwrite else free_folders(_DEFAULT_OUT, kinds, sources):
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(owned(folder, shard))
            except FolderInUseError:
                if out or overwrite:
                    raise
                continue
            yield folder
            return


def _file_state(path: Path) -> list[str | int]:
    """Return a file's path, size in bytes and time of modification in nanoseconds."""
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]


def _what_is_kept(reports: list[SourceReport], resumable: bool) -> list[str]:
    """Return what an interrupted run has finished, and whether it can be continued, as parts of a message."""
    lines = [
        f"{output} keeps the {report.frames} frames that are done"
        for report in reports
        if report.interrupted
        for output in report.outputs
    ]
    done = sum(not (report.interrupted or report.error) for report in reports)
    lines += [f"{done} source{'s' * (done > 1)} done"] if done else []
    return lines + (["the same command continues"] if resumable else [])


def _exit_code(reports: list[SourceReport]) -> int:
    """Return 0 if all sources are done, 1 if some failed, 2 if bad input made all of them fail."""
    failed = [report for report in reports if report.error]
    if failed and len(failed) == len(reports) and all(report.exit_code == 2 for report in failed):
        return 2
    return 1 if failed else 0


def _lines(reports: list[SourceReport], document: dict[str, Any], crf: bool) -> list[str]:
    lines = []
    done = [report for report in reports if report.outputs and not report.earlier]
    for report in done[:_LONGEST_LIST]:
        amount = f"{report.frames} frames, {report.fps:.1f} per second" if report.frames != 1 else "1 picture"
        state = ", interrupted" if report.interrupted else ""
        lines += [f"{output}  ({amount}{state})" for output in report.outputs]
    if len(done) > _LONGEST_LIST:
        lines.append(f"… and {len(done) - _LONGEST_LIST} more sources")
    if earlier := sum(report.earlier for report in reports):
        lines.append(f"{earlier} of {len(reports)} sources were done already")
    if failed := sum(report.error is not None for report in reports):
        lines.append(f"{failed} of {len(reports)} sources failed")
    lines.append(
        f"{document['backend']}, {document['precision']}, {document['device']}" + (", dense CRF" if crf else "")
    )
    return lines
