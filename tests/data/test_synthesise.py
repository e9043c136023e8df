"""The procedural dataset on disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from lanecli.data.manifest import read_dataset
from lanecli.data.scene_record import RECORD
from lanecli.data.synth import render_scene
from lanecli.data.synthesise import synthesise
from lanecli.errors import InputError
from lanecli.media import Source, open_video, read_mask, read_picture

SIZE = (96, 64)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("synth") / "ein Satz ä"
    done: list[int] = []
    assert synthesise(made, count=6, size=SIZE, seed=40, val=0.34, workers=1, progress=done.append) is None
    assert done == [1, 2, 3, 4, 5, 6]
    return made


def test_it_is_a_prepared_dataset(folder: Path) -> None:
    info = read_dataset(folder)
    assert info.splits == {"train": 4, "val": 2}
    assert (info.label_map.name, info.format) == ("lane", "synth")
    assert len({s.group for s in info.samples}) == 6
    for number, sample in enumerate(info.samples):
        scene = render_scene(40 + number, SIZE)
        assert np.array_equal(read_mask(sample.mask), scene.mask)
        assert np.abs(read_picture(sample.image).astype(int) - scene.image).mean() < 4


def test_pixel_counts_are_those_of_the_masks(folder: Path) -> None:
    info = read_dataset(folder)
    for split in ("train", "val"):
        masks = np.stack([read_mask(s.mask) for s in info.of_split(split)])
        assert dict(info.pixel_counts[split]) == {
            "background": int((masks == 0).sum()),
            "lane marking": int((masks == 1).sum()),
        }


def test_lane_lines_belong_to_their_pictures(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "lanes.jsonl").read_text().splitlines()]
    assert [line["image"] for line in lines] == [f"images/{i:06d}.jpg" for i in range(6)]
    assert [line["seed"] for line in lines] == list(range(40, 46))
    for number, line in enumerate(lines):
        scene = render_scene(40 + number, SIZE)
        assert len(line["lanes"]) == len(scene.lanes)
        for written, lane in zip(line["lanes"], scene.lanes, strict=True):
            assert (written["style"], written["colour"]) == (lane.style, lane.colour)
            assert np.abs(np.array(written["points"]) - lane.points).max() <= 0.00501


def test_same_arguments_same_bytes_whatever_the_workers(folder: Path, tmp_path: Path) -> None:
    synthesise(tmp_path / "b", count=6, size=SIZE, seed=40, val=0.34, workers=2)
    assert digests(tmp_path / "b") == digests(folder)


class Killed(BaseException):
    """As a kill: nothing is told of it."""


def killed(folder: Path, after: int, **options: object) -> None:
    """A run of the module's dataset that ends when `after` scenes are written."""

    def progress(done: int) -> None:
        if done >= after:
            raise Killed

    with pytest.raises(Killed):
        synthesise(
            folder, progress=progress, **{"count": 6, "size": SIZE, "seed": 40, "val": 0.34, "workers": 1} | options
        )


@pytest.mark.parametrize("tail", ["", '["cut', "[3]\n", "[[]]\n"])
def test_a_killed_run_goes_on_behind_the_last_scene(folder: Path, tmp_path: Path, tail: str) -> None:
    made, done = tmp_path / "made", list[int]()
    killed(made, 3)
    with (made / RECORD).open("a") as record:
        record.write(tail)
    first = made / "images" / "000000.jpg"
    kept = first.stat().st_mtime_ns
    (made / "masks" / "000002.png").unlink()
    synthesise(made, count=6, size=SIZE, seed=40, val=0.34, workers=1, progress=done.append)
    assert done == [2, 3, 4, 5, 6]
    assert first.stat().st_mtime_ns == kept
    assert digests(made) == digests(folder)


def test_a_run_killed_before_its_description_is_finished_by_the_next(folder: Path, tmp_path: Path) -> None:
    killed(tmp_path / "made", 6)
    synthesise(tmp_path / "made", count=6, size=SIZE, seed=40, val=0.34, workers=1)
    assert digests(tmp_path / "made") == digests(folder)


def test_a_killed_drive_is_made_anew(tmp_path: Path) -> None:
    killed(tmp_path / "made", 3, video=True)
    done = list[int]()
    for name in ("made", "whole"):
        done.clear()
        synthesise(tmp_path / name, count=6, size=SIZE, seed=40, video=True, val=0.34, progress=done.append)
        assert done == [1, 2, 3, 4, 5, 6]
    assert digests(tmp_path / "made") == digests(tmp_path / "whole")


@pytest.mark.parametrize("other", [{"count": 5}, {"size": (64, 64)}, {"seed": 41}, {"val": 0.1}, {"video": True}])
def test_what_was_begun_otherwise_is_left_alone(tmp_path: Path, other: dict[str, object]) -> None:
    killed(tmp_path / "made", 2)
    before = digests(tmp_path / "made")
    with pytest.raises(InputError, match="an unfinished run with other settings"):
        synthesise(tmp_path / "made", **{"count": 6, "size": SIZE, "seed": 40, "val": 0.34, "workers": 1} | other)
    assert digests(tmp_path / "made") == before


def test_a_drive_is_a_dataset_and_a_video(tmp_path: Path) -> None:
    video = synthesise(tmp_path / "d", count=5, size=SIZE, seed=1, video=True, val=0.2)
    assert video == tmp_path / "d" / "video.mp4"
    info = read_dataset(tmp_path / "d")
    assert [s.split for s in info.samples] == ["train"] * 4 + ["val"]
    assert {s.group for s in info.samples} == {"drive"}
    with open_video(Source("video", str(video), Path(), video.stem)) as reader:
        frames = [frame.rgb() for frame in reader]
    assert len(frames) == 5
    for frame, sample in zip(frames, info.samples, strict=True):
        assert np.abs(frame.astype(int) - read_picture(sample.image)).mean() < 12


def test_a_folder_in_use_is_left_alone(folder: Path, tmp_path: Path) -> None:
    before = digests(folder)
    with pytest.raises(InputError, match="is not empty; give a new folder"):
        synthesise(folder, count=1, size=SIZE)
    assert digests(folder) == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        synthesise(tmp_path / "file", count=1, size=SIZE)


def test_what_cannot_be_rendered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="size"):
        synthesise(tmp_path / "a", count=1, size=(8, 8), workers=1)
    assert not (tmp_path / "a").exists()
