"""Which decoder refuses most of what is damaged: `python -m pytest -m slow -s tests/media/test_damage.py` prints it."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from lanecli.errors import InputError
from lanecli.media import read_picture


def road() -> Image.Image:
    y, x = np.mgrid[:90, :160]
    noise = np.random.default_rng(0).integers(0, 30, (90, 160, 3))
    return Image.fromarray((np.stack([x, 2 * y, (x + y) // 2], axis=-1) + noise).astype(np.uint8))


KINDS = {
    "JPEG": {"quality": 92},
    "JPEG progressive": {"quality": 92, "progressive": True},
    "JPEG restarts": {"quality": 92, "restart_marker_blocks": 4},
    "PNG": {},
    "WEBP": {"quality": 90},
    "TIFF": {},
    "TIFF lzw": {"compression": "tiff_lzw"},
    "TIFF zip": {"compression": "tiff_adobe_deflate"},
    "BMP": {},
    "PPM": {},
    "JPEG2000": {},
}


def by_opencv(data: bytes, _path: object) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        return None


def by_pillow(data: bytes, _path: object) -> np.ndarray | None:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture.convert("RGB"))
    except Exception:
        return None


def by_us(data: bytes, path) -> np.ndarray | None:
    path.write_bytes(data)
    try:
        return read_picture(path)
    except InputError:
        return None


def damages(data: bytes, count: int) -> list[bytes]:
    """Cut, cut with an end marker put behind, a hole, a flipped bit, by turns; the first 15 % stay whole."""
    noise, found = random.Random(1), []
    for number in range(count):
        at, out = noise.randrange(len(data) * 15 // 100, len(data) - 30), bytearray(data)
        if number % 4 == 0:
            del out[at:]
        elif number % 4 == 1:
            out = out[:at] + data[-2:]
        elif number % 4 == 2:
            del out[at : at + noise.randrange(1, 25)]
        else:
            out[at] ^= 1 << noise.randrange(8)
        found.append(bytes(out))
    return found


def wrong(decode: Callable, inputs: list[bytes], good: np.ndarray, path) -> int:
    """How many damaged pictures come with other pixels, and no word."""
    count = 0
    for data in inputs:
        got = decode(data, path)
        if got is not None and (got.shape != good.shape or np.abs(got.astype(int) - good).mean() > 0.5):
            count += 1
    return count


@pytest.mark.parametrize("count", [24, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_chosen_decoder_gives_wrong_pixels_no_more_often_than_the_others(tmp_path, kind, count, capfd):
    out = io.BytesIO()
    road().save(out, kind.split()[0], **KINDS[kind])
    inputs, path = damages(out.getvalue(), count), tmp_path / "picture"
    good = by_us(out.getvalue(), path)
    found = {name: wrong(decode, inputs, good, path) for name, decode in (("OpenCV", by_opencv), ("Pillow", by_pillow))}
    ours = wrong(by_us, inputs, good, path)
    capfd.readouterr()
    print(f"{kind}: of {count} damaged ones wrong pixels from {found}, lanecli {ours}")
    assert ours <= min(found.values())
