"""``lanecli evaluate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from lanecli.cli.complete import models
from lanecli.cli.help import INPUT, MODEL, OUTPUT
from lanecli.cli.options import (
    BackendOption,
    CleanOption,
    CombineOption,
    CrfOption,
    DeviceOption,
    PassesOption,
    PrecisionOption,
    TtaOption,
    UncertaintyOption,
    WeightsOption,
    recipe_of,
)
from lanecli.cli.output import JsonOption, emit, progress_bar

EXAMPLES = """
lanecli evaluate --data data/camvid      scores the shipped model
lanecli evaluate runs/train --data data/camvid --split test --out scores
lanecli evaluate lane runs/train --data data/camvid --combine vote --json
"""


def evaluate(
    data: Annotated[Path, typer.Option(metavar="DIR", help="A prepared dataset.", rich_help_panel=INPUT)],
    model: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="A model file, run folder, ensemble file or shipped model; several are combined.  [default: lane]",
            rich_help_panel=MODEL,
            autocompletion=models,
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Split of the dataset to score on.", rich_help_panel=INPUT)
    ] = "val",
    combine: CombineOption = None,
    weights: WeightsOption = None,
    tta: TtaOption = "none",
    crf: CrfOption = False,
    clean: CleanOption = False,
    uncertainty: UncertaintyOption = "none",
    passes: PassesOption = 5,
    lanes: Annotated[
        bool,
        typer.Option("--lanes", help="Score lane lines too; the dataset needs lanes.jsonl.", rich_help_panel=OUTPUT),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for scores of each picture, the best and worst pictures, and the confusion matrix.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    json: JsonOption = False,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Score a model on a dataset: IoU, Dice, precision, recall, pixel accuracy, calibration, speed."""
    import json as json_module

    from lanecli import atomic
    from lanecli.inference.evaluate import evaluate as score
    from lanecli.report.evaluation import FILES, SCORES, EvaluationReport

    report = EvaluationReport()
    if out is not None:
        for name in (SCORES, *FILES):
            atomic.prepare_target(out / name)
    recipe = recipe_of(
        model,
        combine=combine,
        weights=weights,
        tta=tta,
        uncertainty=uncertainty,
        passes=passes,
        crf=crf,
        clean=clean,
        backend=backend,
        precision=precision,
        device=device,
    )
    with progress_bar() as bar:
        task = bar.add_task("evaluating")
        scores = score(
            recipe,
            data,
            split,
            metrics=[*(["uncertainty"] if recipe.uncertainty != "none" else []), *(["lanes"] if lanes else [])],
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            each=report.add if out else None,
        )
    if "uncertainty" in scores:
        scores["uncertainty"] = {"measure": recipe.uncertainty, **scores["uncertainty"]}
    document = {
        "model": recipe.models[0] if len(recipe.models) == 1 else list(recipe.models),
        "data": str(data),
        "split": split,
        "crf": crf,
        "clean": clean,
        **scores,
    }
    written: list[Path] = []
    if out is not None:
        written = [out / SCORES, *report.write(out)]
        document["files"] = [str(path) for path in written]
        atomic.write(out / SCORES, json_module.dumps(document, ensure_ascii=False, indent=2).encode())
    emit(document, [*_table(scores), *(str(path) for path in written)], json)


def _table(scores: dict[str, Any]) -> list[str]:
    lines = class_table(scores)
    if spread := scores["intervals"] and scores["intervals"]["miou_foreground"]:
        lines.append(f"mIoU without background: 95 % between {spread[0]:.4f} and {spread[1]:.4f} over groups")
    if len(scores["groups"]) > 1:
        lines.append("mIoU without background of each group:")
        lines += [f"  {_cell(each['miou_foreground'])}  {group}" for group, each in scores["groups"].items()]
    lines.append(f"NLL {_cell(scores['nll'])}, Brier {_cell(scores['brier'])}, ECE {_cell(scores['ece'])}")
    if "lanes" in scores:
        tusimple, culane = scores["lanes"]["tusimple"], scores["lanes"]["culane"]
        lines.append(
            f"lane lines: TuSimple accuracy {_cell(tusimple['accuracy'])}, FP {_cell(tusimple['fp'])}, "
            f"FN {_cell(tusimple['fn'])}; CULane F1 {_cell(culane['f1'])}, precision {_cell(culane['precision'])}, "
            f"recall {_cell(culane['recall'])}"
        )
    ms = scores["ms"]
    lines.append(
        f"{scores['n_images']} pictures, {scores['ms_per_image']:.1f} ms each: {ms['preprocess']:.1f} before the "
        f"network, {ms['network']:.1f} in it, {ms['postprocess']:.1f} after it"
    )
    if "uncertainty" in scores:
        lines += _uncertainty_lines(scores["uncertainty"], _cell)
    return lines


def _uncertainty_lines(found: dict[str, Any], cell: Callable[[float | None], str]) -> list[str]:
    lines = [f"{found['measure']}: where the prediction is wrong, the uncertainty should be high"]
    for name, scores in found["maps"].items():
        lines.append(
            f"  {name}: AUROC {cell(scores['auroc_error'])} and AUPR {cell(scores['aupr_error'])} of wrong pixels, "
            f"AURC {cell(scores['aurc'])}"
        )
    lines += [
        f"  surest {100 * row['coverage']:5.1f} % of pixels: mIoU without background {cell(row['miou_foreground'])}"
        for row in found["coverage"]
    ]
    return lines


def _cell(value: float | None) -> str:
    return "     -" if value is None else f"{value:6.4f}"


def class_table(scores: dict[str, Any]) -> list[str]:
    """Return the pixel scores of each class and their means, as lines."""
    width = max(len(name) for name in scores["iou"])
    borders = scores.get("boundary_f1")
    lines = [f"{'class':{width}}    IoU    Dice  precision  recall{'  boundary F1' if borders else ''}"]
    for name in scores["iou"]:
        row = [_cell(scores[key][name]) for key in ("iou", "dice", "precision", "recall")]
        border = f"       {_cell(borders[name])}" if borders else ""
        lines.append(f"{name:{width}}  {row[0]}  {row[1]}     {row[2]}  {row[3]}{border}")
    lines.append(f"mIoU {_cell(scores['miou'])} with background, {_cell(scores['miou_foreground'])} without")
    lines.append(f"pixel accuracy {_cell(scores['pixel_accuracy'])}")
    return lines
