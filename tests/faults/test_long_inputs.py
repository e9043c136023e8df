"""Memory over long inputs: flat."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from samples import write_video
from victims import Victim

from lanecli.media import Frame, VideoSettings, VideoWriter, write_picture


def memory(pid: int) -> int:
    """Resident megabytes of a process."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * 4096 >> 20
    except (OSError, IndexError):
        return 0


def watched(victim: Victim, out: Path) -> list[int]:
    """Resident memory while it runs, from its first output on."""
    seen: list[int] = []

    def look() -> bool:
        if out.exists() and any(out.iterdir()):
            seen.append(memory(victim.process.pid))
        return False

    victim.until(look, 3600)
    assert victim.end() == 0, victim.err
    return [value for value in seen if value]


def repeated(clip: Path, path: Path, times: int) -> Path:
    """`clip` after itself, `times` times, without encoding it again."""
    with av.open(str(clip)) as short:
        packets = [packet for packet in short.demux(video=0) if packet.size]
        stream = short.streams.video[0]
        with av.open(str(path), "w") as long:
            copy = long.add_stream_from_template(stream)
            length = stream.duration
            for number in range(times):
                for packet in packets:
                    again = av.Packet(bytes(packet))
                    again.time_base, again.is_keyframe = packet.time_base, packet.is_keyframe
                    again.pts, again.dts = packet.pts + number * length, packet.dts + number * length
                    again.stream = copy
                    long.mux(again)
    return path


def is_flat(seen: list[int], allowed: int = 40) -> bool:
    """Whether the last quarter needs no more than `allowed` megabytes above the second."""
    quarter = len(seen) // 4
    return max(seen[-quarter:]) - max(seen[quarter : 2 * quarter]) <= allowed


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("frames", [1500, pytest.param(200_000, marks=pytest.mark.long)])
def test_memory_is_flat_over_a_long_video(frames: int, bright: Path, tmp_path: Path) -> None:
    source = repeated(
        write_video(tmp_path / "short.mp4", frames=500, size=(160, 96)), tmp_path / "long.mp4", frames // 500
    )
    out = tmp_path / "out"
    seen = watched(Victim("predict", source, "--model", bright, "--out", out, cwd=tmp_path), out)
    print(f"{frames} frames: {min(seen)} to {max(seen)} MB")
    assert is_flat(seen)


@pytest.mark.long
def test_memory_is_flat_over_many_pictures(bright: Path, tmp_path: Path) -> None:
    picture = np.zeros((96, 160, 3), np.uint8)
    for number in range(20_000):
        picture[:, number % 160] = number % 256
        write_picture(tmp_path / "pictures" / f"{number:05}.png", picture)
    out = tmp_path / "out"
    seen = watched(Victim("predict", tmp_path / "pictures", "--model", bright, "--out", out, cwd=tmp_path), out)
    print(f"20000 pictures: {min(seen)} to {max(seen)} MB")
    assert is_flat(seen, 100)  # a report for each


@pytest.mark.long
def test_an_8k_video(bright: Path, tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    with VideoWriter(source, VideoSettings((7680, 4320), 25, crf=40)) as writer:
        for number in range(60):
            picture = np.zeros((4320, 7680, 3), np.uint8)
            picture[:, 50 * number : 50 * number + 400] = 255
            writer.write(Frame.from_rgb(picture, number))
    out = tmp_path / "out"
    seen = watched(Victim("predict", source, "--model", bright, "--out", out, cwd=tmp_path), out)
    print(f"8K: {min(seen)} to {max(seen)} MB")
    assert is_flat(seen, 300)
    assert max(seen) < 4000
