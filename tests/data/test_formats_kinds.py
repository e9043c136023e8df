"""Kinds of input that came out wrong once, generated more widely than the files that showed them."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_files import BOX, FOREIGN, OUTLINE, SIZE, indented
from miniature_files import as_json, block, colors, ids, picture, stored, text
from miniatures import culane_tree, cvat_mask_export, tusimple_tree
from PIL import Image

from lanecli.data.job import Job
from lanecli.data.lane_lines import within_rows
from lanecli.data.lanes import read_lane_lines
from lanecli.data.manifest import DatasetInfo, read_dataset
from lanecli.data.orientation import turned_points, upright_size
from lanecli.data.pairs import BrokenPairsError
from lanecli.data.prepare import check_dataset, prepare_dataset
from lanecli.data.words import sequence_of, split_of
from lanecli.errors import InputError
from lanecli.labelmaps.lane import reads_like_a_lane
from lanecli.media.orientation import Orientation
from lanecli.media.pictures import read_picture


def prepare(
    name: str, source: Path, out: Path, note: Callable[[str], object] = lambda line: None, **options: Any
) -> DatasetInfo:
    return prepare_dataset(Job(name, source, out, contact_sheet=0, **options), note=note)


def masks(info: DatasetInfo) -> dict[str, np.ndarray]:
    return {s.mask.relative_to(info.root / "masks").with_suffix("").as_posix(): stored(s.mask) for s in info.samples}


def lanes_of(info: DatasetInfo) -> dict[str, tuple[np.ndarray, ...]]:
    """Lane lines by the last part of the picture's name."""
    return {path.name: lanes for path, lanes in read_lane_lines(info.root).items()}


def labelme_json(
    root: Path, stem: str, shapes: list[dict[str, Any]], size: tuple[int, int] = SIZE, **more: Any
) -> Path:
    content = {"shapes": shapes, "imagePath": f"{stem}.jpg", "imageData": None}
    return as_json(root / f"{stem}.json", {**content, "imageWidth": size[0], "imageHeight": size[1], **more})


def polygon(label: str, points: list[list[float]] = BOX, **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": "polygon", **more}


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["_jpg", "_png", "_jpeg", ".jpg"])
def test_copies_roboflow_made_of_a_frame_are_of_one_recording(suffix: str) -> None:
    names = [f"drive_{n:04}{suffix}.rf.{c * 32}" for n in range(3) for c in "ab"]
    assert {sequence_of(name) for name in names} == {"drive"}
    assert sequence_of(f"a/town-{suffix}.rf.0f") == "a/town-" or sequence_of("a/town_jpg.rf.0f") == "a/town"


def test_groups_about_as_many_as_pictures_are_warned_of(tmp_path: Path) -> None:
    for number in range(12):
        picture(tmp_path / f"src/images/{'abcdefghijkl'[number]}x.png", (4, 4))
        ids(tmp_path / f"src/masks/{'abcdefghijkl'[number]}x.png", block((4, 4), 1, 0, 0, 2, 2))
    notes: list[str] = []
    prepare("folder", tmp_path / "src", tmp_path / "out", note=notes.append)
    assert any("12 groups of 12 pictures" in line and "neighbouring frames" in line for line in notes)
    notes.clear()
    prepare("folder", tmp_path / "src", tmp_path / "out2", note=notes.append, split="val=a*,train=*")
    info = read_dataset(tmp_path / "out2")
    assert info.splits == {"val": 1, "train": 11}


def cvat_project(root: Path, tasks: int, frames: int, subsets: tuple[str, ...] = ("default",)) -> Path:
    images = []
    for task in range(tasks):
        for frame in range(frames):
            subset = subsets[task % len(subsets)]
            name = f"frame_{frame:06}{f'_{task}' if task and len(subsets) == 1 else ''}.png"
            picture(root / "images" / ("" if subset == "default" else subset) / name, SIZE)
            images.append(
                f'<image id="{frame}" name="{name}" subset="{subset}" task_id="{task}" width="{SIZE[0]}" '
                f'height="{SIZE[1]}"><polygon label="lane" points="4,4;20,4;20,20;4,20" z_order="0"/></image>'
            )
    labels = "<meta><project><labels><label><name>lane</name></label></labels></project></meta>"
    return text(root / "annotations.xml", f"<annotations>{labels}{''.join(images)}</annotations>").parent


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_videos_of_a_cvat_project_never_straddle_splits(tmp_path: Path, tasks: int) -> None:
    info = prepare("cvat", cvat_project(tmp_path / "src", tasks, 4), tmp_path / "out")
    assert len({s.group for s in info.samples}) == tasks
    assert all(
        len({s.split for s in info.samples if s.group == group}) == 1 for group in {s.group for s in info.samples}
    )
    assert len(info.splits) == 2


def test_equal_names_in_subsets_of_a_cvat_project_are_kept_apart(tmp_path: Path) -> None:
    root = cvat_project(tmp_path / "src", 3, 2, ("Train", "Validation", "test"))
    info = prepare("cvat", root, tmp_path / "out")
    assert info.splits == {"train": 2, "val": 2, "test": 2}
    assert len({s.mask for s in info.samples}) == len({s.image for s in info.samples}) == 6


# --- splits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", ["{}", "{}.jpg", '"{}"', "'{}'", "/{}", "./{}.JPG", "JPEGImages\\{}.jpg"])
def test_names_in_lists_however_they_are_written(tmp_path: Path, write: str) -> None:
    root = cvat_mask_export(tmp_path / "src")
    for split, name in (("Train", "clip a/frame_1"), ("Validation", "clip b/frame_1")):
        path = root / f"ImageSets/Segmentation/{split}.txt"
        path.write_text(write.format(name.split("/")[0] + "/frame_1") + "\n")
    info = prepare("cvat", root, tmp_path / "out")
    assert {s.group: s.split for s in info.samples} == {"clip a/frame": "train", "clip b/frame": "val"}
    assert "ImageSets" in info.prepared["splits"]


def test_pictures_in_no_official_split_are_named_and_left_out(tmp_path: Path) -> None:
    root = cvat_mask_export(tmp_path / "src")
    (root / "ImageSets/Segmentation/Validation.txt").unlink()
    notes: list[str] = []
    info = prepare("cvat", root, tmp_path / "out", note=notes.append)
    assert info.splits == {"train": 1}
    assert any("1 pictures are in no official split" in n and "clip b/frame_1" in n for n in notes)
    both = prepare("cvat", root, tmp_path / "out2", split="train=0.5,val=0.5", note=notes.append)
    assert len(both.samples) == 2
    assert any("--split replaces the official split" in n for n in notes)


def test_a_picture_in_two_lists_is_named(tmp_path: Path) -> None:
    root = cvat_mask_export(tmp_path / "src")
    text(root / "ImageSets/Segmentation/Validation.txt", "clip b/frame_1\nclip a/frame_1\n")
    with pytest.raises(InputError, match=r"Validation\.txt line 2: 'clip a/frame_1' is in 'train' already"):
        prepare("cvat", root, tmp_path / "out")


@pytest.mark.parametrize(
    ("word", "split"), [("valid", "val"), ("trainval", None), ("Training", "train"), ("testing", None)]
)
def test_words_for_splits(word: str, split: str | None) -> None:
    assert split_of(word) == split


def test_few_pictures_of_one_drive_are_offered_a_split(tmp_path: Path) -> None:
    for number in range(10):
        picture(tmp_path / f"src/drive_{number:04}.jpg", SIZE)
        labelme_json(tmp_path / "src", f"drive_{number:04}", [polygon("lane")])
    notes: list[str] = []
    prepare("labelme", tmp_path / "src", tmp_path / "out", note=notes.append)
    assert any(
        "all 10 pictures are in split 'train' and in one group ('drive')" in n and "--by frame" in n for n in notes
    )
    assert prepare("labelme", tmp_path / "src", tmp_path / "out2", by="frame").splits == {"train": 8, "val": 2}


# --- black and white -------------------------------------------------------------------------------------------------


def folder_of(root: Path, kinds: list[list[int]]) -> Path:
    """A folder with a mask of a row for each list of values."""
    for number, values in enumerate(kinds):
        picture(root / f"images/f{number:03}.png", (len(values), 1))
        ids(root / f"masks/f{number:03}.png", [values])
    return root


EMPTY, BLACK_WHITE, IDS, BOTH = [0, 0, 0], [0, 255, 0], [0, 1, 0], [0, 1, 255]


@pytest.mark.parametrize("late", [1, 19, 20, 25, 40])
def test_empty_masks_before_the_first_black_and_white_one(tmp_path: Path, late: int) -> None:
    info = prepare("folder", folder_of(tmp_path / "src", [EMPTY] * late + [BLACK_WHITE]), tmp_path / "out")
    assert list(masks(info).values())[-1].tolist() == [[0, 1, 0]]
    assert info.prepared["classes"] == "background ← 0; lane marking ← 255"


@pytest.mark.parametrize("early", [1, 25])
def test_a_late_mask_of_ids_makes_255_ignored_everywhere(tmp_path: Path, early: int) -> None:
    """25 masks look black and white; the last shows that they are not."""
    notes: list[str] = []
    root = folder_of(tmp_path / "src", [BLACK_WHITE] * early + [BOTH])
    info = prepare("folder", root, tmp_path / "out", note=notes.append)
    assert masks(info)["f000"].tolist() == [[0, 255, 0]]
    assert masks(info)[f"f{early:03}"].tolist() == [[0, 1, 255]]
    assert not any("255 is read as lane marking" in n for n in notes)


@pytest.mark.parametrize(
    "kinds",
    [[[255, 255]] * 3, [BLACK_WHITE, IDS], [IDS, BLACK_WHITE], [IDS] * 25 + [BLACK_WHITE], [BLACK_WHITE] * 25 + [IDS]],
)
def test_masks_that_speak_against_each_other_are_asked_about(tmp_path: Path, kinds: list[list[int]]) -> None:
    root = folder_of(tmp_path / "src", kinds)
    with pytest.raises(InputError, match="is 255 lane marking or ignored"):
        prepare("folder", root, tmp_path / "out")
    assert not (tmp_path / "out/masks").exists()
    _, problems = check_dataset(Job("folder", root))
    assert any("is 255 lane marking or ignored" in line for line in problems)


def test_the_question_can_be_answered(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "src", [[255, 255], [0, 255]])
    answer = prepare("folder", root, tmp_path / "binary", classes="binary")
    assert masks(answer)["f000"].tolist() == [[1, 1]]
    own = "classes:\n- {name: bg, color: [0, 0, 0], sources: [0]}\n- {name: lane, color: [0, 9, 0], sources: [1]}\n"
    path = text(tmp_path / "own.yaml", f"{own}ignored: [255]\n")
    ignored = prepare("folder", root, tmp_path / "own", classes=str(path))
    assert masks(ignored)["f001"].tolist() == [[0, 255]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_saved_in_equal_channels_is_grey(tmp_path: Path, mode: str) -> None:
    picture(tmp_path / "src/images/a.png", (4, 2))
    (tmp_path / "src/masks").mkdir()
    grey = Image.fromarray(np.array([[0, 1, 255, 0], [0, 1, 1, 0]], np.uint8))
    grey.convert(mode).save(tmp_path / "src/masks/a.png")
    assert masks(prepare("folder", tmp_path / "src", tmp_path / "out"))["a"].tolist() == [[0, 1, 255, 0], [0, 1, 1, 0]]
    colors(tmp_path / "src/masks/a.png", [[(0, 0, 0), (1, 1, 2)]] * 2)
    with pytest.raises(InputError, match="is a colour picture"):
        prepare("folder", tmp_path / "src", tmp_path / "out", overwrite=True)


def test_some_jpeg_masks_are_counted(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "src", [IDS, IDS])
    Image.fromarray(np.zeros((1, 3), np.uint8)).save(root / "masks/f002.jpg")
    notes: list[str] = []
    prepare("folder", root, tmp_path / "out", note=notes.append)
    assert any("1 JPEG masks left out" in n and "f002.jpg" in n for n in notes)


# --- pictures that lie -----------------------------------------------------------------------------------------------


def lying_picture(path: Path, orientation: int, size: tuple[int, int] = (40, 24)) -> np.ndarray:
    """A JPEG with a bright corner and an EXIF orientation; the bright pixels as they are stored."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:8, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return (pixels[..., 0] > 127).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_is_what_the_reader_of_pictures_does(tmp_path: Path, orientation: int) -> None:
    bright = lying_picture(tmp_path / "a.jpg", orientation)
    shown = read_picture(tmp_path / "a.jpg").mean(axis=2) > 127
    size, way = upright_size(tmp_path / "a.jpg")
    assert size == (shown.shape[1], shown.shape[0])
    assert (way.apply(bright) == shown).mean() > 0.99
    points = np.argwhere(bright)[:, ::-1].astype(float)
    x, y = turned_points(points, (40, 24), way).T.astype(int)
    assert shown[y, x].mean() > 0.99
    assert len(set(zip(x, y, strict=True))) == len(points)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("as_stored", [False, True])
@pytest.mark.parametrize("size", [None, (16, 16)])
def test_masks_of_either_orientation_are_taken(
    tmp_path: Path, orientation: int, as_stored: bool, size: tuple[int, int] | None
) -> None:
    bright = lying_picture(tmp_path / "src/images/a.jpg", orientation)
    ids(tmp_path / "src/masks/a.png", bright if as_stored else Orientation.from_exif(orientation).apply(bright))
    info = prepare("folder", tmp_path / "src", tmp_path / "out", size=size)
    (sample,) = info.samples
    shown = read_picture(sample.image).mean(axis=2) > 127
    assert shown.shape == stored(sample.mask).shape
    assert (shown == stored(sample.mask)).mean() > (0.99 if size is None else 0.9)
    assert check_dataset(Job("folder", tmp_path / "src")) == (1, [])


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8])
@pytest.mark.parametrize("as_stored", [False, True])
def test_shapes_and_lanes_in_either_orientation(tmp_path: Path, orientation: int, as_stored: bool) -> None:
    lying_picture(tmp_path / "src/a.jpg", orientation)
    shown, _ = upright_size(tmp_path / "src/a.jpg")
    stored_size = (40, 24)
    if as_stored and shown == stored_size:
        pytest.skip("one size")
    line = {"label": "lane", "points": [[10.5, 20.5], [10.5, 4.5]], "shape_type": "line"}
    labelme_json(tmp_path / "src", "a", [line], stored_size if as_stored else shown)
    info = prepare("labelme", tmp_path / "src", tmp_path / "out", line_width=1)
    mask = stored(info.samples[0].mask)
    assert mask.shape == (shown[1], shown[0])
    for points in lanes_of(info)["a.jpg"]:
        for x, y in np.linspace(points[0], points[-1], 9)[1:-1]:
            assert mask[round(y), round(x)] == 1


def test_a_size_that_is_neither_is_refused(tmp_path: Path) -> None:
    lying_picture(tmp_path / "src/a.jpg", 6)
    labelme_json(tmp_path / "src", "a", [polygon("lane")], (40, 30))
    with pytest.raises(InputError, match=r"a\.json: is 40x30, but its picture a\.jpg is 24x40"):
        prepare("labelme", tmp_path / "src", tmp_path / "out")


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [
        *("lane", "solid lane", "Lane-1", "lane_marking", "solidWhiteLine"),
        *("DASHED", "edge line", "road line", "laneline", "white_line"),
    ],
)
def test_words_of_lanes(word: str) -> None:
    assert reads_like_a_lane(word)


@pytest.mark.parametrize(
    "word",
    [
        *("hedge", "planet", "skyline", "pipeline", "headline", "stop line", "airplane"),
        *("ledge", "arrow", "lane arrow", "linear", "outline", "car"),
    ],
)
def test_words_that_only_sound_like_lanes(word: str) -> None:
    assert not reads_like_a_lane(word)


@pytest.mark.parametrize("word", ["__ignore__", "_ignore_", "__IGNORE__"])
def test_shapes_to_be_ignored_are_no_class(tmp_path: Path, word: str) -> None:
    picture(tmp_path / "src/a.jpg", SIZE)
    labelme_json(tmp_path / "src", "a", [polygon("lane"), polygon(word, [[24, 0], [32, 0], [32, 24], [24, 24]])])
    for classes in (None, "lane"):
        info = prepare("labelme", tmp_path / "src", tmp_path / str(classes), classes=classes)
        assert len(info.label_map.classes) == 2
        assert (masks(info)["a"][:, 24:] == 255).all()
        assert f"ignored ← '{word}'" in info.prepared["classes"]


def test_cvat_ids_are_the_same_whichever_export_one_takes(tmp_path: Path) -> None:
    """In the order of the task's labels, which is not that of the alphabet."""
    labels = {"zebra": (1, 2, 3), "lane": (250, 50, 83), "arrow": (9, 8, 7)}
    picture(tmp_path / "xml/a.png", SIZE)
    declared = "".join(
        f"<label><name>{name}</name><color>#{r:02x}{g:02x}{b:02x}</color></label>" for name, (r, g, b) in labels.items()
    )
    shapes = "".join(
        f'<box label="{name}" xtl="{8 * i}" ytl="0" xbr="{8 * i + 8}" ybr="24" z_order="0"/>'
        for i, name in enumerate(labels)
    )
    text(
        tmp_path / "xml/annotations.xml",
        f"<annotations><meta><task><labels>{declared}</labels></task></meta>"
        f'<image id="0" name="a.png" width="{SIZE[0]}" height="{SIZE[1]}">{shapes}</image></annotations>',
    )
    picture(tmp_path / "mask/JPEGImages/a.png", SIZE)
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for i, color in enumerate(labels.values()):
        pixels[:, 8 * i : 8 * i + 8] = color
    colors(tmp_path / "mask/SegmentationClass/a.png", pixels)
    lines = "".join(f"{name}:{r},{g},{b}::\n" for name, (r, g, b) in labels.items())
    text(tmp_path / "mask/labelmap.txt", f"# label:color_rgb:parts:actions\nbackground:0,0,0::\n{lines}")
    xml, mask = (prepare("cvat", tmp_path / kind, tmp_path / f"{kind} out") for kind in ("xml", "mask"))
    assert xml.label_map.names == mask.label_map.names == ("background", *labels)
    assert np.array_equal(masks(xml)["a"], masks(mask)["a"])


def test_labels_no_mask_holds_are_left_out_of_the_mask_export_too(tmp_path: Path) -> None:
    root = cvat_mask_export(tmp_path / "src")
    with (root / "labelmap.txt").open("a") as file:
        file.write("only a tag:7,7,7::\n")
    info = prepare("cvat", root, tmp_path / "out")
    assert info.label_map.names == ("background", "lane line", "arrow")
    assert "left out, since nothing has this label: only a tag" in info.prepared["classes"]


def test_tags_and_boxes_make_no_dead_class(tmp_path: Path) -> None:
    FOREIGN["`coco` JSON"].make(tmp_path / "src")
    path = tmp_path / "src/x.json"
    data = json.loads(path.read_text())
    data["categories"] += [{"id": 7, "name": "box only"}, {"id": 8, "name": "never"}]
    data["annotations"].append({"id": 9, "image_id": 1, "category_id": 7, "bbox": [1, 1, 4, 4]})
    indented(path, data)
    notes: list[str] = []
    info = prepare("coco", tmp_path / "src", tmp_path / "out", note=notes.append)
    assert info.label_map.names == ("background", "lane")
    assert "box only, never" in info.prepared["classes"]
    assert "1 left out (1 boxes without an outline)" in info.prepared["annotations"]
    assert any("annotations left out: 1 boxes without an outline" in n for n in notes)


# --- layouts of tools ------------------------------------------------------------------------------------------------


def zipped(root: Path, target: Path, below: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, f"{below}{path.relative_to(root).as_posix()}")
    return target


@pytest.mark.parametrize("below", ["", "export/", "a/b c/", "job é/"])
@pytest.mark.parametrize("row", [row for row, foreign in FOREIGN.items() if foreign.source == "."])
def test_zips_of_every_format(tmp_path: Path, row: str, below: str) -> None:
    foreign = FOREIGN[row]
    foreign.make(tmp_path / "src")
    archive = zipped(tmp_path / "src", tmp_path / "job.zip", below)
    plain = prepare(foreign.format, tmp_path / "src", tmp_path / "plain")
    info = prepare(foreign.format, archive, tmp_path / "out")
    assert info.splits == plain.splits
    # the one folder of a zip may be of the layout: its pictures then lose that part of their names
    found = {name.split("/")[-1]: mask.tolist() for name, mask in masks(info).items()}
    assert found == {name.split("/")[-1]: mask.tolist() for name, mask in masks(plain).items()}
    assert all(s.image.is_relative_to(info.root / "unpacked") for s in info.samples)
    assert read_dataset(info.root) == info


def test_zips_made_on_windows(tmp_path: Path) -> None:
    FOREIGN["`cvat` annotations.xml"].make(tmp_path / "src")
    with zipfile.ZipFile(tmp_path / "job.zip", "w") as archive:
        for path in sorted((tmp_path / "src").rglob("*.*")):
            archive.writestr(str(path.relative_to(tmp_path / "src")).replace("/", "\\"), path.read_bytes())
    assert len(prepare("cvat", tmp_path / "job.zip", tmp_path / "out").samples) == 1


def test_damaged_zips_are_named(tmp_path: Path) -> None:
    FOREIGN["`coco` JSON"].make(tmp_path / "src")
    archive = zipped(tmp_path / "src", tmp_path / "job.zip")
    data = bytearray(archive.read_bytes())
    data[60:80] = bytes(20)
    archive.write_bytes(data)
    with pytest.raises(InputError, match=r"job\.zip: "):
        prepare("coco", archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_coco_of_stuff_and_instances_beside_each_other(tmp_path: Path) -> None:
    root = tmp_path / "src"
    picture(root / "train2017/a.jpg", SIZE)
    whole = [0.0, 0, 32, 0, 32, 24, 0, 24]
    for name, label, outline in (("stuff", "road", whole), ("instances", "lane", OUTLINE)):
        indented(
            root / f"annotations/{name}_train2017.json",
            {
                "images": [{"id": 1, "file_name": "a.jpg", "width": SIZE[0], "height": SIZE[1]}],
                "annotations": [{"id": 1, "image_id": 1, "category_id": len(name), "segmentation": [outline]}],
                "categories": [{"id": len(name), "name": label}],
            },
        )
    info = prepare("coco", root, tmp_path / "out")
    (mask,) = masks(info).values()
    assert info.label_map.names == ("background", "road", "lane")
    assert (mask[4:20, 4:20] == 2).all()
    assert mask[0, 0] == 1


@pytest.mark.parametrize("kind", ["int", "text", "float"])
def test_coco_ids_of_every_type(tmp_path: Path, kind: str) -> None:
    FOREIGN["`coco` JSON"].make(tmp_path / "src")
    path = tmp_path / "src/x.json"
    data = json.loads(path.read_text())
    data["images"][0]["id"] = {"int": 1, "text": "1", "float": 1.0}[kind]
    data["categories"][0]["id"] = {"int": 1, "text": "1", "float": 1.0}[kind]
    indented(path, data)
    assert masks(prepare("coco", tmp_path / "src", tmp_path / "out"))["sub/a 1"].sum() == 16 * 16


@pytest.mark.parametrize(
    ("width", "height"), [(None, None), ("absent", "absent"), (32, 24), ("32", "24"), (32.0, 24.0)]
)
@pytest.mark.parametrize("row", ["`coco` JSON", "`labelme` JSON"])
def test_sizes_that_are_missing_are_the_pictures(tmp_path: Path, row: str, width: object, height: object) -> None:
    foreign = FOREIGN[row]
    foreign.make(tmp_path / "src")
    path = tmp_path / "src" / foreign.file
    data = json.loads(path.read_text())
    entry, keys = (
        (data["images"][0], ("width", "height")) if row == "`coco` JSON" else (data, ("imageWidth", "imageHeight"))
    )
    for key, value in zip(keys, (width, height), strict=True):
        entry[key] = value
        if value == "absent":
            del entry[key]
    indented(path, data)
    (mask,) = masks(prepare(foreign.format, tmp_path / "src", tmp_path / "out")).values()
    assert mask.sum() == 16 * 16


@pytest.mark.parametrize("row", ["`coco` JSON", "`labelme` JSON", "`cvat` annotations.xml"])
def test_a_declared_size_is_compared_with_the_picture_before_anything_is_drawn(tmp_path: Path, row: str) -> None:
    foreign = FOREIGN[row]
    foreign.make(tmp_path / "src")
    path = tmp_path / "src" / foreign.file
    text(path, path.read_text().replace(str(SIZE[0]), "10000").replace(str(SIZE[1]), "10000"))
    with pytest.raises(InputError, match="is 10000x10000, but its picture .* is 32x24"):
        prepare(foreign.format, tmp_path / "src", tmp_path / "out")


def test_masks_far_larger_than_the_picture_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    FOREIGN["`cvat` annotations.xml"].make(tmp_path / "src")
    path = tmp_path / "src/annotations.xml"
    mask = '<mask label="lane" rle="99999999,1" left="0" top="0" width="10000" height="10000" z_order="0"/></image>'
    text(path, path.read_text().replace("</image>", mask))
    with pytest.raises(InputError, match="a mask of 10000x10000 in a picture of"):
        prepare("cvat", tmp_path / "src", tmp_path / "out")


@pytest.mark.parametrize("over", [-3, -1, 0, 1, 2, 30])
def test_masks_are_cut_off_at_every_border(tmp_path: Path, over: int) -> None:
    FOREIGN["`cvat` annotations.xml"].make(tmp_path / "src")
    path = tmp_path / "src/annotations.xml"
    shapes = "".join(
        f'<mask label="lane" rle="0,{3 * 3}" left="{left}" top="{top}" width="3" height="3" z_order="0"/>'
        for left, top in ((SIZE[0] - 3 + over, 0), (-over, 21), (27, SIZE[1] - 3 + over))
    )
    content = path.read_text()
    text(path, content[: content.index("<polygon")] + shapes + content[content.index("</image>") :])
    wanted = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    for left, top in ((SIZE[0] - 3 + over, 0), (-over, 21), (27, SIZE[1] - 3 + over)):
        for y in range(top, top + 3):
            for x in range(left, left + 3):
                if 0 <= x < SIZE[0] and 0 <= y < SIZE[1]:
                    wanted[y, x] = 1
    if not wanted.any():
        return
    assert np.array_equal(masks(prepare("cvat", tmp_path / "src", tmp_path / "out"))["sub/a 1"], wanted)


def test_pictures_inside_of_labelme_files_beside_those_that_are_not(tmp_path: Path) -> None:
    root = tmp_path / "src"
    picture(root / "a.jpg", SIZE)
    labelme_json(root, "a", [polygon("lane")])
    hidden = picture(tmp_path / "b.png", SIZE)
    inside = base64.b64encode(hidden.read_bytes()).decode()
    labelme_json(root, "b", [polygon("lane")], imageData=inside, imagePath="C:\\gone\\b.png")
    info = prepare("labelme", root, tmp_path / "out")
    assert [s.image.relative_to(info.root).as_posix() for s in info.samples] == ["images/a.jpg", "images/b.png"]
    assert (root / "a.jpg").read_bytes() == info.samples[0].image.read_bytes()
    assert hidden.read_bytes() == info.samples[1].image.read_bytes()
    assert read_dataset(info.root) == info


def test_bdd100k_lanes_in_each_of_their_json_forms(tmp_path: Path) -> None:
    line = [[10.0, 22.0], [12.0, 12.0], [16.0, 4.0]]
    new = {"category": "lane/single white", "attributes": {"style": "dashed", "direction": "parallel"}}
    old = {"category": "lane", "attributes": {"laneType": "single white", "laneStyle": "dashed"}}
    poly = {"vertices": line, "types": "LLL", "closed": False}
    forms: dict[str, Any] = {
        "labels/lane/polygons/lane_train.json": [{"name": "a-1.jpg", "labels": [{**new, "poly2d": [poly]}]}],
        "labels/bdd100k_labels_images_train.json": [{"name": "a-1.jpg", "labels": [{**old, "poly2d": [poly]}]}],
        "labels/100k/train/a-1.json": {
            "name": "a-1",
            "frames": [{"objects": [{**new, "poly2d": [[*p, "L"] for p in line]}, {"category": "car", "box2d": {}}]}],
        },
    }
    found = []
    for number, (path, content) in enumerate(forms.items()):
        root = tmp_path / str(number)
        picture(root / "images/100k/train/a-1.jpg", SIZE)
        as_json(root / path, content)
        info = prepare("bdd100k-lane", root, tmp_path / f"out{number}", classes="bdd100k-lane-attributes")
        found.append(masks(info)["train/a-1"].tolist())
        assert info.splits == {"train": 1}
        assert info.pixel_counts["train"]["dashed"] == info.pixel_counts["train"]["lane line"] > 50
        assert np.allclose(lanes_of(info)["a-1.jpg"][0], np.array(line) - 0.5)
    assert found[0] == found[1] == found[2]


def test_bdd100k_curves_and_areas(tmp_path: Path) -> None:
    root = tmp_path / "src"
    picture(root / "images/100k/val/a-1.jpg", SIZE)
    curve = {"vertices": [[2, 22], [2, 2], [30, 2], [30, 22]], "types": "LCCC", "closed": True}
    labels = [{"category": "drivable area", "attributes": {"areaType": "alternative"}, "poly2d": [curve]}]
    as_json(root / "labels/bdd100k_labels_images_val.json", [{"name": "a-1.jpg", "labels": labels}])
    mask = masks(prepare("bdd100k-drivable", root, tmp_path / "out"))["val/a-1"]
    # half of the way along the curve is the mean of ends and control points, weighed 1 3 3 1: y = 7
    assert mask[6, 16] == 2
    assert mask[8, 16] == 1
    assert set(np.unique(mask)) == {1, 2}


def test_camvid_index_copy_of_fastai(tmp_path: Path) -> None:
    FOREIGN["`camvid` codes.txt"].make(tmp_path / "src")
    info = prepare("camvid", tmp_path / "src", tmp_path / "out")
    assert {info.label_map.names[v] for v in np.unique(masks(info)["0001TP_1"])} == {"LaneMkgsDriv", "Road"}
    lane = prepare("camvid", tmp_path / "src", tmp_path / "lane", classes="lane")
    assert masks(lane)["0001TP_1"].sum() == 16 * 16


# --- lane lines ------------------------------------------------------------------------------------------------------


def test_lane_lines_are_in_pixels_of_the_prepared_picture(tmp_path: Path) -> None:
    info = prepare("tusimple", tusimple_tree(tmp_path / "src"), tmp_path / "out", crop_top=20, size=(64, 26))
    left, right, far = read_lane_lines(info.root)[info.samples[0].image.resolve()]
    assert left[0].tolist() == [(32 + 0.5) / 2 - 0.5, (70 - 20 + 0.5) / 2 - 0.5]
    assert left[-1].tolist() == [(40 + 0.5) / 2 - 0.5, (30 - 20 + 0.5) / 2 - 0.5]
    assert len(right) == 5
    assert len(far) == 2
    mask = stored(info.samples[0].mask)
    assert all(mask[round(y), round(x)] for x, y in left[1:-1])
    assert info.geometry.frame == (128, 72)


def test_lines_are_cut_where_they_leave_the_picture() -> None:
    line = np.array([(0.0, 20.0), (10.0, 0.0)])
    assert within_rows(line, 11).tolist() == [[4.75, 10.5], [10.0, 0.0]]
    assert within_rows(line[::-1], 11).tolist() == [[10.0, 0.0], [4.75, 10.5]]
    assert within_rows(np.array([(0.0, 30.0), (10.0, 25.0)]), 11).tolist() == []
    assert within_rows(np.array([(0.0, -5.0), (9.0, -5.0)]), 11).tolist() == []


def test_lanes_of_culane_stand_beside_its_masks(tmp_path: Path) -> None:
    root = culane_tree(tmp_path / "src")
    clip = root / "driver_23_30frame/05151649_0422.MP4"
    text(clip / "00000.lines.txt", "11 7 11 0\n")
    info = prepare("culane", root, tmp_path / "out")
    found = read_lane_lines(info.root)
    assert found[info.samples[0].image.resolve()][0].tolist() == [[11, 7], [11, 0]]
    assert found[info.samples[1].image.resolve()] == ()


def test_sets_without_lines_have_no_lane_lines(tmp_path: Path) -> None:
    info = prepare("folder", folder_of(tmp_path / "src", [IDS]), tmp_path / "out")
    assert not (info.root / "lanes.jsonl").exists()


# --- broken sets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [1, 3, 10, 14])
def test_the_first_ten_broken_pictures_are_named_with_the_count(
    tmp_path: Path, cli: Callable[..., Any], bad: int
) -> None:
    root = folder_of(tmp_path / "src", [IDS] * 16)
    for number in range(bad):
        ids(root / f"masks/f{number:03}.png", [[0, 7, 0]])
    outcome = cli("prepare", "folder", root, "--out", tmp_path / "out")
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    assert [f"f{n:03}.png" in line for n, line in enumerate(lines[: min(bad, 10)])] == [True] * min(bad, 10)
    assert len(lines) == min(bad, 10) + 1
    assert f"{bad} of 16 pairs cannot be prepared, so no dataset was made" in lines[-1]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".unfinished"}
    with pytest.raises(BrokenPairsError) as error:
        prepare("folder", root, tmp_path / "out")
    assert len(error.value.lines) == bad
    document = json.loads(cli("prepare", "folder", root, "--out", tmp_path / "out", "--json").out)
    assert len(document["broken"]) == bad


@pytest.mark.parametrize("option", [{"classes": "no such"}, {"crop_top": 9}, {"split": "val=nothing*"}])
def test_a_refused_dataset_leaves_nothing(tmp_path: Path, option: dict[str, Any]) -> None:
    root = folder_of(tmp_path / "src", [IDS, IDS])
    with pytest.raises(InputError):
        prepare("folder", root, tmp_path / "deep/out", **option)
    assert not (tmp_path / "deep/out").exists()


def test_a_dataset_that_is_to_be_replaced_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "src", [IDS, IDS])
    first = prepare("folder", root, tmp_path / "out")
    ids(root / "masks/f001.png", [[0, 7, 0]])
    with pytest.raises(InputError, match="id 7"):
        prepare("folder", root, tmp_path / "out", overwrite=True)
    assert read_dataset(tmp_path / "out") == first
    ids(root / "masks/f001.png", [[1, 1, 0]])
    prepare("folder", root, tmp_path / "out")  # goes on with what --overwrite began
    assert stored(tmp_path / "out/masks/f001.png").tolist() == [[1, 1, 0]]
    assert not (tmp_path / "out/.unfinished").exists()


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "src", [[1, 1]])
    own = text(tmp_path / "own.yaml", "background: null\nclasses:\n- {name: lane, color: [0, 9, 0], sources: [0, 1]}\n")
    for step in (lambda job: prepare_dataset(job), lambda job: check_dataset(job)):
        with pytest.raises(InputError, match="has only one class, 'lane'.*add a background class"):
            step(Job("folder", root, tmp_path / "out", classes=str(own)))


def test_check_finds_sets_with_nothing_to_learn(tmp_path: Path, cli: Callable[..., Any]) -> None:
    root = folder_of(tmp_path / "src", [EMPTY, EMPTY])
    outcome = cli("prepare", "folder", root, "--check")
    assert outcome.code == 1
    assert "there is nothing to learn from this dataset" in outcome.out
    taken = cli("prepare", "folder", root, "--out", tmp_path / "out")
    assert taken.code == 0
    assert "there is nothing to learn from this dataset" in taken.err


def test_four_lines_at_the_end_are_those_of_the_description(tmp_path: Path, cli: Callable[..., Any]) -> None:
    root = folder_of(tmp_path / "src", [IDS, IDS])
    outcome = cli("prepare", "folder", root, "--out", tmp_path / "out")
    info = read_dataset(tmp_path / "out")
    assert outcome.out.splitlines()[-4:] == [f"{what}: {how}" for what, how in info.prepared.items()]
    assert list(info.prepared) == ["classes", "annotations", "groups", "splits"]
