"""``lanecli score``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lanecli.cli.help import INPUT, SPEED, Command
from lanecli.cli.options import choice
from lanecli.cli.output import JsonOption, emit, note, progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from lanecli.geometry import Size

app = typer.Typer(
    help="Score prediction files with the same counts as the benchmarks' own programs.", no_args_is_help=True
)

_RULES = "Rules"


def _input(metavar: str, text: str) -> Any:
    """Return an argument that names a file or folder."""
    return typer.Argument(metavar=metavar, help=text, rich_help_panel=INPUT)


WidthOption = Annotated[
    int, typer.Option(metavar="N", help="Width in pixels with which lanes are drawn.", rich_help_panel=_RULES)
]
IouOption = Annotated[float, typer.Option(metavar="X", help="Lanes match above this IoU.", rich_help_panel=_RULES)]
SizeOption = Annotated[
    str, typer.Option(metavar="WxH", help="Size of the picture lanes are drawn on.", rich_help_panel=_RULES)
]
ListOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--list",
        metavar="LIST",
        help="A list of pictures, or a folder of lists; may be given several times.  [default: every file in GT_DIR]",
        rich_help_panel=INPUT,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="Processes.  [default: one per CPU core]", rich_help_panel=SPEED),
]


@app.callback()
def score() -> None:
    """Hold the benchmarks, which are subcommands."""


@app.command(cls=Command, epilog="lanecli score tusimple test_label.json runs/predict/tusimple.json")
def tusimple(
    truth: Annotated[Path, _input("GT.json", "A line for each picture: raw_file, lanes, h_samples.")],
    prediction: Annotated[Path, _input("PRED.json", "A line for each picture: raw_file, lanes, run_time.")],
    json: JsonOption = False,
) -> None:
    """TuSimple: accuracy, FP and FN."""
    from lanecli.metrics.tusimple import score_files

    with _progress() as progress:
        result = score_files(truth, prediction, progress)
    lines = [f"{name:8}  {_shown(result[name])}" for name in ("accuracy", "fp", "fn")]
    _finish(result, [*lines, f"{result['pictures']} pictures"], json)


@app.command(cls=Command, epilog="lanecli score culane CULane/ predictions/ --list list/test_split")
def culane(
    truth: Annotated[str, _input("GT_DIR", "Folder of *.lines.txt.")],
    prediction: Annotated[str, _input("PRED_DIR", "Folder of *.lines.txt.")],
    lists: ListOption = None,
    width: WidthOption = 30,
    iou: IouOption = 0.5,
    size: SizeOption = "1640x590",
    workers: WorkersOption = None,
    json: JsonOption = False,
) -> None:
    """CULane: F1, precision and recall, for each list and together.

    As in the official program, an entry of a list is appended to both folders as text, up to its last dot. The folder
    list/test_split has the nine categories; crossroad has no lanes, so only its FP are meaningful.
    """
    from lanecli.metrics.culane import Settings, score_lists
    from lanecli.metrics.picture_list import check_folder, list_of_files, read_lists

    settings = Settings(_checked_width(width), iou, _size(size))
    check_folder(truth)
    chosen = read_lists(lists) if lists else [list_of_files(truth, ".lines.txt")]
    with _progress() as progress:
        result = score_lists(truth, prediction, chosen, settings, workers, progress)
    _finish({"width": width, "iou": iou, "size": list(settings.size), **result}, _lane_table(result), json)


@app.command(cls=Command, epilog="lanecli score openlane lane3d_1000/validation/ predictions/")
def openlane(
    truth: Annotated[str, _input("GT_DIR", "Folder of *.json.")],
    prediction: Annotated[str, _input("PRED_DIR", "Folder of *.json.")],
    lists: ListOption = None,
    width: WidthOption = 30,
    iou: IouOption = 0.3,
    size: SizeOption = "1920x1280",
    categories: Annotated[
        bool,
        typer.Option(
            "--categories/--no-categories",
            help="Whether lanes of different categories can match.",
            rich_help_panel=_RULES,
        ),
    ] = True,
    workers: WorkersOption = None,
    json: JsonOption = False,
) -> None:
    """OpenLane 2D: F1, precision and recall."""
    from lanecli.metrics.openlane import Settings, score_lists
    from lanecli.metrics.picture_list import check_folder, list_of_files, read_lists

    settings = Settings(_checked_width(width), iou, _size(size), categories)
    check_folder(truth)
    chosen = read_lists(lists) if lists else [list_of_files(truth, ".json")]
    with _progress() as progress:
        result = score_lists(truth, prediction, chosen, settings, workers, progress)
    given = {"width": width, "iou": iou, "size": list(settings.size), "categories": categories}
    _finish({**given, **result}, _lane_table(result), json)


@app.command(cls=Command, epilog="lanecli score llamas llamas/labels/valid predictions/")
def llamas(
    labels: Annotated[Path, _input("LABELS", "Folder of label files, such as labels/valid.")],
    prediction: Annotated[
        Path, _input("PRED", "Folder of *.lines.txt or of *.json_1.png, or a JSON file of regressed lines.")
    ],
    width: WidthOption = 30,
    workers: WorkersOption = None,
    json: JsonOption = False,
) -> None:
    """LLAMAS: F1 of lines, their distances, or pixel scores.

    F1 of lane lines for *.lines.txt, mean distances for a JSON file, precision-recall scores for *.json_1.png.
    """
    from lanecli.metrics import llamas as scores
    from lanecli.metrics.llamas_pixels import score_segmentation

    if not prediction.is_dir():
        result = scores.score_regression(labels, prediction)
        lines = [f"{name:4}  {_shown(result[name])} px" for name in ("mean", "l1", "l0", "r0", "r1")]
        pictures = len(result["per_image"])
    elif next(prediction.rglob("*.json_1.png"), None):
        with _progress() as progress:
            result = score_segmentation(labels, prediction, workers, progress)
        lines = [
            "  ".join([f"class {name}", *(f"{key} {_shown(value)}" for key, value in values.items())])
            for name, values in result["multi"].items()
        ]
        pictures = len(result["per_image_multi"])
    else:
        with _progress() as progress:
            result = scores.score_lines(labels, prediction, _checked_width(width), workers, progress)
        lines = [f"{name:9}  {_shown(result[name])}" for name in ("TP", "FP", "FN", "Precision", "Recall", "F1")]
        pictures = len(result["per_image"])
    _finish(result, [*lines, f"{pictures} pictures"], json)


@app.command(cls=Command, epilog="lanecli score bdd100k labels/lane/masks/val predictions/ --task lane")
def bdd100k(
    truth: Annotated[Path, _input("GT_DIR", "Folder of PNG labels.")],
    prediction: Annotated[Path, _input("PRED_DIR", "Folder of PNG files of the same names.")],
    task: Annotated[
        str, choice(("auto", "lane", "drivable"), "auto decides by the folder's name or its values.", _RULES)
    ] = "auto",
    workers: WorkersOption = None,
    json: JsonOption = False,
) -> None:
    """BDD100K: F of lane marks at 1, 2 and 5 px, or mIoU of areas."""
    from lanecli.errors import InputError
    from lanecli.metrics import bdd100k as scores

    if task not in ("auto", "lane", "drivable"):
        raise InputError(f"--task is lane, drivable or auto, not '{task}'")
    chosen = scores.task_of(truth) if task == "auto" else task
    with _progress() as progress:
        count = scores.score_lanes if chosen == "lane" else scores.score_drivable
        result = count(truth, prediction, workers, progress)
    lines = [f"{name:18}  {_shown(value)} %" for name, value in result["summary"].items()]
    _finish({"task": chosen, **result}, [f"task: {chosen}", *lines], json)


@app.command(cls=Command, epilog="lanecli score apolloscape labels/ predictions/")
def apolloscape(
    truth: Annotated[Path, _input("GT_DIR", "Folder of PNG masks of source ids.")],
    prediction: Annotated[Path, _input("PRED_DIR", "Folder of PNG masks of the same paths.")],
    workers: WorkersOption = None,
    json: JsonOption = False,
) -> None:
    """ApolloScape: mean IoU of classes and of categories."""
    from lanecli.metrics.apolloscape import score_folders

    with _progress() as progress:
        result = score_folders(truth, prediction, workers, progress)
    present = {name: value for name, value in result["iou_class"].items() if value is not None}
    lines = [f"{name:9}  {_shown(value)}" for name, value in present.items()]
    lines.append(f"mean      {_shown(result['mean_iou_classes'])} over {len(present)} classes, void included")
    lines.append(f"mean      {_shown(result['mean_iou_categories'])} over categories")
    _finish(result, lines, json)


@app.command(cls=Command, epilog="lanecli score masks labels/ predictions/ --classes camvid-11")
def masks(
    truth: Annotated[Path, _input("GT_DIR", "Folder of PNG masks.")],
    prediction: Annotated[Path, _input("PRED_DIR", "Folder of PNG masks of the same paths.")],
    classes: Annotated[
        str,
        typer.Option(
            metavar="MAP", help="Label map of 'lanecli list labelmaps', or a YAML file.", rich_help_panel=INPUT
        ),
    ],
    workers: WorkersOption = None,
    json: JsonOption = False,
) -> None:
    """Masks of any label map: the pixel scores of evaluate.

    These are IoU, Dice, precision, recall and pixel accuracy.
    """
    from lanecli.cli.evaluate import class_table
    from lanecli.labelmaps import resolve_label_map
    from lanecli.metrics.masks import score_folders

    label_map = resolve_label_map(classes)
    with _progress() as progress:
        result = score_folders(truth, prediction, label_map, workers, progress)
    lines = [*class_table(result), f"{result['n_images']} pictures"]
    _finish({"classes": label_map.name, **result}, lines, json)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    with progress_bar() as bar:
        task = bar.add_task("scoring")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _finish(document: dict[str, Any], lines: list[str], json: bool) -> None:
    for warning in document.get("warnings", ()):
        note(f"warning: {warning}")
    emit(document, lines, json)


def _size(text: str) -> Size:
    from lanecli.geometry import parse_size

    return parse_size(text)


def _checked_width(width: int) -> int:
    from lanecli.errors import InputError

    if not 2 <= width <= 255:
        raise InputError(f"--width is 2 to 255 pixels, not {width}")
    return width


def _shown(value: float | None) -> str:
    """Return a score with six digits, as the official programs print it."""
    return "not defined" if value is None else f"{value:.6g}"


def _lane_table(result: dict[str, Any]) -> list[str]:
    """Return a row for each list and one for all; a score without a denominator has the official value beside it."""
    from lanecli.cli.table import Column, table

    rows = {**result["lists"], "all": result} if len(result["lists"]) > 1 else result["lists"]

    def cells(name: str) -> list[str]:
        return [
            f"not defined ({row['printed'][name]})" if name in row["not_defined"] else row["printed"][name]
            for row in rows.values()
        ]

    columns = [Column("list", list(rows))]
    columns += [Column(name, [str(row[name]) for row in rows.values()], right=True) for name in ("tp", "fp", "fn")]
    columns += [Column(name, cells(name), right=True) for name in ("precision", "recall", "f1")]
    lines = table(columns)
    if any(row["not_defined"] for row in rows.values()):
        lines.append("In brackets: what the official program prints. Without true lanes, only FP are meaningful.")
    return [*lines, f"{result['pictures']} entries"]
