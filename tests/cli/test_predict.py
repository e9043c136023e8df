"""``lanecli predict``: outputs, names, JSON, and every kind of bad input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from samples import DATA, Outcome, brightness_model, loaded, run_line, write_video

from lanecli.media import VideoReader, read_mask, read_picture, write_picture

Cli = Callable[..., Outcome]


def test_picture_mask_is_the_stripe(cli: Cli, bright: Path, stripe_picture: Path, tmp_path: Path) -> None:
    done = cli(
        "predict", stripe_picture, "--model", bright, "--out", tmp_path / "o", "--save", "overlay,masks", "--json"
    )
    assert done.code == 0, done.err
    document = done.json()
    assert set(document) == {"sources", "left_out", "model", "backend", "precision", "device"}
    [report] = document["sources"]
    assert report["frames"] == 1
    mask = read_mask(tmp_path / "o" / "stripe.mask.png")
    expected = np.zeros((64, 128), np.uint8)
    expected[:, 40:56] = 1  # the network sees half the size; the stripe's edges are on its pixel edges
    np.testing.assert_array_equal(mask, expected)
    assert report["lane_fraction"] == pytest.approx(16 / 128)
    drawn, before = read_picture(tmp_path / "o" / "stripe.overlay.png"), read_picture(stripe_picture)
    changed = (drawn != before).any(-1)
    assert changed[:, 41:55].all()
    assert not changed[:, :38].any()
    assert not changed[:, 58:].any()


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_backends_agree(cli: Cli, bright: Path, stripe_video: Path, tmp_path: Path, backend: str) -> None:
    out = tmp_path / backend
    done = cli("predict", stripe_video, "--model", bright, "--out", out, "--save", "masks", "--backend", backend,
               "--precision", "fp32")  # fmt: skip
    assert done.code == 0, done.err
    masks = sorted((out / "stripe.masks").iterdir())
    assert [m.name for m in masks] == [f"{i:06d}.png" for i in range(12)]
    for number, path in enumerate(masks):
        columns = np.flatnonzero(read_mask(path).mean(0) > 0.5)
        assert abs(columns.mean() - (27.5 + 2 * number)) <= 1


def test_video_overlay_keeps_frames_and_rate(cli: Cli, bright: Path, stripe_video: Path, tmp_path: Path) -> None:
    done = cli("predict", stripe_video, "--model", bright, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    assert done.json()["sources"][0]["frames"] == 12
    with VideoReader(tmp_path / "o" / "stripe.overlay.mp4") as reader:
        frames = list(reader)
        assert reader.info.size == (128, 64)
        assert reader.info.frame_rate == 25
        assert reader.info.codec == "h264"
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(i, 25) for i in range(12)]


def test_sound_and_odd_frame_rate_come_along(cli: Cli, bright: Path, tmp_path: Path) -> None:
    silent = write_video(tmp_path / "silent.mp4", frames=30, rate=Fraction(30000, 1001))
    source = tmp_path / "with sound.mp4"
    with av.open(str(silent)) as picture, av.open(str(source), "w") as target:
        video = target.add_stream_from_template(picture.streams.video[0])
        audio = target.add_stream("aac", rate=48000, layout="mono")
        for packet in picture.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        wave = (0.2 * np.sin(np.arange(48000) * 2 * np.pi * 440 / 48000)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate = 48000
        target.mux([*audio.encode(frame), *audio.encode(None)])
    done = cli("predict", source, "--model", bright, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    with av.open(str(source)) as before, av.open(str(tmp_path / "o" / "with sound.overlay.mp4")) as after:
        assert after.streams.video[0].average_rate == Fraction(30000, 1001)
        sounds = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (before, after)]
        assert sounds[0] == sounds[1] != []


def test_every_other_frame(cli: Cli, bright: Path, stripe_video: Path, tmp_path: Path) -> None:
    done = cli("predict", stripe_video, "--model", bright, "--out", tmp_path / "o", "--every", 2, "--save", "masks")
    assert done.code == 0, done.err
    assert len(list((tmp_path / "o" / "stripe.masks").iterdir())) == 6


def test_folder_is_mirrored_and_equal_stems_kept_apart(cli: Cli, bright: Path, tmp_path: Path) -> None:
    for name in ("a/x.png", "a/x.jpg", "b/ü ö.png"):
        write_picture(tmp_path / "in" / name, np.zeros((20, 30, 3), np.uint8))
    done = cli("predict", tmp_path / "in", "--model", bright, "--out", tmp_path / "o", "--save", "masks")
    assert done.code == 0, done.err
    made = {p.relative_to(tmp_path / "o").as_posix() for p in (tmp_path / "o").rglob("*.png")}
    assert made == {"a/x.png.mask.png", "a/x.jpg.mask.png", "b/ü ö.mask.png"}


def test_several_models_are_averaged(cli: Cli, tmp_path: Path) -> None:
    write_picture(tmp_path / "grey.png", np.full((32, 64, 3), 120, np.uint8))
    low = brightness_model(tmp_path / "low.onnx", level=100)  # certain it is a lane (logits +-20)
    high = brightness_model(tmp_path / "high.onnx", level=121)  # nearly undecided that it is none (+-1)
    for models, expected in (([low], 1), ([high], 0), ([low, high], 1)):
        flags = [f for m in models for f in ("--model", m)]
        done = cli("predict", tmp_path / "grey.png", *flags, "--out", tmp_path / "o", "--save", "masks", "--overwrite")
        assert done.code == 0, done.err
        assert (read_mask(tmp_path / "o" / "grey.mask.png") == expected).all()


def test_existing_outputs_are_kept_without_overwrite(
    cli: Cli, bright: Path, stripe_picture: Path, tmp_path: Path
) -> None:
    arguments = ("predict", stripe_picture, "--model", bright, "--out", tmp_path / "o")
    assert cli(*arguments).code == 0
    before = (tmp_path / "o" / "stripe.overlay.png").stat().st_mtime_ns
    again = cli(*arguments)
    assert again.code == 2
    assert "--overwrite" in again.err
    assert (tmp_path / "o" / "stripe.overlay.png").stat().st_mtime_ns == before
    assert cli(*arguments, "--overwrite").code == 0


def test_default_folder_is_numbered_when_outputs_exist(
    cli: Cli, bright: Path, stripe_picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("predict", "predict-2"):
        done = cli("predict", stripe_picture, "--model", bright, "--json")
        assert done.json()["sources"][0]["outputs"] == [f"runs/{folder}/stripe.overlay.png"]
    assert cli("predict", stripe_picture, "--model", bright, "--overwrite").code == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["predict", "predict-2"]


def test_shards_share_out_the_sources(cli: Cli, bright: Path, tmp_path: Path) -> None:
    for number in range(5):
        write_picture(tmp_path / "in" / f"{number}.png", np.zeros((20, 30, 3), np.uint8))
    seen: list[str] = []
    for part in (1, 2):
        done = cli(
            "predict", tmp_path / "in", "--model", bright, "--out", tmp_path / "o", "--shard", f"{part}/2", "--json"
        )
        seen += [Path(s["source"]).name for s in done.json()["sources"]]
    assert sorted(seen) == [f"{number}.png" for number in range(5)]


def one_line(done: Outcome) -> str:
    """The error line, shown to be the only one."""
    lines = [line for line in done.err.splitlines() if line]
    assert len(lines) == 1, done.err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in done.err
    return lines[0]


def test_missing_file(cli: Cli, bright: Path, tmp_path: Path) -> None:
    done = cli("predict", tmp_path / "nowhere.mp4", "--model", bright, "--out", tmp_path / "o")
    assert done.code == 2
    assert "nowhere.mp4" in one_line(done)


def test_text_named_mp4(cli: Cli, bright: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("this is no video\n" * 50)
    done = cli("predict", tmp_path / "notes.mp4", "--model", bright, "--out", tmp_path / "o")
    assert done.code == 2
    assert "notes.mp4" in one_line(done)
    assert not list((tmp_path / "o").rglob("*.mp4"))


@pytest.mark.parametrize("name", ["empty.mp4", "empty.png", "empty.jpg"])
def test_zero_byte_file(cli: Cli, bright: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    done = cli("predict", tmp_path / name, "--model", bright, "--out", tmp_path / "o")
    assert done.code == 2
    assert name in one_line(done)


def test_truncated_png(cli: Cli, bright: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    done = cli("predict", tmp_path / "cut.png", "--model", bright, "--out", tmp_path / "o")
    assert done.code == 2
    assert "cut.png" in one_line(done)


def test_truncated_video_is_written_as_far_as_it_goes_and_said(cli: Cli, bright: Path, tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", frames=60)
    data = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: int(len(data) * 0.7)])
    done = cli("predict", tmp_path / "cut.mp4", "--model", bright, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    report = done.json()["sources"][0]
    assert 0 < report["frames"] < 60
    assert "cut short" in done.err
    with VideoReader(tmp_path / "o" / "cut.overlay.mp4") as reader:
        assert sum(1 for _ in reader) == report["frames"]


def test_empty_folder(cli: Cli, bright: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = cli("predict", tmp_path / "none", "--model", bright, "--out", tmp_path / "o")
    assert done.code == 2
    assert "none" in one_line(done)


def test_unwritable_output_folder(cli: Cli, bright: Path, stripe_picture: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = cli("predict", stripe_picture, "--model", bright, "--out", tmp_path / "file" / "o")
    assert done.code == 2
    assert "file" in one_line(done)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_output_folder_without_permission(cli: Cli, bright: Path, stripe_picture: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = cli("predict", stripe_picture, "--model", bright, "--out", tmp_path / "locked" / "o")
    assert done.code == 2
    assert "locked" in one_line(done)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_model_file_cut_short(cli: Cli, bright: Path, stripe_picture: Path, tmp_path: Path, share: float) -> None:
    data = bright.read_bytes()
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(data[: int(len(data) * share)])
    done = cli("predict", stripe_picture, "--model", cut, "--out", tmp_path / "o")
    assert done.code == 2
    assert "cut.onnx" in one_line(done)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--save", "overlays"], "overlay"),
        (["--backend", "openvin"], "openvino"),
        (["--precision", "fp8"], "fp8"),
        (["--shard", "3/2"], "I/N"),
        (["--device", "cuda:99"], "cuda"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--alpha", "2"], "alpha"),
        (["--style", "filled"], "fill"),
    ],
)
def test_wrong_options(
    cli: Cli, bright: Path, stripe_picture: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    model = [] if "--model" in arguments else ["--model", bright]
    done = cli("predict", stripe_picture, *model, "--out", tmp_path / "o", *arguments)
    assert done.code == 2
    assert says in one_line(done)


def test_one_bad_picture_does_not_stop_the_others(cli: Cli, bright: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "in" / "good.png", np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    done = cli("predict", tmp_path / "in", "--model", bright, "--out", tmp_path / "o", "--json")
    assert done.code == 1
    assert "bad.png" in done.err
    bad, good = done.json()["sources"]
    assert "bad.png" in bad["error"]
    assert bad["outputs"] == []
    assert good["error"] is None
    assert (tmp_path / "o" / "good.overlay.png").is_file()


def test_interruption_leaves_a_playable_overlay(tmp_path: Path) -> None:
    video = Path(__file__).parents[2] / "assets" / "road.mp4"
    command = [
        sys.executable,
        "-m",
        "lanecli",
        "predict",
        str(video),
        "--crf",  # a tenth of a second a frame: it is still at work when the signal comes
        "--out",
        str(tmp_path / "o"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # the header is 48 bytes: a larger partial file holds the first frames
    while process.poll() is None and not any(p.stat().st_size > 4096 for p in (tmp_path / "o").glob(".*partial*")):
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    with VideoReader(tmp_path / "o" / "road.overlay.mp4") as reader:
        count = sum(1 for _ in reader)
    assert 0 < count < 150


def test_start_up_imports_no_torch(bright: Path, stripe_picture: Path, tmp_path: Path) -> None:
    line = run_line("predict", str(stripe_picture), "--model", str(bright), "--out", str(tmp_path / "o"))
    assert loaded(line, ("torch", "torchvision", "segmentation_models_pytorch")) == set()
    assert (tmp_path / "o" / "stripe.overlay.png").is_file()


@pytest.mark.skipif(not (DATA / "videos").is_dir(), reason="the real road data is not on this machine")
def test_the_shipped_model_covers_highway_lines(cli: Cli, tmp_path: Path) -> None:
    done = cli(
        "predict", DATA / "videos" / "solidWhiteRight.mp4", "--out", tmp_path / "o", "--every", 20, "--save", "masks"
    )
    assert done.code == 0, done.err
    masks = [read_mask(path) for path in sorted((tmp_path / "o" / "solidWhiteRight.masks").iterdir())]
    # the solid right line passes the lower right quarter of every frame; the sky is the upper half
    assert all(mask[400:, 600:].sum() > 300 for mask in masks)
    assert all(mask[:260].sum() == 0 for mask in masks)
