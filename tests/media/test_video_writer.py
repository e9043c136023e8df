from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lanecli.errors import InputError, LaneError
from lanecli.media import BackgroundWriter, Colour, Frame, VideoReader, VideoSettings, VideoWriter, prefetch

NTSC = Fraction(30_000, 1001)


def copy(source: Path, target: Path, **options) -> VideoWriter:
    """The whole path of a video without a network."""
    with VideoReader(source) as reader, VideoWriter.like(reader, target, audio_from=source, **options) as writer:
        for frame in reader:
            writer.write(writer.canvas(frame))
    return writer


def top_boxes(path: Path) -> list[bytes]:
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        names.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4])
    return names


@pytest.mark.parametrize(
    ("rate", "time_base", "step"),
    [
        (NTSC, Fraction(1, 30_000), 1001),
        (Fraction(25), Fraction(1, 12_800), 512),
        (Fraction(24_000, 1001), Fraction(1, 24_000), 1001),
        (Fraction(25), Fraction(1, 25), 1),
        (Fraction(10), Fraction(1, 90_000), 9000),
    ],
)
def test_field_12_frame_rate_is_a_fraction_and_does_not_drift(make_video, times_of, tmp_path, rate, time_base, step):
    source = make_video(count=50, rate=rate, time_base=time_base, pts=[step * n for n in range(50)])
    target = tmp_path / "out.mp4"
    copy(source, target)
    assert times_of(target) == times_of(source) == [n / rate for n in range(50)]
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.time_base, stream.frames) == (rate, time_base, 50)
        assert stream.duration * stream.time_base == 50 / rate


def test_field_12_variable_frame_rate_survives(make_video, times_of, tmp_path):
    pts = [0, 512, 700, 1537, 1538, 9000, 9512, 20_000, 20_001]
    source = make_video(count=len(pts), time_base=Fraction(1, 12_800), pts=pts)
    target = tmp_path / "out.mp4"
    copy(source, target)
    assert times_of(target) == [Fraction(value, 12_800) for value in pts]
    with VideoReader(target) as reader:
        assert [frame.pts for frame in reader] == pts


@pytest.mark.parametrize("first", [0, 7, 1500])
def test_a_late_first_frame_stays_late(make_video, times_of, tmp_path, first):
    source = make_video(count=8, time_base=Fraction(1, 1000), pts=[first + 40 * n for n in range(8)], audio="aac")
    target = tmp_path / "out.mp4"
    copy(source, target)
    assert times_of(target) == times_of(source)


def test_matroska_keeps_steps_and_packets(make_video, times_of, packets_of, tmp_path):
    """Matroska counts in milliseconds and from zero: AAC's priming packet, at -21 ms, moves all to after it."""
    source = make_video(count=30, rate=NTSC, audio="aac")
    target = tmp_path / "out.mkv"
    copy(source, target)
    lag = packets_of(target, "audio")[0][0] - packets_of(source, "audio")[0][0]
    moved = [float(time + lag) for time in times_of(source)]
    np.testing.assert_allclose([float(time) for time in times_of(target)], moved, atol=1.01e-3)
    assert [data for _, data in packets_of(target, "audio")] == [data for _, data in packets_of(source, "audio")]


def test_field_13_plays_in_a_browser(make_video, tmp_path):
    """H.264, yuv420p, the index at the front."""
    target = tmp_path / "out.mp4"
    copy(make_video(codec="mpeg4", pixels="yuv420p"), target)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert not stream.codec_context.has_b_frames
    boxes = top_boxes(target)
    assert boxes.index(b"moov") < boxes.index(b"mdat")


def test_field_14_audio_is_copied_packet_by_packet(make_video, packets_of, tmp_path):
    source = make_video(count=16, audio="aac", audio_frames=40)  # the sound is longer than the picture
    target = tmp_path / "out.mp4"
    writer = copy(source, target)
    assert packets_of(target, "audio") == packets_of(source, "audio")
    assert len(packets_of(target, "audio")) >= 40
    assert writer.warnings == []


@pytest.mark.parametrize(
    ("codec", "name"), [("mp3", "a.mkv"), ("flac", "a.mkv"), ("libopus", "a.mkv"), ("ac3", "a.mkv")]
)
def test_other_codecs_mp4_can_hold_are_copied(make_video, packets_of, tmp_path, codec, name):
    source, target = make_video(name, count=16, audio=codec), tmp_path / "out.mp4"
    writer = copy(source, target)
    assert [data for _, data in packets_of(target, "audio")] == [data for _, data in packets_of(source, "audio")]
    assert writer.warnings == []


@pytest.mark.parametrize("codec", ["pcm_s16le", "mp2"])
def test_sound_mp4_cannot_play_is_encoded_to_aac(make_video, tmp_path, codec):
    source, target = make_video("a.mkv", count=16, audio=codec, audio_frames=40), tmp_path / "out.mp4"
    writer = copy(source, target)
    assert len(writer.warnings) == 1
    assert "encoded to AAC" in writer.warnings[0]
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    assert abs(len(samples) / 48_000 - 40 * 1024 / 48_000) < 0.1
    spectrum = np.abs(np.fft.rfft(samples[4096 : 4096 + 24_000]))
    assert abs(np.argmax(spectrum) * 2 - 440) <= 4  # 2 Hz a bin


def test_transport_stream_sound_stays_with_the_picture(make_video, packets_of, times_of, tmp_path):
    step = 3600
    source = make_video("a.ts", count=25, time_base=Fraction(1, 90_000), pts=[step * n for n in range(25)], audio="aac")
    target = tmp_path / "out.mp4"
    copy(source, target)
    assert times_of(target)[0] >= 0
    gap_before = packets_of(source, "audio")[0][0] - times_of(source)[0]
    gap_after = packets_of(target, "audio")[0][0] - times_of(target)[0]
    assert abs(gap_before - gap_after) < Fraction(1, 1000)
    assert len(packets_of(target, "audio")) == len(packets_of(source, "audio"))


def test_video_without_sound_gets_none(make_video, tmp_path):
    target = tmp_path / "out.mp4"
    assert copy(make_video(), target).warnings == []
    with av.open(str(target)) as container:
        assert not container.streams.audio


def test_gap_in_a_constant_rate_source_stays_a_gap(make_video, times_of, tmp_path):
    pts = [0, 1, 2, 10, 11, 12]
    source, target = make_video(count=6, pts=pts), tmp_path / "out.mp4"
    copy(source, target)
    assert times_of(target) == [Fraction(value, 25) for value in pts]


def test_frames_without_pts_follow_by_the_rate(times_of, tmp_path):
    target = tmp_path / "out.mp4"
    with VideoWriter(target, VideoSettings((32, 32), NTSC)) as writer:
        for _ in range(5):
            writer.write(Frame.from_rgb(np.zeros((32, 32, 3), np.uint8)))
    assert times_of(target) == [n / NTSC for n in range(5)]


def test_pts_that_do_not_rise_are_moved_up(times_of, tmp_path):
    target = tmp_path / "out.mp4"
    with VideoWriter(target, VideoSettings((32, 32), 25, Fraction(1, 1000))) as writer:
        for pts in (0, 40, 40, 30, 120):
            writer.write(Frame.from_rgb(np.zeros((32, 32, 3), np.uint8), pts=pts, time_base=Fraction(1, 1000)))
    assert times_of(target) == [Fraction(value, 1000) for value in (0, 40, 41, 42, 120)]


def test_another_time_base_is_converted(times_of, tmp_path):
    target = tmp_path / "out.mp4"
    with VideoWriter(target, VideoSettings((32, 32), 25, Fraction(1, 12_800))) as writer:
        for n in range(4):
            frame = Frame.from_rgb(np.zeros((32, 32, 3), np.uint8), pts=3600 * n, time_base=Fraction(1, 90_000))
            writer.write(frame)
    assert times_of(target) == [Fraction(n, 25) for n in range(4)]


@pytest.mark.parametrize("size", [(64, 48), (63, 48), (64, 47), (33, 35), (4, 4)])
@pytest.mark.parametrize("planar", [True, False])
def test_odd_sizes_are_rounded_up_with_the_edge_repeated(tmp_path, size, planar):
    width, height = size
    target = tmp_path / "out.mp4"
    rgb = np.full((height, width, 3), 60, np.uint8)
    rgb[-1], rgb[:, -1] = 200, 200
    if planar:
        y = np.round(16 + 219 / 255 * rgb[..., 0]).astype(np.uint8)
        grey = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
        frame = Frame.from_planes(y, grey, grey, colour=Colour(6, 1))
    else:
        frame = Frame.from_rgb(rgb)
    with VideoWriter(target, VideoSettings(size, 25, crf=1)) as writer:
        writer.write(frame)
    with VideoReader(target) as reader:
        out = next(iter(reader)).rgb()
    assert out.shape == ((height + 1) // 2 * 2, (width + 1) // 2 * 2, 3)
    assert np.abs(out[:height, :width].astype(int) - rgb).max() <= 12
    assert np.abs(out[height - 1 :].astype(int) - 200).max() <= 12
    assert np.abs(out[:, width - 1 :].astype(int) - 200).max() <= 12


@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (6, 1, 6, 6), (9, 1, 9, 14), (1, 2, 1, 1)])
def test_colour_tags_and_colours_survive(make_video, tmp_path, tags):
    def picture(number: int, size: tuple[int, int]) -> np.ndarray:
        return np.full((size[1], size[0], 3), [(210, 40, 50), (40, 200, 60), (30, 60, 220)][number], np.uint8)

    source, target = make_video(count=3, tags=tags, pictures=picture), tmp_path / "out.mp4"
    copy(source, target)
    with VideoReader(target) as reader:
        colour = reader.info.colour
        assert (colour.matrix, colour.range, colour.primaries, colour.transfer) == tags
        for number, frame in enumerate(reader):
            assert np.abs(frame.rgb()[20, 20].astype(int) - picture(number, (64, 48))[0, 0]).max() <= 5


def test_rgb_frames_keep_their_colours(tmp_path):
    colours = [(200, 30, 40), (30, 180, 60), (10, 20, 240), (250, 250, 250), (0, 0, 0)]
    target = tmp_path / "out.mp4"
    with VideoWriter(target, VideoSettings((64, 48), 25, crf=1)) as writer:
        for number, colour in enumerate(colours):
            writer.write(Frame.from_rgb(np.full((48, 64, 3), colour, np.uint8), number, number, Fraction(1, 25)))
    with VideoReader(target) as reader:
        assert reader.info.colour.name == "bt601"
        for frame, colour in zip(reader, colours, strict=True):
            assert np.abs(frame.rgb().astype(int) - np.array(colour)).max() <= 4


def test_rotated_source_comes_out_upright(make_video, tmp_path):
    target = tmp_path / "out.mp4"
    copy(make_video(size=(64, 48), rotation=90), target)
    with VideoReader(target) as reader:
        assert (reader.info.size, reader.info.orientation.turn) == ((48, 64), 0)


def test_pixel_aspect_is_kept(tmp_path):
    target = tmp_path / "out.mp4"
    with VideoWriter(target, VideoSettings((64, 48), 25, pixel_aspect=Fraction(4, 3))) as writer:
        writer.write(Frame.from_rgb(np.zeros((48, 64, 3), np.uint8)))
    with VideoReader(target) as reader:
        assert reader.info.pixel_aspect == Fraction(4, 3)


def test_canvas_is_a_copy_and_drawing_on_it_is_what_is_written(make_video, tmp_path):
    source, target = make_video(size=(64, 48)), tmp_path / "out.mp4"
    with VideoReader(source) as reader, VideoWriter.like(reader, target, crf=1) as writer:
        for frame in reader:
            before = frame.y.copy()
            canvas = writer.canvas(frame)
            assert canvas.writable
            canvas.y[8:40, 8:40] = 235
            np.testing.assert_array_equal(frame.y, before)
            writer.write(canvas)
    with VideoReader(target) as reader:
        for frame in reader:
            assert np.abs(frame.y[12:36, 12:36].astype(int) - 235).max() <= 6
    assert frame.index == 11


def test_skipped_corrupt_frames_leave_sound_and_picture_together(make_video, times_of, packets_of, tmp_path):
    source = make_video(count=50, audio="aac", audio_frames=90, faststart=True, group=10)
    whole = times_of(source)
    with av.open(str(source)) as container:
        position, size = [(p.pos, p.size) for p in container.demux(video=0) if p.size][20]
    data = bytearray(source.read_bytes())
    data[position : position + size] = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
    source.write_bytes(data)
    target = tmp_path / "out.mp4"
    copy(source, target)
    out = times_of(target)
    assert set(out) < set(whole)
    assert out[-1] == whole[-1]
    assert packets_of(target, "audio") == packets_of(source, "audio")


# --- nothing is lost ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_video_is_finalised_and_playable(make_video, packets_of, times_of, tmp_path, error):
    source, target = make_video(count=50, audio="aac", audio_frames=90), tmp_path / "out.mp4"

    def run() -> None:
        with VideoReader(source) as reader, VideoWriter.like(reader, target, audio_from=source) as writer:
            for frame in reader:
                if frame.index == 20:
                    raise error
                writer.write(frame)

    with pytest.raises(error):
        run()
    assert times_of(target) == [Fraction(n, 25) for n in range(20)]
    sound = packets_of(target, "audio")
    assert sound == packets_of(source, "audio")[: len(sound)]
    assert 0.7 < sound[-1][0] < 1.4
    assert set(os.listdir(tmp_path)) == {source.name, target.name}


def test_interrupt_in_a_threaded_pipeline(make_video, times_of, tmp_path):
    source, target = make_video(count=100), tmp_path / "out.mp4"

    def run() -> None:
        with (
            VideoReader(source) as reader,
            VideoWriter.like(reader, target) as writer,
            BackgroundWriter(writer.write, 3) as sink,
        ):
            for frame in prefetch(reader, 3):
                if frame.index == 30:
                    raise KeyboardInterrupt
                sink.put(frame)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert times_of(target) == [Fraction(n, 25) for n in range(30)]


def test_no_frame_no_file(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", VideoSettings((64, 48), 25)) as writer:
        pass
    assert writer.frames == 0
    assert os.listdir(tmp_path) == []


def test_error_before_the_first_frame_leaves_nothing(make_video, tmp_path):
    folder = tmp_path / "results"

    def run() -> None:
        with VideoWriter(folder / "out.mp4", VideoSettings((64, 48), 25), audio_from=make_video(audio="aac")):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        run()
    assert os.listdir(folder) == []


def test_an_existing_file_stays_until_the_new_one_is_whole(make_video, tmp_path):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with VideoReader(make_video()) as reader, VideoWriter.like(reader, target) as writer:
        for frame in reader:
            writer.write(frame)
            assert target.read_bytes() == b"old"
    assert target.read_bytes() != b"old"


def test_overwrite_has_to_be_allowed(tmp_path):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with pytest.raises(InputError, match="--overwrite"):
        VideoWriter(target, VideoSettings((64, 48), 25), overwrite=False)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_impossible_targets_are_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="folder"):
        VideoWriter(tmp_path / "file" / "out.mp4", VideoSettings((64, 48), 25))
    (tmp_path / "dir.mp4").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        VideoWriter(tmp_path / "dir.mp4", VideoSettings((64, 48), 25))
    with pytest.raises(InputError, match=r"not '\.gif'"):
        VideoWriter(tmp_path / "out.gif", VideoSettings((64, 48), 25))
    with pytest.raises(InputError, match="cannot be encoded"):
        VideoWriter(tmp_path / "out.mp4", VideoSettings((3, 48), 25))
    with pytest.raises(InputError, match="no such file"):
        VideoWriter(tmp_path / "out.mp4", VideoSettings((64, 48), 25), audio_from=tmp_path / "none.mp4")
    assert sorted(os.listdir(tmp_path)) == ["dir.mp4", "file"]


def test_frame_of_another_size_is_refused_and_the_rest_kept(times_of, tmp_path):
    target = tmp_path / "out.mp4"

    def run() -> None:
        with VideoWriter(target, VideoSettings((64, 48), 25)) as writer:
            writer.write(Frame.from_rgb(np.zeros((48, 64, 3), np.uint8)))
            writer.write(Frame.from_rgb(np.zeros((40, 64, 3), np.uint8)))

    with pytest.raises(LaneError, match="64x40"):
        run()
    assert len(times_of(target)) == 1


def test_closing_twice_is_harmless_and_writing_after_is_refused(tmp_path):
    writer = VideoWriter(tmp_path / "out.mp4", VideoSettings((64, 48), 25))
    writer.write(Frame.from_rgb(np.zeros((48, 64, 3), np.uint8)))
    writer.close()
    writer.close()
    with pytest.raises(LaneError, match="closed"):
        writer.write(Frame.from_rgb(np.zeros((48, 64, 3), np.uint8)))


def test_field_25_non_ascii_paths(make_video, times_of, tmp_path):
    source = make_video("Straße 車道/Fahrt: 1 %d.mp4", count=5, audio="aac")
    target = tmp_path / "ergebnis ü" / "Überlagerung 車道.mp4"
    copy(source, target)
    assert len(times_of(target)) == 5


def test_field_15_writing_a_long_video_needs_no_more_memory(tmp_path):
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to read the memory in use")
    picture, early = np.zeros((240, 320, 3), np.uint8), 0
    with VideoWriter(tmp_path / "out.mp4", VideoSettings((320, 240), 25, crf=40)) as writer:
        for number in range(500):
            picture[:, number % 320] = number % 256
            writer.write(Frame.from_rgb(picture))
            if number == 150:
                early = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
        late = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    assert late - early < 4_000_000  # 350 frames are 40 MB


def test_libraries_write_nothing_to_the_terminal_while_encoding(make_video, tmp_path, capfd):
    copy(make_video(audio="aac"), tmp_path / "out.mp4")
    assert capfd.readouterr() == ("", "")
