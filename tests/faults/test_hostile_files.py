"""Files made to hang a reader or to take all memory: refused at once, by name."""

from __future__ import annotations

import json
import os
import resource
import socket
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from samples import Outcome
from test_predict_faults import pictures
from victims import Victim

from lanecli.errors import InputError
from lanecli.media import read_picture, write_picture

Command = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """No test of these needs a gigabyte more than was needed before."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20


def _slow(*words: str) -> object:
    return pytest.param(*words, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("pipe", "predict picture"),
        ("device", "predict picture"),
        ("pipe", "predict in a folder"),
        _slow("pipe", "predict video"),
        _slow("device", "predict video"),
        _slow("socket", "predict video"),
        _slow("folder", "predict in a folder"),
        _slow("device", "predict in a folder"),
        _slow("pipe", "show"),
        _slow("device", "show"),
        _slow("pipe", "train"),
        _slow("device", "train"),
        _slow("pipe", "ensemble"),
        _slow("device", "ensemble"),
        _slow("pipe", "prepare"),
        _slow("device", "prepare"),
    ],
)
def test_what_is_no_regular_file_is_refused_at_once(kind: str, command: str, bright: Path, tmp_path: Path) -> None:
    suffix = {"show": ".onnx", "train": ".yaml", "ensemble": ".yaml", "predict video": ".mp4"}.get(command, ".png")
    place = tmp_path / ("layout/images" if command == "prepare" else "in")
    place.mkdir(parents=True)
    path = place / f"a{suffix}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        before = Path.cwd()
        with socket.socket(socket.AF_UNIX) as bound:
            os.chdir(place)  # names of sockets are short
            bound.bind(path.name)
            os.chdir(before)
    write_picture(tmp_path / "layout" / "masks" / "a.png", np.zeros((8, 8, 3), np.uint8))
    source = pictures(tmp_path / "one", 1) / "000.png"
    out = tmp_path / "out"
    lines: dict[str, list[object]] = {
        "predict picture": ["predict", path, "--model", bright, "--out", out],
        "predict video": ["predict", path, "--model", bright, "--out", out],
        "predict in a folder": ["predict", place, "--model", bright, "--out", out],
        "show": ["show", path],
        "train": ["train", path, "--dry-run"],
        "ensemble": ["predict", source, "--model", path, "--out", out],
        "prepare": ["prepare", "folder", tmp_path / "layout", "--classes", "lane", "--out", out],
    }
    victim = Victim(*lines[command], cwd=tmp_path, memory=4 << 30)
    assert victim.end(90) == 2, victim.err
    assert "bug in lanecli" not in victim.err
    lines_said = victim.err.splitlines()
    assert lines_said[-1].startswith("error: ")
    named = lines_said[0] if command == "prepare" else lines_said[-1]  # each bad pair, then how many there are
    assert str(place) in named or str(tmp_path / "layout") in named


def _bomb(extra: str) -> str:
    lines = ["a0: &a0 [x, x, x]"] + [
        f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]" for number in range(1, 12)
    ]
    return "\n".join([*lines, extra])


def test_yaml_that_grows_is_refused(cli: Command, bright: Path, tmp_path: Path) -> None:
    from lanecli.data.synthesise import synthesise

    folder = tmp_path / "set"
    synthesise(folder, count=2, size=(64, 32), workers=1)
    described = folder / "dataset.yaml"
    described.write_text(_bomb(described.read_text()))
    (tmp_path / "ensemble.yaml").write_text(_bomb("members: *a11"))
    (tmp_path / "config.yaml").write_text(_bomb("stages: [{loss: *a11}]"))
    (tmp_path / "sweep.yaml").write_text(_bomb("variants: {a: *a11}"))
    (tmp_path / "map.yaml").write_text(_bomb("name: x\nclasses: *a11"))
    camvid = tmp_path / "layout"
    for name in ("images", "masks"):
        write_picture(camvid / name / "a.png", np.zeros((8, 8, 3), np.uint8))
    for words in (
        ["evaluate", bright, "--data", folder],
        ["train", "--data", folder, "--dry-run"],
        ["predict", camvid, "--model", tmp_path / "ensemble.yaml"],
        ["train", tmp_path / "config.yaml", "--dry-run"],
        ["sweep", tmp_path / "sweep.yaml", "--out", tmp_path / "swept"],
        ["prepare", "folder", camvid, "--classes", tmp_path / "map.yaml", "--out", tmp_path / "out"],
    ):
        outcome = cli(*words)
        assert outcome.code == 2, (words, outcome.err)
        assert outcome.err.count("\n") == 1
        assert ".yaml" in outcome.err


def _layout(kind: str, folder: Path, side: int) -> list[object]:
    """A labelled picture of 16 x 8 that declares `side` x `side`, and words that prepare it."""
    write_picture(folder / "a.png", np.zeros((8, 16, 3), np.uint8))
    corners = [[0, 0], [side, 0], [side, side], [0, side]]
    if kind == "labelme":
        shape = {"label": "lane", "points": corners, "shape_type": "polygon"}
        text = json.dumps({"imagePath": "a.png", "imageWidth": side, "imageHeight": side, "shapes": [shape]})
        (folder / "a.json").write_text(text)
        return ["prepare", "labelme", folder]
    if kind.startswith("coco"):
        segmentation: object = {"size": [side, side], "counts": [side * side // 2, side * side - side * side // 2]}
        if kind == "coco polygon":
            segmentation = [[value for point in corners for value in point]]
        document = {
            "images": [{"id": 1, "file_name": "a.png", "width": side, "height": side}],
            "categories": [{"id": 1, "name": "lane"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation, "iscrowd": 0}],
        }
        (folder / "instances.json").write_text(json.dumps(document))
        return ["prepare", "coco", folder]
    points = ";".join(f"{x}.0,{y}.0" for x, y in corners)
    shape = f'<polygon label="lane" points="{points}" occluded="0" z_order="0"/>'
    if kind == "cvat mask":
        shape = f'<mask label="lane" rle="{side * side}" left="0" top="0" width="{side}" height="{side}" z_order="0"/>'
    (folder / "annotations.xml").write_text(
        f'<annotations><image id="0" name="a.png" width="{side}" height="{side}">{shape}</image></annotations>'
    )
    return ["prepare", "cvat", folder]


@pytest.mark.parametrize("kind", ["labelme", "coco rle", "coco polygon", "cvat polygon", "cvat mask"])
@pytest.mark.parametrize("side", [10_000, 100_000, 10**9])
def test_declared_sizes_are_checked_before_they_are_drawn(kind: str, side: int, cli: Command, tmp_path: Path) -> None:
    words = _layout(kind, tmp_path / "in", side)
    outcome = cli(*words, "--out", tmp_path / "out")
    assert outcome.code in (1, 2), outcome.err
    assert "bug in lanecli" not in outcome.err
    assert outcome.err.splitlines()[-1].startswith("error: ")


def test_negative_pixel_counts_are_refused(cli: Command, bright: Path, tmp_path: Path) -> None:
    from lanecli.data.manifest import read_dataset
    from lanecli.data.synthesise import synthesise

    folder = tmp_path / "set"
    synthesise(folder, count=2, size=(64, 32), workers=1)
    described = folder / "dataset.yaml"
    whole = described.read_text()
    for bad in ("-5", ".nan", "1.5", "many", "true"):
        described.write_text(whole.replace("background: ", f"background: {bad} # ", 3))
        with pytest.raises(InputError, match=r"dataset\.yaml"):
            read_dataset(folder)
    assert cli("evaluate", bright, "--data", folder).code == 2


@pytest.mark.parametrize("kind", ["picture", "zip"])
def test_damaged_deflate_data(kind: str, tmp_path: Path) -> None:
    from lanecli.data.archive import unpack

    body = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    if kind == "picture":
        path = tmp_path / "a.png"
        write_picture(path, body)
        data = bytearray(path.read_bytes())
        at = data.index(b"IDAT") + 4
        length = int.from_bytes(data[at - 8 : at - 4])
        data[at + 20 : at + 60] = bytes(40)
        data[at + length : at + length + 4] = zlib.crc32(data[at - 4 : at + length]).to_bytes(4)  # a whole chunk
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"a\.png"):
            read_picture(path)
        return
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", body.tobytes())
    data = bytearray(path.read_bytes())
    data[60:100] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip"):
        unpack(path, tmp_path / "out")
