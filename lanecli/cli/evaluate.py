"""``lanecli evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lanecli.cli.output import JsonOption, emit, progress_bar


def evaluate(
    model: Annotated[list[str], typer.Argument(help="A model file, run folder or shipped name; several are averaged.")],
    data: Annotated[Path, typer.Option(help="A prepared dataset.")],
    split: Annotated[str, typer.Option(help="Of the dataset's manifest.")] = "val",
    backend: Annotated[str, typer.Option(help="auto, openvino, onnxruntime or torch.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16 or int8.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    crf: Annotated[
        bool, typer.Option("--crf", help="Refine class borders on the picture's edges first, as predict does.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder that gets evaluation.json.")] = None,
    json: JsonOption = False,
) -> None:
    """Score a model on a dataset: IoU, Dice, precision, recall, pixel accuracy, calibration, milliseconds."""
    import json as json_module

    from lanecli.inference.backends import open_backend
    from lanecli.inference.evaluate import evaluate as score
    from lanecli.media.outputs import prepare_target, write_atomically

    target = prepare_target(out / "evaluation.json") if out else None
    backends = [open_backend(name, backend=backend, precision=precision, device=device) for name in model]
    with progress_bar() as bar:
        task = bar.add_task("evaluating")
        scores = score(
            backends, data, split, crf=crf, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    document = {
        "model": model[0] if len(model) == 1 else model,
        "data": str(data),
        "split": split,
        "backend": backends[0].name,
        "precision": backends[0].precision,
        "crf": crf,
        **scores,
    }
    if target is not None:
        write_atomically(target, json_module.dumps(document, ensure_ascii=False, indent=2).encode())
    emit(document, _table(scores), json)


def _table(scores: dict[str, Any]) -> list[str]:
    lines = class_table(scores)
    lines.append(f"NLL {_cell(scores['nll'])}, Brier {_cell(scores['brier'])}, ECE {_cell(scores['ece'])}")
    lines.append(f"{scores['n_images']} pictures, {scores['ms_per_image']:.1f} ms each")
    return lines


def _cell(value: float | None) -> str:
    return "     -" if value is None else f"{value:6.4f}"


def class_table(scores: dict[str, Any]) -> list[str]:
    """Pixel scores of each class, and their means, as lines."""
    width = max(len(name) for name in scores["iou"])
    lines = [f"{'class':{width}}    IoU    Dice  precision  recall"]
    for name in scores["iou"]:
        row = [_cell(scores[key][name]) for key in ("iou", "dice", "precision", "recall")]
        lines.append(f"{name:{width}}  {row[0]}  {row[1]}     {row[2]}  {row[3]}")
    lines.append(f"mIoU {_cell(scores['miou'])} with background, {_cell(scores['miou_foreground'])} without")
    lines.append(f"pixel accuracy {_cell(scores['pixel_accuracy'])}")
    return lines
