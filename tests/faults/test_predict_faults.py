"""`predict` under kills, interruptions and folders that go away: nothing half-written, nothing done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from samples import Outcome, write_video
from victims import STOPS, Victim, dice

from lanecli.inference.record import RECORD
from lanecli.media import read_picture, write_picture
from lanecli.ownership import owned

Command = Callable[..., Outcome]


def pictures(folder: Path, count: int, size: tuple[int, int] = (96, 64)) -> Path:
    """Pictures that differ, in a folder."""
    for number in range(count):
        picture = np.zeros((size[1], size[0], 3), np.uint8)
        picture[:, number % (size[0] - 8) : number % (size[0] - 8) + 8] = 255
        write_picture(folder / f"{number:03}.png", picture)
    return folder


def written(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, hidden files too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Raise `error` in place of the prediction of picture number `count`."""
    from lanecli.inference.predictor import Predictor

    seen = 0
    real = Predictor.stream

    def stream(self: Predictor, *words: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen > count:
            raise error
        return real(self, *words)

    monkeypatch.setattr(Predictor, "stream", stream)


def test_a_stopped_folder_goes_on(cli: Command, bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = pictures(tmp_path / "pictures", 6), tmp_path / "out"
    words = ["predict", source, "--model", bright, "--save", "overlay,masks", "--out", out]
    with monkeypatch.context() as patch:
        stop_after(4, patch, KeyboardInterrupt())
        stopped = cli(*words, "--json")
    assert stopped.code == 130
    assert stopped.err == "interrupted; 4 sources done; the same command continues\n"
    assert [report["interrupted"] for report in stopped.json()["sources"]] == [False] * 4 + [True]  # type: ignore[index]
    kept = {name: (out / name).stat().st_mtime_ns for name in written(out) if name.endswith(".png")}
    assert len(kept) == 8
    other = cli(*words, "--decode", "--json")  # another job: as today, and the record of the first is gone
    assert [bool(report["error"]) for report in other.json()["sources"]] == [True] * 4 + [False] * 2  # type: ignore[index]
    assert "exists already" in other.err


def test_going_on_does_what_is_left_and_no_more(
    cli: Command, bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out, whole = pictures(tmp_path / "pictures", 6), tmp_path / "out", tmp_path / "whole"
    words = ["predict", source, "--model", bright, "--save", "overlay,masks"]
    assert cli(*words, "--out", whole).code == 0
    with monkeypatch.context() as patch:
        stop_after(4, patch, KeyboardInterrupt())
        assert cli(*words, "--out", out).code == 130
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    write_picture(source / "001.png", np.full((64, 96, 3), 255, np.uint8))  # changed since
    (out / "002.mask.png").unlink()
    (out / ".lanecli.predict.jsonl").open("ab").write(b'\n{"done": "cut sho')
    again = cli(*words, "--out", out, "--json")
    reports = {Path(report["source"]).name: report for report in again.json()["sources"]}  # type: ignore[index]
    assert [name for name, report in reports.items() if report["earlier"]] == ["000.png", "003.png"]
    assert "exists already" in reports["001.png"]["error"]
    assert again.code == 1
    assert {path.name for path, stamp in times.items() if path.exists() and path.stat().st_mtime_ns == stamp} == {
        *("000.mask.png", "000.overlay.png", "001.mask.png", "001.overlay.png", "003.mask.png", "003.overlay.png"),
    }
    with_record = written(out)
    assert with_record.pop(".lanecli.predict.jsonl")
    assert with_record == written(whole)
    over = cli(*words, "--out", out, "--overwrite", "--json")
    assert not any(report["earlier"] for report in over.json()["sources"])  # type: ignore[index]
    assert over.code == 0
    assert sorted(written(out)) == sorted(written(whole))
    assert "exists already" in cli(*words, "--out", out).err


def test_without_a_name_for_the_folder_nothing_is_recorded(
    cli: Command, bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = pictures(tmp_path / "pictures", 2)
    with monkeypatch.context() as patch:
        stop_after(1, patch, KeyboardInterrupt())
        assert cli("predict", source, "--model", bright).err == "interrupted; 1 source done\n"
    with owned(tmp_path / "runs" / "predict-2"):  # another predict is at it
        assert cli("predict", source, "--model", bright).code == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["predict", "predict-3"]
    assert not list((tmp_path / "runs").rglob(".*"))


def test_a_folder_in_use_is_refused_and_parts_go_together(cli: Command, bright: Path, tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "pictures", 3), tmp_path / "out"
    with owned(out):
        refused = cli("predict", source, "--model", bright, "--out", out)
    assert refused.code == 2
    assert f"{out}: process {os.getpid()} (" in refused.err
    with owned(out, "2/2"):
        assert cli("predict", source, "--model", bright, "--out", out, "--shard", "1/2").code == 0
        assert cli("predict", source, "--model", bright, "--out", out, "--shard", "2/2").code == 2
    assert sorted(written(out)) == ["000.overlay.png", "002.overlay.png"]


def test_outputs_that_went_away_are_a_failure(
    cli: Command, bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lanecli.inference.predictor import Predictor

    source, out = pictures(tmp_path / "pictures", 3), tmp_path / "out"
    real, seen = Predictor.stream, []

    def stream(self: Predictor, *words: Any) -> Any:
        seen.append(words)
        if len(seen) == 3:
            shutil.rmtree(out)
        return real(self, *words)

    monkeypatch.setattr(Predictor, "stream", stream)
    outcome = cli("predict", source, "--model", bright, "--out", out, "--json")
    assert outcome.code == 1
    assert [bool(report["error"]) for report in outcome.json()["sources"]][:2] == [True, True]  # type: ignore[index]
    assert f"error: {out}: was removed or replaced during the work" in outcome.err


@pytest.mark.parametrize("kills", [2, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_at_random_moments(cli: Command, bright: Path, tmp_path: Path, kills: int) -> None:
    draw = dice("predict a folder")
    source = pictures(tmp_path / "pictures", 40 if kills == 2 else 400)
    shutil.copytree(write_video(tmp_path / "v" / "clip.mp4", frames=30).parent, source / "clips")
    whole, out = tmp_path / "whole", tmp_path / "out"
    words = ["predict", source, "--model", bright, "--save", "overlay,masks", "--backend", "onnxruntime"]
    assert cli(*words, "--out", whole).code == 0
    for number in range(kills):
        before = len(list(out.glob("*.overlay.png")))
        victim = Victim(*words, "--out", out, cwd=tmp_path)
        victim.until(lambda before=before: len(list(out.glob("*.overlay.png"))) > before)  # type: ignore[misc]
        time.sleep(draw.uniform(0, 0.2))
        victim.stop(signal.SIGKILL if number % 2 == 0 else draw.choice(STOPS), group=draw.random() < 0.5)
        code = victim.end()
        through = len(list(out.rglob("*.overlay.*"))) == len(list(whole.rglob("*.overlay.*")))
        if code in (0, 2) or through:  # it came through
            break
        assert code in (-signal.SIGKILL, 130), victim.err
        for path in out.rglob("*.png"):
            if not path.name.startswith(".") and ".partial" not in str(path):
                read_picture(path)  # whole or not there
    finished = not (out / RECORD).exists()  # the next one finds all there
    again = cli(*words, "--out", out, "--json")
    assert again.code == (2 if finished else 0), again.err
    assert {name: data for name, data in written(out).items() if not name.endswith(".mp4")} == {
        name: data for name, data in written(whole).items() if not name.endswith(".mp4")
    }
    assert sum(1 for _ in frames(out / "clips" / "clip.overlay.mp4")) == 30


def frames(path: Path) -> Any:
    """The pictures of a video."""
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_stopped_video_is_playable(bright: Path, tmp_path: Path, times: int) -> None:
    draw = dice("predict a video")
    source = write_video(tmp_path / "clip.mp4", frames=3000, size=(320, 180))
    for number in range(times):
        out = tmp_path / f"out-{number}"
        words = ["predict", source, "--model", bright, "--save", "overlay,masks", "--out", out, "--json"]
        victim = Victim(*words, "--backend", "onnxruntime", cwd=tmp_path)
        victim.until(lambda out=out: list(out.rglob("0000*.png")))  # type: ignore[misc]
        time.sleep(draw.uniform(0, 0.3))
        victim.stop(draw.choice(STOPS), group=draw.random() < 0.5)
        assert victim.end() == 130
        [report] = json.loads(victim.out)["sources"]
        assert report["interrupted"]
        assert 0 < report["frames"] < 3000
        overlay = out / "clip.overlay.mp4"
        assert sum(1 for _ in frames(overlay)) == report["frames"]
        kept = f"{overlay} keeps the {report['frames']} frames that are done"
        assert victim.err.startswith(f"interrupted; {kept}")
        assert victim.err.count("\n") == 1


def test_the_sound_of_a_stopped_video_ends_with_its_picture(bright: Path, tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    silent = write_video(tmp_path / "silent.mp4", frames=3000, size=(160, 90))
    with av.open(str(silent)) as whole, av.open(str(source), "w") as target:
        stream = target.add_stream_from_template(whole.streams.video[0])
        audio = target.add_stream("aac", rate=48000, layout="mono")
        for number in range(3000 * 48000 // 25 // 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 48000, 1024 * number
            target.mux(audio.encode(frame))
        target.mux(audio.encode(None))
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    out = tmp_path / "out"
    victim = Victim("predict", source, "--model", bright, "--out", out, "--save", "overlay,masks", cwd=tmp_path)
    victim.until(lambda: list(out.rglob("0000*.png")))
    time.sleep(dice("sound").uniform(0, 0.3))
    victim.stop(signal.SIGTERM)
    assert victim.end() == 130
    with av.open(str(out / "clip.overlay.mp4")) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        seconds = [float(stream.duration * stream.time_base) for stream in (picture, sound)]
    assert seconds[0] < 119
    assert abs(seconds[0] - seconds[1]) < 0.1
    [masks] = out.glob("*.masks")
    assert (masks / ".unfinished").is_file()
    assert not [path for path in out.rglob(".*") if "partial" in path.name]
