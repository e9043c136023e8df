"""``lanecli predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lanecli.cli.output import JsonOption, emit, note, progress_bar

if TYPE_CHECKING:
    from lanecli.inference.run import Report

_OUT = Path("runs/predict")


def predict(
    source: Annotated[list[str], typer.Argument(help="Pictures, folders, globs, videos, camera numbers, stream URLs.")],
    model: Annotated[
        list[str] | None, typer.Option(help="A model file, run folder or shipped name; several are averaged.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for outputs; default runs/predict, numbered when they exist there.")
    ] = None,
    save: Annotated[str, typer.Option(help="What to write: overlay, masks; separated by commas.")] = "overlay",
    backend: Annotated[str, typer.Option(help="auto, openvino, onnxruntime or torch.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16 or int8.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    every: Annotated[int, typer.Option(min=1, help="Take each N-th frame of a video.")] = 1,
    crf: Annotated[
        bool, typer.Option("--crf", help="Refine class borders on the picture's edges; some 0.1 s a frame.")
    ] = False,
    shard: Annotated[str | None, typer.Option(help="I/N: do part I of N of the sources.")] = None,
    decode: Annotated[bool, typer.Option("--decode", help="Masks hold the source ids of the label map.")] = False,
    alpha: Annotated[float, typer.Option(help="Opacity of the overlay, 0 to 1.")] = 0.5,
    style: Annotated[str, typer.Option(help="Overlay style: fill, contour or solid.")] = "fill",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    json: JsonOption = False,
) -> None:
    """Draw lane markings on pictures and video, or write them as masks."""
    from lanecli.draw import OverlayStyle
    from lanecli.inference.backends import open_backend
    from lanecli.inference.predictor import Predictor
    from lanecli.inference.run import Options, parse_save, run
    from lanecli.inference.run import shard as part_of
    from lanecli.inference.sinks import free_folder
    from lanecli.media import expand_sources
    from lanecli.shipped import DEFAULT_MODEL

    kinds = parse_save(save)
    sources = part_of(expand_sources(source, exclude=out or _OUT), shard)
    if out is None:
        out = _OUT if overwrite else free_folder(_OUT, kinds, sources)
    options = Options(out, kinds, every, decode, overwrite, OverlayStyle(style, alpha))  # type: ignore[arg-type]
    names = model or [DEFAULT_MODEL]
    backends = [open_backend(name, backend=backend, precision=precision, device=device) for name in names]
    predictor = Predictor(backends, crf=crf)
    reports: list[Report] = []
    try:
        with progress_bar() as bar:
            task = bar.add_task("")
            for report in run(
                sources,
                predictor,
                options,
                begin=lambda s, frames: bar.reset(task, description=Path(s.path).name, total=frames),
                progress=lambda done: bar.update(task, completed=done),
            ):
                reports.append(report)
                for warning in report.warnings:
                    note(f"warning: {report.source}: {warning}")
    finally:
        document: dict[str, Any] = {
            "sources": [report.to_dict() for report in reports],
            "model": names[0] if len(names) == 1 else names,
            "backend": backends[0].name,
            "precision": backends[0].precision,
            "device": backends[0].device,
        }
        if reports:
            emit(document, _lines(reports, document, crf), json)


def _lines(reports: list[Report], document: dict[str, Any], crf: bool) -> list[str]:
    lines = []
    for report in reports[:20]:
        shown = f"{report.frames} frames, {report.fps:.1f} a second" if report.frames != 1 else "1 picture"
        state = ", interrupted" if report.interrupted else ""
        lines += [f"{output}  ({shown}{state})" for output in report.outputs]
    if len(reports) > 20:
        lines.append(f"… and {len(reports) - 20} more sources")
    lines.append(
        f"{document['backend']}, {document['precision']}, {document['device']}" + (", dense CRF" if crf else "")
    )
    return lines
