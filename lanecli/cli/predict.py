"""``lanecli predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lanecli.cli.options import (
    BackendOption,
    BatchOption,
    CombineOption,
    CrfOption,
    DeviceOption,
    PassesOption,
    PrecisionOption,
    SaveOption,
    TtaOption,
    UncertaintyOption,
    WeightsOption,
    recipe_of,
)
from lanecli.cli.output import JsonOption, emit, note, progress_bar

if TYPE_CHECKING:
    from lanecli.inference.run import SourceReport

_OUT = Path("runs/predict")
_SHOWN = 20


def predict(
    source: Annotated[list[str], typer.Argument(help="Pictures, folders, globs, videos, camera numbers, stream URLs.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model file, run folder, shipped name or ensemble file; several are combined."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for outputs; default runs/predict, numbered when they exist there.")
    ] = None,
    save: SaveOption = "overlay",
    combine: CombineOption = None,
    weights: WeightsOption = None,
    tta: TtaOption = "none",
    uncertainty: UncertaintyOption = "none",
    passes: PassesOption = 5,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    device: DeviceOption = "auto",
    batch: BatchOption = 1,
    every: Annotated[int, typer.Option(min=1, help="Take each N-th frame of a video.")] = 1,
    smooth: Annotated[
        float, typer.Option(min=0, help="Smooth probabilities along a video: half-life in seconds, 0 is off.")
    ] = 0.0,
    crf: CrfOption = False,
    shard: Annotated[str | None, typer.Option(help="I/N: do part I of N of the sources.")] = None,
    decode: Annotated[bool, typer.Option("--decode", help="Masks hold the source ids of the label map.")] = False,
    alpha: Annotated[float, typer.Option(help="Opacity of the overlay, 0 to 1.")] = 0.5,
    style: Annotated[str, typer.Option(help="Overlay style: fill, contour or solid.")] = "fill",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    json: JsonOption = False,
) -> None:
    """Draw lane markings on pictures and video, or write them as masks."""
    from lanecli.draw import OverlayStyle
    from lanecli.errors import named
    from lanecli.inference.run import Run, parse_save, part_of, parts_read
    from lanecli.inference.sinks import SinkSettings, free_folder
    from lanecli.media import expand_sources

    kinds = parse_save(save)
    sources = part_of(expand_sources(source, exclude=out or _OUT), shard)
    if out is None:
        out = _OUT if overwrite else free_folder(_OUT, kinds, sources)
    settings = SinkSettings(OverlayStyle(style, alpha), decode, overwrite)  # type: ignore[arg-type]
    recipe = recipe_of(
        model,
        combine=combine,
        weights=weights,
        tta=tta,
        uncertainty=uncertainty,
        passes=passes,
        crf=crf,
        smooth=smooth,
        backend=backend,
        precision=precision,
        device=device,
        batch=batch,
    )
    predictor = recipe.open(parts_read(kinds))
    reports: list[SourceReport] = []
    try:
        with progress_bar() as bar:
            task = bar.add_task("")
            run = Run(
                predictor,
                out,
                kinds,
                settings,
                every,
                begin=lambda s, frames: bar.reset(task, description=named(Path(s.path).name), total=frames),
                progress=lambda done: bar.update(task, completed=done),
            )
            for report in run.reports(sources):
                reports.append(report)
                for warning in report.warnings:
                    note(f"warning: {report.source}: {warning}")
                if report.error:
                    note(f"error: {report.error}")
    finally:
        document: dict[str, Any] = {
            "sources": [report.to_dict() for report in reports],
            "model": recipe.models[0] if len(recipe.models) == 1 else list(recipe.models),
            **predictor.compute,
        }
        if reports:
            emit(document, _lines(reports, document, crf), json)
    if code := _exit_code(reports):
        raise typer.Exit(code)


def _exit_code(reports: list[SourceReport]) -> int:
    """0 all done, 1 some failed, 2 bad input so that nothing could be done."""
    failed = [report for report in reports if report.error]
    if failed and len(failed) == len(reports) and all(report.exit_code == 2 for report in failed):
        return 2
    return 1 if failed else 0


def _lines(reports: list[SourceReport], document: dict[str, Any], crf: bool) -> list[str]:
    lines = []
    done = [report for report in reports if report.outputs]
    for report in done[:_SHOWN]:
        shown = f"{report.frames} frames, {report.fps:.1f} a second" if report.frames != 1 else "1 picture"
        state = ", interrupted" if report.interrupted else ""
        lines += [f"{output}  ({shown}{state})" for output in report.outputs]
    if len(done) > _SHOWN:
        lines.append(f"… and {len(done) - _SHOWN} more sources")
    if failed := sum(report.error is not None for report in reports):
        lines.append(f"{failed} of {len(reports)} sources failed")
    lines.append(
        f"{document['backend']}, {document['precision']}, {document['device']}" + (", dense CRF" if crf else "")
    )
    return lines
