"""What is waited for, and what is refused: networks that do not answer, pipes, encrypted videos."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import av
import numpy as np
import pytest
from media.matroska import encrypted

from lanecli.errors import InputError
from lanecli.media import VideoReader
from lanecli.media.mark import is_output

CONNECT = """
import sys, time
from lanecli.media import VideoReader
print("ready", flush=True)
try:
    VideoReader(sys.argv[1])
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise on Windows")
@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_ctrl_c_while_a_url_connects_answers_within_a_second(scheme):
    """The server takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/live"
        process = subprocess.Popen([sys.executable, "-c", CONNECT, url], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            connection, _ = server.accept()
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 130
            assert time.monotonic() - began < 2  # a second, and the interpreter's own end on a busy machine
            connection.close()
        finally:
            process.kill()
            process.wait()


def test_pipes_and_devices_are_no_videos(tmp_path):
    if os.name == "nt":
        pytest.skip("Windows has neither")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    for name in ("pipe.mp4", "zero.mp4"):
        with pytest.raises(InputError, match="is not a file but a device, pipe or socket"):
            VideoReader(tmp_path / name)


@pytest.mark.parametrize("attempt", range(4))  # initial vectors are drawn anew: of some a decoder makes pictures
def test_an_encrypted_mp4_is_called_encrypted(tmp_path, attempt):
    """Common encryption (ISO/IEC 23001-7), written by FFmpeg's own muxer."""
    path = tmp_path / "locked.mp4"
    options = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "00112233445566778899aabbccddeeff",
        "encryption_kid": "000102030405060708090a0b0c0d0e0f",
    }
    with av.open(str(path), "w", container_options=options) as output:
        stream = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(5):
            picture = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(InputError, match="is encrypted"):
        VideoReader(path)


def test_a_scrambled_transport_stream_is_called_encrypted(tmp_path, make_video):
    """Payload scrambled, as the two bits of each packet's header say (ISO/IEC 13818-1, 2.4.3.3)."""
    data = bytearray(make_video("in.ts", count=30).read_bytes())
    noise = np.random.default_rng(0)
    for at in range(0, len(data), 188):
        if (data[at + 1] & 0x1F) << 8 | data[at + 2] == 0x100:  # the muxer's first stream
            data[at + 3] |= 0x80
            data[at + 12 : at + 188] = noise.integers(0, 256, 176, np.uint8).tobytes()
    path = tmp_path / "scrambled.ts"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is encrypted"):
        VideoReader(path)


@pytest.mark.parametrize("open_end", [False, True])
@pytest.mark.parametrize("key_id", [b"key", b""])
@pytest.mark.parametrize(("codec", "pixels"), [("libx264", "yuv420p"), ("libvpx", "yuv420p"), ("mjpeg", "yuvj420p")])
def test_an_encrypted_matroska_file_is_called_encrypted(tmp_path, make_video, codec, pixels, key_id, open_end):
    """ContentEncryption of RFC 9559, section 5.1.4.1.31.9, as WebM's encryption uses it."""
    clear = make_video("clear.mkv", codec=codec, pixels=pixels)
    with VideoReader(clear) as reader:
        assert len(list(reader)) == 12
    path = encrypted(clear, tmp_path / "locked.mkv", key_id=key_id, open_end=open_end)
    with pytest.raises(InputError, match="locked.mkv: is encrypted"):
        VideoReader(path)


def test_damaged_matroska_is_not_called_encrypted(tmp_path, make_video):
    whole = make_video("clear.mkv").read_bytes()
    path = tmp_path / "damaged.mkv"
    at = whole.index(b"\x1fC\xb6u")  # the first cluster
    path.write_bytes(whole[:at] + b"\x5a" * (len(whole) - at))
    with pytest.raises(InputError, match="unknown or damaged format"):
        VideoReader(path)


@pytest.mark.parametrize("length", [b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x80" + bytes(7)])
def test_an_mp4_box_of_impossible_length_is_damage(tmp_path, length):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x01free" + length + bytes(100))
    with pytest.raises(InputError, match="cut short or damaged"):
        VideoReader(path)
    assert not is_output(path)


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
def test_a_heif_picture_named_as_a_video_is_refused(tmp_path, brand):
    """A demuxer takes one of its tiles for a video of one frame."""
    path = tmp_path / "photo.mp4"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + b"\0" * 100)
    with pytest.raises(InputError, match="HEIF or AVIF picture, not a video"):
        VideoReader(path)


@pytest.mark.parametrize("size", [(60_000, 60_000), (65_535, 1600)])
def test_frames_of_too_many_pixels_are_refused_from_the_header(tmp_path, make_video, size):
    """The size is checked before a frame is allocated."""
    path = make_video("a.avi", codec="ffv1", count=3)
    data = bytearray(path.read_bytes())
    at = data.index(b"strf") + 8  # BITMAPINFOHEADER: its size, width, height
    data[at + 4 : at + 12] = size[0].to_bytes(4, "little") + size[1].to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"pixels are more than|can be decoded|is not a video|cannot be opened"):
        VideoReader(path)
