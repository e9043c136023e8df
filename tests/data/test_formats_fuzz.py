"""Readers of foreign files given damaged ones: no exception but ours, no hang, memory bounded.

A short pass runs by default, the long one (2 000 inputs a reader) with ``-m slow``. The seed is printed.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import resource
import shutil
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from foreign_files import FOREIGN, Foreign
from miniature_files import block, ids, picture, text

from lanecli.data.archive import unpack
from lanecli.data.job import Job
from lanecli.data.manifest import DatasetInfo, Sample, read_dataset, write_dataset
from lanecli.data.plan import make_plan
from lanecli.data.prepare import read_layout
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map, read_label_map

SEED = int(os.environ.get("LANECLI_FAULT_SEED", "1"))
SHORT, LONG = 40, 2000
SECONDS = 60
_ODD = (
    *(b"null", b"true", b"[]", b"{}", b"-1", b"0", b"1e999", b"-1e308", b"NaN", b'""', b'"\\u0000"', b"1" * 400),
    *(
        b"99999999999999999999",
        b'"' + b"a" * 300 + b'"',
        b"[[[[]]]]",
        b'{"a": null}',
        b"0.5",
        b'"x"',
        b"\xff\xfe",
        b"\0",
    ),
)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|[\[\]{}:,;<>=/\n]|[A-Za-z_]+')


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Some bytes or tokens of a file changed, doubled, taken out, put elsewhere; or the file cut short."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        way = rng.randrange(7)
        at = rng.randrange(len(data) + 1)
        if way == 0 and data:
            changed = bytearray(data)
            changed[rng.randrange(len(data))] = rng.randrange(256)
            data = bytes(changed)
        elif way == 1:
            data = data[:at]
        elif way == 2:
            data = data[:at] + data[at : at + rng.randrange(1, 200)] * rng.choice((2, 3, 50)) + data[at:]
        else:
            tokens = list(_TOKEN.finditer(data))
            if not tokens:
                continue
            token = rng.choice(tokens)
            new = rng.choice((*_ODD, b"", rng.choice(tokens)[0]))
            data = data[: token.start()] + new + data[token.end() :]
    return data


def read_all(foreign: Foreign, root: Path, out: Path) -> None:
    """Read a layout, decide on it, and read every label."""
    job = Job(foreign.format, root / foreign.source, out)
    plan = make_plan(read_layout(job, out / "unpacked"), job, out)
    for pair in plan.pairs:
        mask = plan.layout.load(pair, plan.label_map)
        assert mask.dtype == np.uint8
        if plan.layout.lanes is not None:
            plan.layout.lanes(pair)


def fuzz(read: Callable[[bytes], object], data: bytes, count: int, name: str) -> None:
    """`count` damaged forms of `data` for a reader, in at most a minute of the processor's time."""
    print(f"{name}: LANECLI_FAULT_SEED={SEED}")
    rng = random.Random(f"{SEED} {name}")
    begun, refused, longest = time.process_time(), 0, 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(count):
            bad = damaged(data, rng)
            started = time.process_time()
            try:
                read(bad)
            except InputError as error:
                refused += 1
                longest = max(longest, len(str(error)))
            except Exception as error:
                raise AssertionError(f"{name}, input {number} of seed {SEED}: {bad[:2000]!r}") from error
            assert time.process_time() - started < 10, f"{name}, input {number} of seed {SEED}: {bad[:2000]!r}"
    assert refused > count // 20
    assert longest < 2000
    assert time.process_time() - begun < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # kilobytes


COUNTS = [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("row", FOREIGN)
def test_text_of_every_layout(tmp_path: Path, row: str, count: int) -> None:
    foreign, root, out = FOREIGN[row], tmp_path / "src", tmp_path / "out"
    foreign.make(root)
    file = root / foreign.file

    def read(data: bytes) -> None:
        file.write_bytes(data)
        read_all(foreign, root, out)

    fuzz(read, file.read_bytes(), count, row)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("shape", ["mask", "rle", "counts", "xml mask"])
def test_masks_inside_of_annotations(tmp_path: Path, shape: str, count: int) -> None:
    foreign = FOREIGN["`cvat` annotations.xml" if shape == "xml mask" else "`labelme` JSON"]
    root, out = tmp_path / "src", tmp_path / "out"
    if shape in ("rle", "counts"):
        foreign = FOREIGN["`coco` JSON"]
    foreign.make(root)
    file = root / foreign.file
    content = file.read_text(encoding="utf-8")
    if shape == "xml mask":
        mask = '<mask label="lane" rle="1, 3, 2" left="4" top="2" width="3" height="2" z_order="1"/></image>'
        content = content.replace("</image>", mask)
    elif shape == "mask":
        from base64 import b64encode

        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(np.eye(5, dtype=np.uint8) * 255).save(buffer, "PNG")
        data = json.loads(content)
        patch = b64encode(buffer.getvalue()).decode()
        data["shapes"].append({"label": "lane", "points": [[1, 1], [5, 5]], "shape_type": "mask", "mask": patch})
        content = json.dumps(data, indent=1)
    else:
        data = json.loads(content)
        counts = [5, 2, 761] if shape == "counts" else "52iG"
        segmentation = {"size": [24, 32], "counts": counts}
        data["annotations"].append({"id": 2, "image_id": 1, "category_id": 1, "segmentation": segmentation})
        content = json.dumps(data, indent=1)

    def read(data: bytes) -> None:
        file.write_bytes(data)
        read_all(foreign, root, out)

    fuzz(read, content.encode(), count, shape)


def _dataset(root: Path) -> None:
    picture(root / "images/a 1.png", (8, 4))
    mask = ids(root / "masks/a 1.png", block((8, 4), 1, 0, 0, 4, 4))
    counts = {"train": {"background": 16, "lane marking": 16, "ignored": 0}}
    sample = Sample(root / "images/a 1.png", mask, "train", "a")
    write_dataset(DatasetInfo(root, (sample,), label_map("lane"), Geometry((8, 4), (0, 2, 0, 0)), counts))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("file", ["manifest.csv", "dataset.yaml"])
def test_prepared_datasets(tmp_path: Path, file: str, count: int) -> None:
    _dataset(tmp_path)

    def read(data: bytes) -> None:
        (tmp_path / file).write_bytes(data)
        read_dataset(tmp_path)

    fuzz(read, (tmp_path / file).read_bytes(), count, file)


@pytest.mark.parametrize("count", COUNTS)
def test_label_maps_of_a_users_own(tmp_path: Path, count: int) -> None:
    content = (
        "name: mine\ncoding: ids\nbackground: 0\nignored: [255, unsure]\nclasses:\n"
        "- {name: background, color: '#000000', sources: [0, car]}\n"
        "- {name: lane, color: [0, 255, 0], sources: [lane]}\n"
    )
    path = text(tmp_path / "own.yaml", content)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_label_map(path, {"lane": 1, "car": 2, "unsure": 3})

    fuzz(read, content.encode(), count, "label map")


@pytest.mark.parametrize("count", COUNTS)
def test_label_zips(tmp_path: Path, count: int) -> None:
    FOREIGN["`cvat` annotations.xml"].make(tmp_path / "src")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((tmp_path / "src").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "src").as_posix())
    target = tmp_path / "in" / "job.zip"
    target.parent.mkdir()

    def read(data: bytes) -> None:
        target.write_bytes(data)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        unpack(target, tmp_path / "out" / "unpacked")

    fuzz(read, buffer.getvalue(), count, "zip")
    assert {path.name for path in tmp_path.iterdir()} <= {"src", "in", "out"}
