from __future__ import annotations

import random
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lanecli.errors import InputError
from lanecli.media import VideoReader, prefetch

NTSC = Fraction(30_000, 1001)
SHARED = Path(__file__).parents[3] / "shared" / "data" / "videos" / "solidWhiteRight.mp4"


def number_of(size: tuple[int, int], colours: list[tuple[int, int, int]]):
    """Pictures of one colour each, to be told apart after lossy coding."""
    return lambda number, _: np.full((size[1], size[0], 3), colours[number % len(colours)], np.uint8)


def test_reads_every_frame_with_its_exact_time(make_video):
    path = make_video(rate=NTSC, time_base=Fraction(1, 30_000), pts=[1001 * n for n in range(12)])
    with VideoReader(path) as reader:
        assert reader.info.frame_rate == NTSC
        assert reader.info.time_base == Fraction(1, 30_000)
        assert reader.info.frames == 12
        assert reader.info.size == (64, 48)
        assert not reader.info.has_audio
        frames = list(reader)
    assert [frame.pts for frame in frames] == [1001 * n for n in range(12)]
    assert [frame.index for frame in frames] == list(range(12))
    assert frames[3].time == pytest.approx(3 * 1001 / 30_000, abs=0)
    assert (reader.skipped_frames, reader.truncated) == (0, False)


def test_variable_frame_rate_keeps_exact_pts(make_video):
    pts = [0, 512, 700, 1537, 1538, 9000, 9512, 20_000]
    path = make_video(count=len(pts), time_base=Fraction(1, 12_800), pts=pts)
    with VideoReader(path) as reader:
        assert [frame.pts for frame in reader] == pts


def test_b_frames_come_in_display_order(make_video):
    path = make_video(count=20, options={"preset": "medium", "bf": "3"})
    with VideoReader(path) as reader:
        times = [frame.time for frame in reader]
    np.testing.assert_allclose(times, np.arange(20) / 25, atol=1e-9)


@pytest.mark.parametrize("every", [1, 2, 5, 100])
def test_every_gives_each_nth_frame_beginning_with_the_first(make_video, every):
    with VideoReader(make_video(count=12), every=every) as reader:
        frames = list(reader)
        assert reader.frame_rate == Fraction(25, every)
    assert [round(frame.time * 25) for frame in frames] == list(range(0, 12, every))
    assert [frame.index for frame in frames] == list(range(len(frames)))


def test_every_of_zero_is_refused(make_video):
    with pytest.raises(InputError, match="at least 1"):
        VideoReader(make_video(), every=0)


@pytest.mark.parametrize("size", [(63, 48), (64, 47), (33, 35)])
def test_odd_sizes(make_video, size):
    path = make_video(size=size, codec="ffv1", pixels="yuv420p", name="odd.mkv")
    with VideoReader(path) as reader:
        frame = next(iter(reader))
    width, height = size
    assert frame.size == reader.info.size == size
    assert frame.u.shape == ((height + 1) // 2, (width + 1) // 2)
    assert frame.rgb().shape == (height, width, 3)


@pytest.mark.parametrize(
    ("codec", "pixels"),
    [
        ("ffv1", "yuv420p10le"),
        ("ffv1", "yuv422p"),
        ("ffv1", "yuv444p"),
        ("ffv1", "yuv422p10le"),
        ("ffv1", "bgr0"),
        ("ffv1", "gray"),
        ("libx264", "yuv420p10le"),
        ("mjpeg", "yuvj420p"),
        ("mjpeg", "yuvj422p"),
    ],
)
def test_other_pixel_formats_come_as_planes_of_the_right_colour(make_video, codec, pixels):
    colours = [(200, 60, 40), (30, 180, 90), (20, 50, 210), (128, 128, 128)]
    if pixels == "gray":
        colours = [(220, 220, 220), (128, 128, 128), (30, 30, 30)]
    size = (64, 48)
    path = make_video("formats.mkv", count=4, size=size, codec=codec, pixels=pixels, pictures=number_of(size, colours))
    with VideoReader(path) as reader:
        for number, frame in enumerate(reader):
            assert frame.is_planar
            assert frame.y.shape == (48, 64)
            got = frame.rgb()[24, 32].astype(int)
            assert np.abs(got - np.array(colours[number % len(colours)])).max() <= 6


@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (6, 1, 6, 6), (9, 1, 9, 14), (1, 2, 1, 1)])
def test_matrix_and_range_of_the_file_are_used(make_video, tags):
    colours = [(210, 40, 50), (40, 200, 60), (30, 60, 220)]
    path = make_video(size=(64, 48), count=3, tags=tags, pictures=number_of((64, 48), colours))
    with VideoReader(path) as reader:
        colour = reader.info.colour
        assert (colour.matrix, colour.range, colour.primaries, colour.transfer) == tags
        for number, frame in enumerate(reader):
            assert np.abs(frame.rgb()[24, 32].astype(int) - np.array(colours[number])).max() <= 4


def quadrants(number: int, size: tuple[int, int]) -> np.ndarray:
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    half_x, half_y = size[0] // 2, size[1] // 2
    picture[:half_y, :half_x] = (220, 30, 30)
    picture[:half_y, half_x:] = (30, 220, 30)
    picture[half_y:, :half_x] = (30, 30, 220)
    picture[half_y:, half_x:] = (230, 230, 230)
    return picture


# The upper left 2x2 of the matrix in an MP4 track header, {a, b, c, d}: x' = a x + c y, y' = b x + d y, y downwards
# (ISO/IEC 14496-12, 8.3.2). A phone held upright writes the quarter turn to the right.
@pytest.mark.parametrize(
    ("matrix", "turned", "size"),
    [
        ((1, 0, 0, 1), lambda p: p, (64, 48)),
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1), (48, 64)),
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2), (64, 48)),
        ((0, -1, 1, 0), lambda p: np.rot90(p, 1), (48, 64)),
        ((-1, 0, 0, 1), lambda p: p[:, ::-1], (64, 48)),
        ((1, 0, 0, -1), lambda p: p[::-1], (64, 48)),
        ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2), (48, 64)),
        ((0, -1, -1, 0), lambda p: np.rot90(p, 2).transpose(1, 0, 2), (48, 64)),
        ((-0.5, 0, 0, 0.5), lambda p: p[:, ::-1], (64, 48)),  # scaled, as some editors write it
        ((0.005, 1, -1, 0.005), lambda p: np.rot90(p, -1), (48, 64)),  # all but a quarter turn
    ],
)
def test_rothflip_display_matrices_are_taken_as_players_take_them(make_video, matrix, turned, size):
    path = make_video(pictures=quadrants, count=3)
    set_matrix(path, matrix)
    with VideoReader(path) as reader:
        assert reader.info.size == size
        assert reader.warnings == []
        frames = list(reader)
    expected = turned(quadrants(0, (64, 48)))
    for frame in frames:
        assert frame.size == size
        got = frame.rgb()
        for y, x in ((6, 6), (6, -6), (-6, 6), (-6, -6)):
            assert np.abs(got[y, x].astype(int) - expected[y, x]).max() <= 8


def set_matrix(path: Path, matrix: tuple[float, float, float, float]) -> None:
    """Write a, b, c, d into the track header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version and flags, times, ids, layer … (version 0)
    a, b, c, d = (round(value * 65_536) for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (0.7, 0.7, -0.7, 0.7), (1, 0.3, 0, 1), (1, 0, 0, 0), (1, 0, 1, 0)])
def test_zero_matrix_what_is_no_rotation_or_mirror_is_ignored_with_a_warning(make_video, matrix):
    path = make_video(pictures=quadrants, count=2)
    set_matrix(path, matrix)
    with VideoReader(path) as reader:
        assert reader.info.size == (64, 48)
        for frame in reader:
            assert np.abs(frame.rgb()[6, 6].astype(int) - quadrants(0, (64, 48))[6, 6]).max() <= 8
        assert [line for line in reader.warnings if "display matrix" in line]


def test_same_pixels_as_pyav_gives(make_video):
    path = make_video(tags=(6, 1, 6, 6))
    with VideoReader(path) as reader, av.open(str(path)) as container:
        for frame, native in zip(reader, container.decode(video=0), strict=True):
            np.testing.assert_array_equal(frame.rgb(), native.to_ndarray(format="rgb24"))


def test_frames_outlive_the_reader(make_video):
    with VideoReader(make_video()) as reader:
        frames = list(reader)
    with VideoReader(make_video()) as reader:
        for kept, again in zip(frames, reader, strict=True):
            np.testing.assert_array_equal(kept.y, again.y)


def test_non_ascii_names_spaces_colons_and_percent(make_video):
    path = make_video("Straße 5/fährt: 100 %d 車道.mp4", count=3)
    with VideoReader(path) as reader:
        assert len(list(reader)) == 3


def test_transport_stream_is_moved_to_start_at_zero(make_video):
    path = make_video("clock.ts", count=10, time_base=Fraction(1, 90_000), pts=[900_000 + 3600 * n for n in range(10)])
    with av.open(str(path)) as container:
        assert container.start_time == 10_000_000
    with VideoReader(path) as reader:
        times = [frame.time for frame in reader]
    np.testing.assert_allclose(times, np.arange(10) / 25, atol=1e-9)


def test_stream_without_timestamps_gets_them_from_its_rate(make_video, tmp_path):
    source = make_video("bare.h264", count=9)
    with VideoReader(source) as reader:
        times = [frame.time for frame in reader]
    np.testing.assert_allclose(np.diff(times), float(1 / reader.info.frame_rate), rtol=1e-3)


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 0.95, 0.999])
def test_truncated_file_gives_what_can_be_read(make_video, share):
    path = make_video(count=40, faststart=True)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with VideoReader(path) as reader:
        frames = list(reader)
        assert reader.truncated
    assert 0 < len(frames) < 40
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(len(frames)) / 25, atol=1e-9)


@pytest.mark.parametrize("name", ["cut.mkv", "cut.avi"])
def test_truncated_file_of_other_containers(make_video, name):
    path = make_video(name, count=60, codec="mpeg4" if name.endswith("avi") else "libx264")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    with VideoReader(path) as reader:
        count = len(list(reader))
        assert reader.truncated
    assert 10 < count < 50


@pytest.mark.parametrize("name", ["whole.mp4", "whole.mkv", "whole.avi", "whole.ts", "whole.webm"])
def test_whole_file_is_not_called_truncated(make_video, name):
    codec = {"avi": "mpeg4", "webm": "libvpx"}.get(name[-3:], "libvpx" if name.endswith("webm") else "libx264")
    with VideoReader(make_video(name, count=40, codec=codec)) as reader:
        assert len(list(reader)) == 40
    assert (reader.truncated, reader.skipped_frames) == (False, 0)


def test_leaving_early_is_not_truncation(make_video):
    with VideoReader(make_video(count=40)) as reader:
        for frame in reader:
            if frame.index == 3:
                break
    assert not reader.truncated


def test_missing_index_is_one_clear_line(make_video):
    path = make_video(count=40)  # the index comes last
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cut short or damaged") as caught:
        VideoReader(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("seed", range(4))
def test_corrupt_frame_is_skipped_and_counted_and_decoding_goes_on(make_video, seed):
    path = make_video(count=60, size=(160, 120), faststart=True, group=10)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    position, size = packets[20]  # a key frame
    noise = random.Random(seed)
    for at in range(position, position + size):
        data[at] = noise.randrange(256)
    path.write_bytes(data)
    with VideoReader(path) as reader:
        frames = list(reader)
    assert reader.skipped_frames >= 1
    assert len(frames) + reader.skipped_frames == 60
    assert [round(frame.time * 25) for frame in frames][-29:] == list(range(31, 60))
    assert not reader.truncated


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_never_escapes_as_anything_but_an_input_error(make_video, seed):
    path = make_video(count=20, audio="aac")
    noise = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(30):
        data[noise.randrange(len(data))] = noise.randrange(256)
    path.write_bytes(data)
    message, count = "", 0
    try:
        with VideoReader(path) as reader:
            count = len(list(reader))
    except InputError as error:
        message = str(error)
    assert count <= 20
    assert "\n" not in message


# --- not a video ----------------------------------------------------------------------------------------------------


def refused(path: Path | str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        VideoReader(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_not_a_video_is_refused_in_one_line(tmp_path):
    text = tmp_path / "notes.mp4"
    text.write_text("Dear diary, today I drove to the sea.\n" * 50)
    refused(text, "not a video")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    refused(empty, "empty")
    refused(tmp_path, "is a folder")
    refused(tmp_path / "nowhere.mp4", "no such file")


def test_sound_without_picture_is_refused(make_video, tmp_path):
    source, path = make_video(audio="aac"), tmp_path / "sound.m4a"
    with av.open(str(source)) as container, av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream_from_template(container.streams.audio[0])
        for packet in container.demux(audio=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    refused(path, "no video stream")


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9.0,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{other}'\n",
    ],
)
def test_playlist_named_as_video_opens_no_other_file(make_video, tmp_path, text):
    other = make_video("other.ts")
    path = tmp_path / "evil.mp4"
    path.write_text(text.format(other=other))
    refused(path, "not a video")


def test_libraries_write_nothing_to_the_terminal(make_video, capfd):
    path = make_video(count=40, faststart=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(data[: int(len(data) * 0.9)])
    with VideoReader(path) as reader:
        list(reader)
    assert capfd.readouterr() == ("", "")


def test_unreachable_stream_is_one_clear_line():
    refused("rtsp://127.0.0.1:9/none", "cannot be opened")


# --- streaming ------------------------------------------------------------------------------------------------------


def test_field_15_memory_stays_flat_over_a_long_video(make_video):
    """Nothing of what was read stays: only the frames in the queue are alive at any time."""
    path = make_video(count=400, size=(320, 240), options={"crf": "40"})

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to read the memory in use")
    with VideoReader(path) as reader:
        for frame in prefetch(reader, 4):
            if frame.index == 100:
                early = resident()
        late = resident()
    assert frame.index == 399
    # 300 frames of 320x240 are 35 MB.
    assert late - early < 4_000_000


def test_closing_under_a_running_thread_is_safe(make_video):
    path = make_video(count=200)
    for stop in (0, 1, 7):
        with VideoReader(path) as reader:
            stream = prefetch(reader, 2)
            for frame in stream:
                if frame.index == stop:
                    break
        stream.close()


def test_shared_video_equals_opencv():
    if not SHARED.exists():
        pytest.skip("the shared example video is not here")
    import cv2

    capture = cv2.VideoCapture(str(SHARED))
    with VideoReader(SHARED) as reader:
        for frame in reader:
            done, bgr = capture.read()
            assert done
            if frame.index % 40 == 0:
                np.testing.assert_array_equal(frame.rgb(), bgr[..., ::-1])
    assert frame.index == 220
