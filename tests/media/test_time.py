"""One meaning of time: clocks that step, repeat or are missing, for picture and sound together."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media.conftest import scene
from media.field_coded import field_coded

from lanecli.media import Frame, VideoReader, VideoSettings, VideoWriter
from lanecli.media.clock import Clock

CASES = Path(__file__).parents[2] / ".." / "shared" / "cases" / "media"
TICKS = Fraction(1, 90_000)


def copy(source: Path, target: Path, *, stop: int | None = None) -> list[str]:
    """The whole path without a network; the warnings of reader and writer. `stop` interrupts before that frame."""
    with VideoReader(source) as reader:
        audio = source if reader.info.has_audio else None
        writer = VideoWriter.like(reader, target, audio_from=audio)
        for frame in reader:
            if frame.index == stop:
                break
            writer.write(writer.canvas(frame))
        writer.close(interrupted=stop is not None)
        return reader.warnings + writer.warnings


def times(path: Path, kind: str) -> list[Fraction]:
    """Decoding times of a stream's packets, by PyAV alone, in seconds."""
    with av.open(f"file:{path}") as container:
        return [p.dts * p.time_base for p in container.demux(**{kind: 0}) if p.size]


def transport_stream(path: Path, start: float, count: int, *, sound: float | None = None, rate: int = 25) -> bytes:
    """`count` frames from `start` seconds on, with as long a tone from `sound` seconds on; nothing is shifted."""
    with av.open(f"file:{path}", "w", format="mpegts", container_options={"mpegts_copyts": "1"}) as output:
        picture = output.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "bf": "0"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        picture.codec_context.time_base = TICKS
        audio = output.add_stream("aac", rate=48_000, layout="mono") if sound is not None else None
        heard, samples = 0, 1024
        for number in range(count):
            while audio is not None and heard * samples / 48_000 <= number / rate:
                wave = (0.1 * np.sin(np.arange(samples) * 0.06)).astype(np.float32)[None]
                block = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                block.sample_rate, block.time_base = 48_000, Fraction(1, 48_000)
                block.pts = round(sound * 48_000) + (heard + 1) * samples  # the encoder primes with one block
                output.mux(audio.encode(block))
                heard += 1
            frame = av.VideoFrame.from_ndarray(scene(number, (64, 48)), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round((start + number / rate) / TICKS), TICKS
            output.mux(picture.encode(frame))
        output.mux(picture.encode(None))
        if audio is not None:
            output.mux(audio.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("starts", "word"),
    [
        ((4000, 0), "back"),  # a camera that starts anew
        ((0, 4000), "ahead"),  # its clock is set
        ((10, 9.5), "back"),
        ((50, 20, 3600, 7), "back"),
        ((95_440, 2), None),  # the clock's 33 bits wrap at 95 443.7 s: nothing steps … but for what is left out
    ],
)
def test_v_back_and_v_forward_time_goes_on_at_the_frame_step(tmp_path, starts, word):
    source, target = tmp_path / "in.ts", tmp_path / "out.mp4"
    parts = [transport_stream(tmp_path / "part.ts", start, 30) for start in starts]
    source.write_bytes(b"".join(parts))
    warnings = copy(source, target)
    found = times(target, "video")
    assert len(found) == 30 * len(starts)
    if word is None:
        assert max(np.diff([float(time) for time in found])) < 5
        return
    assert np.diff([float(time) for time in found]).max() < 0.0401
    assert np.diff([float(time) for time in found]).min() > 0.0399
    assert [word in line for line in warnings if "clock of the picture" in line] == [True]
    if len(starts) > 2:
        assert "and 2 more times" in warnings[0]


@pytest.mark.parametrize(
    ("starts", "sounds"),
    [
        ((0, 0), (0, 0)),  # both step back together
        ((4000, 0), (4000, 0)),
        ((0, 4000), (0, 4000)),
        ((10, 10.2), (10, 10.2)),  # overlapping ends
        ((0, 1.2), (0, 0)),  # the sound's clock alone goes back
        ((0, 1.2), (100, 0)),  # and has nothing in common with the picture's before
        ((0, 0), (0, 1.2)),  # the picture's alone
        ((0, 1.2), (0, 4000)),  # the sound's alone goes ahead
        ((20, 0, 0, 300), (20, 0, 0, 300)),
    ],
)
def test_va_same_and_ts_discont_sound_is_mended_with_the_picture(tmp_path, starts, sounds):
    source, target = tmp_path / "in.ts", tmp_path / "out.mp4"
    parts = [
        transport_stream(tmp_path / "part.ts", start, 30, sound=sound)
        for start, sound in zip(starts, sounds, strict=True)
    ]
    source.write_bytes(b"".join(parts))
    warnings = copy(source, target)
    picture, sound = times(target, "video"), times(target, "audio")
    assert len(picture) == 30 * len(starts)
    assert float(picture[-1]) == pytest.approx(1.2 * len(starts) - 0.04, abs=0.3)
    # Nothing of the sound is lost, and it ends where the picture ends.
    assert len(sound) == sum(1 for part in parts for _ in packets_of_bytes(part, tmp_path))
    assert abs(float(sound[-1] - picture[-1])) < 0.3
    assert np.diff([float(time) for time in sound]).min() > 0
    assert warnings


def packets_of_bytes(data: bytes, folder: Path) -> list[bytes]:
    (folder / "one.ts").write_bytes(data)
    with av.open(str(folder / "one.ts")) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


def test_sound_and_picture_stay_together_across_a_step(tmp_path):
    """What was heard with a frame before is heard with it after, although the parts end at different times."""
    source, target = tmp_path / "in.ts", tmp_path / "out.mp4"
    first = transport_stream(tmp_path / "a.ts", 500, 30, sound=500.1)
    second = transport_stream(tmp_path / "b.ts", 0, 30, sound=0.2)
    source.write_bytes(first + second)
    copy(source, target)
    picture, sound = times(target, "video"), times(target, "audio")
    heard = len(packets_of_bytes(first, tmp_path))
    assert float(sound[0] - picture[0]) == pytest.approx(0.1, abs=0.002)
    assert float(sound[heard] - picture[30]) == pytest.approx(0.2, abs=0.002)


@pytest.mark.parametrize("stop", [1, 7, 20, 29])
def test_an_interrupted_overlay_has_its_sound_cut_to_the_picture(tmp_path, make_video, stop):
    source, target = make_video(count=50, audio="aac", audio_frames=100), tmp_path / "out.mp4"
    copy(source, target, stop=stop)
    assert len(times(target, "video")) == stop
    sound = times(target, "audio")
    assert stop / 25 - 0.05 < float(sound[-1]) <= stop / 25


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
@pytest.mark.parametrize("name", ["v_back.ts", "v_forward.ts", "va_same.ts", "ts_discont.ts"])
def test_clocks_of_the_shared_cases(tmp_path, name):
    target = tmp_path / "out.mp4"
    warnings = copy(CASES / name, target)
    found = times(target, "video")
    assert len(found) == 50
    assert np.diff([float(time) for time in found]).max() < 0.0401
    assert any("clock" in line for line in warnings)
    if name in ("va_same.ts", "ts_discont.ts"):
        assert 1.9 < float(times(target, "audio")[-1]) < 2.1


@pytest.mark.parametrize("durations", [[40, 40, 5000], [100, 7000], [20, 30, 40, 50]])
def test_gif_the_last_frame_is_shown_for_its_own_time(tmp_path, durations):
    from PIL import Image

    source, target = tmp_path / "in.gif", tmp_path / "out.mp4"
    pictures = [Image.fromarray(scene(9 * number, (64, 48))) for number in range(len(durations))]
    pictures[0].save(source, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    copy(source, target)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(sum(durations) / 1000, abs=0.011)


def test_every_nth_frame_is_shown_for_n_times_as_long(tmp_path, make_video):
    target = tmp_path / "out.mp4"
    with VideoReader(make_video(count=20), every=4) as reader, VideoWriter.like(reader, target) as writer:
        for frame in reader:
            writer.write(writer.canvas(frame))
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == Fraction(20, 25)


@pytest.mark.parametrize("name", ["in.h264", "in.ts"])
@pytest.mark.parametrize("frames", [1, 2, 13])
def test_field_coded_pictures_are_not_counted_as_corrupt(tmp_path, name, frames):
    """Two packets make one frame."""
    raw, path = tmp_path / "in.h264", tmp_path / name
    raw.write_bytes(field_coded(frames))
    if path != raw:
        with av.open(str(raw)) as given, av.open(str(path), "w") as output:
            stream = output.add_stream_from_template(given.streams.video[0])
            for number, packet in enumerate(p for p in given.demux(video=0) if p.size):
                packet.pts = packet.dts = 1800 * number
                packet.time_base, packet.stream = TICKS, stream
                output.mux(packet)
    with av.open(str(path)) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) == 2 * frames
    with VideoReader(path) as reader:
        found = list(reader)
    assert (len(found), reader.skipped_frames, reader.truncated) == (frames, 0, False)
    assert not [line for line in reader.warnings if "corrupt" in line]


def test_a_clock_without_faults_is_kept_as_it_is():
    clock = Clock(Fraction(1, 1000), 40)
    wanted = [0, 33, 67, 100, 5000, 5001, 9_000_000]
    assert [clock.repair(pts) for pts in wanted] == wanted
    assert clock.warnings("picture") == []


def test_repeated_and_missing_times_follow_at_the_frame_step():
    clock = Clock(Fraction(1, 1000), 40)
    assert [clock.repair(pts) for pts in (0, 40, 40, 80, 120, 160)] == [0, 40, 80, 100, 120, 160]
    clock = Clock(Fraction(1, 1000), 40)
    assert [clock.repair(pts) for pts in (7, None, None, 127, 127, 127, 127)] == [7, 47, 87, 127, 167, 207, 247]
    assert "5 frames" in clock.warnings("picture")[0]


@given(
    st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), min_size=1, max_size=60),
    st.sampled_from([Fraction(1, 25), Fraction(1, 1000), TICKS]),
    st.booleans(),
)
def test_time_always_rises_whatever_the_clock_does(raw, unit, may_jump):
    clock = Clock(unit, max(1, round(Fraction(1, 25) / unit)), may_jump=may_jump)
    found = [clock.repair(value) for value in raw]
    assert all(b > a for a, b in itertools.pairwise(found))
    clock.warnings("sound")


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=8))
def test_time_lasts_as_long_as_the_frames_whatever_the_starts(starts):
    """Parts of 50 frames joined, each from its own time: the whole lasts as long as all frames."""
    clock = Clock(TICKS, 3600, may_jump=True)
    found = [clock.repair(90_000 * 60 * start + 3600 * number) for start in starts for number in range(50)]
    assert found[-1] - found[0] == 3600 * (50 * len(starts) - 1)


@given(st.lists(st.integers(-50, 4000), min_size=1, max_size=20))
def test_the_writer_takes_any_times(starts):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mp4"
        with VideoWriter(target, VideoSettings((16, 16), 25, Fraction(1, 1000))) as writer:
            for pts in starts:
                frame = Frame.from_rgb(np.zeros((16, 16, 3), np.uint8), pts=pts, time_base=Fraction(1, 1000))
                writer.write(frame)
        assert len(times(target, "video")) == len(starts)
