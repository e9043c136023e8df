"""Sinks leave the frame as it is, whatever the order, and say what they were asked."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from samples import Outcome

from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks import SINKS, SinkJob, SinkSettings, output_path
from lanecli.labelmaps import label_map
from lanecli.labels import LabelClass, LabelMap
from lanecli.media import Frame, Source, read_mask, read_picture

Cli = Callable[..., Outcome]
PICTURE_SINKS = ("overlay", "masks", "probabilities")


def prediction(frame: Frame) -> Prediction:
    class_map = np.zeros(frame.size[::-1], np.uint8)
    class_map[4:12, 6:20] = 1
    planes = np.where(class_map, 0.75, 0.125).astype(np.float32)[None]
    return Prediction(frame, label_map("lane"), class_map, planes=planes)


@pytest.mark.parametrize("order", list(itertools.permutations(PICTURE_SINKS)))
def test_sinks_of_one_picture_do_not_see_each_others_drawing(order: tuple[str, ...], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    frame = Frame.from_rgb(picture.copy())
    for kind in order:
        job = SinkJob(
            tmp_path / f"{kind}.{'npz' if kind == 'probabilities' else 'png'}", label_map("lane"), SinkSettings()
        )
        sink = SINKS.get(kind)(job)
        sink.write(prediction(frame))
        sink.close()
    assert np.array_equal(frame.rgb(), picture)
    drawn = read_picture(tmp_path / "overlay.png")
    assert np.array_equal(drawn[:, 22:], picture[:, 22:])
    assert not np.array_equal(drawn, picture)
    assert read_mask(tmp_path / "masks.png").sum() == 8 * 14
    with np.load(tmp_path / "probabilities.npz", allow_pickle=False) as saved:
        assert saved["probabilities"].dtype == np.float16
        assert saved["probabilities"].shape == (2, 16, 24)
        assert saved["probabilities"][:, 5, 7].tolist() == [0.25, 0.75]
        assert saved["classes"].tolist() == ["background", "lane marking"]


def test_none_of_the_classes_is_not_drawn(tmp_path: Path) -> None:
    """A map of several labels without background painted every pixel."""
    several = LabelMap(
        "s", (LabelClass("a", (255, 0, 0)), LabelClass("b", (0, 0, 255))), background=None, multilabel=True
    )
    class_map = np.full((16, 24), 255, np.uint8)
    class_map[:, 10:14] = 1
    frame = Frame.from_rgb(np.full((16, 24, 3), 90, np.uint8))
    sink = SINKS.get("overlay")(SinkJob(tmp_path / "o.png", several, SinkSettings()))
    sink.write(Prediction(frame, several, class_map, labels=np.zeros_like(class_map)))
    drawn = read_picture(tmp_path / "o.png")
    assert (drawn[:, :8] == 90).all()
    assert (drawn[:, 11:13] != 90).any(-1).all()


def test_a_folder_output_is_replaced_as_a_whole(cli: Cli, bright: Path, stripe_video: Path, tmp_path: Path) -> None:
    asked = ("predict", stripe_video, "--model", bright, "--out", tmp_path / "o", "--save", "masks,probabilities")
    assert cli(*asked).code == 0
    assert len(list((tmp_path / "o" / "stripe.masks").iterdir())) == 12
    done = cli(*asked, "--every", 4)
    assert "exists already" in done.err
    assert cli(*asked, "--every", 4, "--overwrite").code == 0
    for kind in ("masks", "probabilities"):
        names = sorted(path.stem for path in (tmp_path / "o" / f"stripe.{kind}").iterdir())
        assert names == ["000000", "000001", "000002"]
    assert not [path for path in (tmp_path / "o").iterdir() if "partial" in path.name]


def test_an_interrupted_folder_keeps_the_frames_done(tmp_path: Path) -> None:
    class Reader:
        info = None

    for count, stays in ((0, False), (2, True)):
        path = tmp_path / f"{count}.masks"
        sink = SINKS.get("masks")(SinkJob(path, label_map("lane"), SinkSettings(), reader=Reader()))
        for index in range(count):
            sink.write(prediction(Frame.from_rgb(np.zeros((16, 24, 3), np.uint8), index)))
        assert not path.exists()  # unfinished until it is done
        sink.close(interrupted=True)
        assert path.exists() == stays


@pytest.mark.parametrize("kind", SINKS)
def test_every_output_has_its_name_and_is_not_replaced_unasked(
    kind: str, cli: Cli, bright: Path, stripe_picture: Path, tmp_path: Path
) -> None:
    source, out = Source("image", str(stripe_picture), Path(), "stripe"), tmp_path / "o"
    asked = ("predict", stripe_picture, "--model", bright, "--save", kind, "--out", out)
    done = cli(*asked)
    assert done.code == 0, done.err
    path = output_path(kind, source, out)
    assert path.is_file()
    before = path.read_bytes()
    done = cli(*asked)
    assert (done.code, "exists already" in done.err) == (2, True), "atomic.prepare_target refuses what exists"
    assert path.read_bytes() == before
    done = cli(*asked, "--overwrite")
    assert done.code == 0, done.err
    assert not [p for p in out.iterdir() if "partial" in p.name]


@pytest.mark.parametrize("kind", SINKS)
def test_no_output_is_left_where_no_frame_was_done(kind: str, tmp_path: Path) -> None:
    source = Source("image", "a.png", Path(), "a")
    path = output_path(kind, source, tmp_path / "o")
    sink = SINKS.get(kind)(SinkJob(path, label_map("lane"), SinkSettings(), source, map_names=("entropy",)))
    sink.close(interrupted=True)
    assert not path.exists()
    assert not list(path.parent.iterdir())
