"""Damage pictures and videos at random, in a process of its own: `fuzz.py READER,… SEED COUNT SECONDS`.

Prints one JSON document: of each reader how many inputs were tried, accepted and refused, the failures (anything raised
but InputError, or more than ten seconds of work), and the most memory. What crashes or hangs shows in the caller.
"""

from __future__ import annotations

import io
import json
import os
import random
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from lanecli.cli.quiet import silence_libraries
from lanecli.errors import InputError
from lanecli.media import VideoReader, picture_size, read_color_mask, read_mask, read_picture
from lanecli.media.mark import is_output

sys.path.insert(0, str(Path(__file__).parents[1]))
from media.heif import heic

_VALUES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def peak_megabytes() -> int:
    """The most memory this process has had; getrusage would count what its parent had when it was started."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def _pixels(width: int = 64, height: int = 64) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 3, y * 3, (x * y) % 200], axis=-1).astype(np.uint8)


def _saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(_pixels()).convert(mode).save(out, kind, **options)
    return out.getvalue()


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    return exif.tobytes()


def _video(container: str, codec: str, pixels: str = "yuv420p", sound: str | None = None) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v"
        with av.open(str(path), "w", format=container, container_options={"fflags": "+bitexact"}) as output:
            stream = output.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
            audio = output.add_stream(sound, rate=48_000, layout="mono") if sound else None
            for number in range(5):
                frame = av.VideoFrame.from_ndarray(np.roll(_pixels(64, 48), number, 1), "rgb24").reformat(format=pixels)
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(stream.encode(frame))
                if audio is not None:
                    block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                    block.sample_rate, block.pts = 48_000, 1024 * number
                    output.mux(audio.encode(block))
            output.mux(stream.encode(None))
            if audio is not None:
                output.mux(audio.encode(None))
        return path.read_bytes()


PICTURES: dict[str, Callable[[], list[bytes]]] = {
    "jpeg": lambda: [_saved("JPEG", exif=_exif()), _saved("JPEG", progressive=True), _saved("JPEG", "CMYK")],
    "png": lambda: [_saved("PNG", exif=_exif()), _saved("PNG", "P"), _saved("PNG", "I;16"), _saved("PNG", "1")],
    "webp": lambda: [_saved("WEBP", exif=_exif()), _saved("WEBP", lossless=True), _saved("WEBP", "RGBA")],
    "tiff": lambda: [
        _saved("TIFF", tiffinfo={274: 6}),
        _saved("TIFF", compression="tiff_lzw"),
        _saved("TIFF", compression="tiff_adobe_deflate"),
        _saved("TIFF", compression="jpeg"),
        _saved("TIFF", "1", compression="group4"),
        _saved("TIFF", "I;16"),
    ],
    "bmp": lambda: [_saved("BMP"), _saved("BMP", "P"), _saved("BMP", "1")],
    "ppm": lambda: [_saved("PPM"), _saved("PPM", "L"), _saved("PPM", "1")],
    "jpeg2000": lambda: [_saved("JPEG2000"), _saved("JPEG2000", "L")],
    "avif": lambda: [_saved("AVIF", exif=_exif()), _saved("AVIF", quality=30)],
    "heic": lambda: [heic(_pixels(), 6), heic(_pixels(), 2, brand=b"mif1")],
}
VIDEOS: dict[str, Callable[[], list[bytes]]] = {
    "mp4": lambda: [_video("mp4", "libx264", sound="aac"), _video("mp4", "mpeg4")],
    "mkv": lambda: [_video("matroska", "libx264", sound="aac"), _video("webm", "libvpx")],
    "avi": lambda: [_video("avi", "mjpeg", "yuvj420p"), _video("avi", "mpeg4")],
    "ts": lambda: [_video("mpegts", "libx264", sound="aac"), _video("mpegts", "mpeg2video")],
    "flv": lambda: [_video("flv", "flv1", sound="aac")],
    "gif": lambda: [_video("gif", "gif", "rgb8")],
}


def damaged(data: bytes, noise: random.Random) -> bytes:
    """`data` with bits flipped, fields overwritten, or parts cut out, doubled, swapped or cut off."""
    out = bytearray(data)
    for _ in range(noise.choice((1, 1, 1, 2, 3, 8))):
        way = noise.random()
        # Headers decide most: half of the damage goes to the first 600 bytes.
        at = noise.randrange(min(len(out), 600) if noise.random() < 0.5 else len(out))
        if way < 0.4:
            out[at] ^= 1 << noise.randrange(8)
        elif way < 0.7:
            kind = noise.choice("BHI")
            value = noise.choice(_VALUES) & (1 << 8 * struct.calcsize(kind)) - 1
            packed = struct.pack(noise.choice("<>") + kind, value)
            out[at : at + len(packed)] = packed
        elif way < 0.8:
            del out[at : at + noise.randrange(1, 40)]
        elif way < 0.9:
            out[at:at] = out[max(0, at - noise.randrange(1, 80)) : at]
        elif way < 0.95:
            other, length = noise.randrange(len(out)), noise.randrange(1, 40)
            out[at : at + length], out[other : other + length] = out[other : other + length], out[at : at + length]
        else:
            del out[at:]
        if len(out) < 16:
            break
    if out[:4] == b"\x89PNG" and noise.random() < 0.7:
        _mend_checksums(out)
    return bytes(out)


def _mend_checksums(png: bytearray) -> None:
    """Let damage through to what lies behind the checksums."""
    at = 8
    while at + 12 <= len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4])
        if end > len(png):
            return
        png[end - 4 : end] = struct.pack(">I", zlib.crc32(bytes(png[at + 4 : end - 4])))
        at = end


def _read(path: Path, reader: str, number: int) -> None:
    if reader in PICTURES:
        (read_picture, picture_size, read_mask, read_color_mask)[number % 6 % 4](path)
        return
    is_output(path)
    with VideoReader(path) as opened:
        for frame in opened:
            if frame.index == 7:
                break
        _ = opened.warnings


def main(reader: str, seed: int, count: int, seconds: float) -> dict[str, object]:
    """Try `count` inputs, or as many as `seconds` of the processor's time allow."""
    noise = random.Random(f"{reader} {seed}")
    originals = (PICTURES | VIDEOS)[reader]()
    accepted = refused = 0
    failures: list[str] = []
    begin = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input"
        for number in range(count):
            if time.process_time() - begin > seconds:
                break
            path.write_bytes(damaged(noise.choice(originals), noise))
            started = time.process_time()
            try:
                _read(path, reader, number)
                accepted += 1
            except InputError as error:
                refused += 1
                if "\n" in str(error):
                    failures.append(f"{number}: several lines: {error}")
            except BaseException as error:
                failures.append(f"{number}: {type(error).__name__}: {error}")
                if keep := os.environ.get("FUZZ_KEEP"):
                    (Path(keep) / f"{reader}-{seed}-{number}").write_bytes(path.read_bytes())
            if time.process_time() - started > 10:
                failures.append(f"{number}: took {time.process_time() - started:.0f} s")
    peak = 0
    if os.name != "nt":
        peak = peak_megabytes()
    tried = accepted + refused + len(failures)
    return {"tried": tried, "accepted": accepted, "refused": refused, "failures": failures, "peak_mb": peak}


if __name__ == "__main__":
    if os.name != "nt":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    silence_libraries()
    readers = sys.argv[1].split(",")
    seed, count, seconds = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) / len(readers)
    print(json.dumps({name: main(name, seed, count, seconds) for name in readers}))
