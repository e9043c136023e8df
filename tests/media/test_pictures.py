from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lanecli.errors import InputError, LaneError
from lanecli.media import (
    MAX_PIXELS,
    picture_size,
    read_color_mask,
    read_mask,
    read_picture,
    write_mask,
    write_picture,
)


def picture(width: int = 90, height: int = 60) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=-1).astype(np.uint8)


def refused(call, path: Path, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        call(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp", "a.ppm", "a.jpg", "a.JPEG"])
def test_reads_rgb_as_pillow_does(tmp_path, name):
    path = tmp_path / name
    options = {"lossless": True} if name.endswith("webp") else {}
    Image.fromarray(picture()).save(path, **options)
    got = read_picture(path)
    assert got.dtype == np.uint8
    expected = np.asarray(Image.open(path).convert("RGB"))
    # JPEG decoders differ by a level or two.
    assert np.abs(got.astype(int) - expected).max() <= (3 if name.lower().endswith(("jpg", "jpeg")) else 0)


def test_grey_alpha_palette_and_16_bit_become_rgb(tmp_path):
    grey = picture()[..., 0]
    cases = {
        "grey.png": (Image.fromarray(grey), np.repeat(grey[..., None], 3, axis=-1)),
        "rgba.png": (Image.fromarray(np.dstack([picture(), grey])), picture()),
        "grey.jpg": (Image.fromarray(np.full((20, 30), 77, np.uint8)), np.full((20, 30, 3), 77)),
        "one.png": (Image.fromarray(grey > 90), np.repeat(255 * (grey > 90)[..., None], 3, axis=-1)),
    }
    for name, (image, expected) in cases.items():
        image.save(tmp_path / name)
        np.testing.assert_array_equal(read_picture(tmp_path / name), expected, err_msg=name)
    palette = Image.fromarray((grey // 100).astype(np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 200])
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_pictures_keep_the_high_byte(tmp_path, suffix):
    values = np.random.default_rng(0).integers(0, 65_536, (20, 30, 3), np.uint16)
    done, data = cv2.imencode(suffix, values)
    assert done
    (tmp_path / f"deep{suffix}").write_bytes(data.tobytes())
    got = read_picture(tmp_path / f"deep{suffix}").astype(int)
    assert np.abs(got - (values >> 8)[..., ::-1]).max() <= 1
    grey = np.random.default_rng(1).integers(0, 65_536, (20, 30), np.uint16)
    Image.fromarray(grey).save(tmp_path / f"grey{suffix}")
    assert np.abs(read_picture(tmp_path / f"grey{suffix}")[..., 0].astype(int) - (grey >> 8)).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation):
    path = tmp_path / "turned.jpg"
    blocks = np.zeros((64, 96, 3), np.uint8)
    blocks[:32, :48], blocks[:32, 48:], blocks[32:, :48] = (220, 20, 20), (20, 220, 20), (20, 20, 220)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(blocks).save(path, exif=exif, quality=95)
    # The definitions of the eight values (CIPA DC-008, 4.6.5): where row 0 and column 0 are seen.
    upright = {
        1: blocks,
        2: blocks[:, ::-1],
        3: blocks[::-1, ::-1],
        4: blocks[::-1],
        5: blocks.transpose(1, 0, 2),
        6: np.rot90(blocks, -1),
        7: np.rot90(blocks, -1)[:, ::-1][::-1, ::-1].transpose(0, 1, 2),
        8: np.rot90(blocks, 1),
    }
    upright[7] = blocks[::-1, ::-1].transpose(1, 0, 2)
    got = read_picture(path)
    assert got.shape == upright[orientation].shape
    assert np.abs(got.astype(int) - upright[orientation]).mean() < 6
    half = read_picture(path, at_least=(got.shape[1] // 2, got.shape[0] // 2))
    assert half.shape[1] >= got.shape[1] // 2
    assert half.shape[0] >= got.shape[0] // 2


@pytest.mark.parametrize(
    ("at_least", "shape"),
    [
        ((640, 360), (360, 640)),
        ((320, 180), (180, 320)),
        ((160, 90), (90, 160)),
        ((10, 10), (90, 160)),
        ((641, 10), (720, 1280)),
        ((512, 256), (360, 640)),
        ((2000, 2000), (720, 1280)),
    ],
)
def test_far_larger_jpegs_are_decoded_small(tmp_path, at_least, shape):
    path = tmp_path / "large.jpg"
    write_picture(path, picture(1280, 720))
    got = read_picture(path, at_least=at_least)
    assert got.shape[:2] == shape
    full = read_picture(path)
    small = cv2.resize(full, shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(got.astype(int) - small).mean() < 3


# --- half a picture is no picture -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "cut.bmp", "cut.tif", "cut.webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.995])
def test_truncated_pictures_are_refused(tmp_path, name, share):
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(read_picture, path, "cut short|damaged|not a picture")


def test_jpeg_with_a_thumbnail_is_still_found_cut_short(tmp_path):
    """The thumbnail in the header has an end marker of its own."""
    path = tmp_path / "thumb.jpg"
    write_picture(tmp_path / "small.jpg", picture(16, 16))
    thumbnail = (tmp_path / "small.jpg").read_bytes()
    write_picture(path, np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    data = path.read_bytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path.write_bytes(data[:2] + segment + data[2:])
    assert read_picture(path).shape == (90, 120, 3)
    path.write_bytes(path.read_bytes()[:-3000])
    refused(read_picture, path, "cut short")


def test_data_after_the_end_is_allowed(tmp_path):
    for name in ("a.jpg", "a.png"):
        path = tmp_path / name
        write_picture(path, picture())
        expected = read_picture(path)
        path.write_bytes(path.read_bytes() + b"\0" * 5000)
        np.testing.assert_array_equal(read_picture(path), expected)


def test_png_with_a_damaged_middle_is_refused(tmp_path):
    path = tmp_path / "bad.png"
    write_picture(path, np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    refused(read_picture, path, "damaged")
    refused(read_color_mask, path, "damaged")


@pytest.mark.parametrize("call", [read_picture, read_mask, read_color_mask, picture_size])
def test_not_a_picture(tmp_path, call):
    text = tmp_path / "text.png"
    text.write_text("this is not a picture at all, only named like one")
    refused(call, text, "not a picture")
    empty = tmp_path / "empty.png"
    empty.touch()
    refused(call, empty, "zero bytes")
    refused(call, tmp_path / "none.png", "no such file")
    refused(call, tmp_path, "is a folder")


def png_of(width: int, height: int, bits: int = 8) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("call", [read_picture, read_mask, read_color_mask])
def test_decompression_bombs_are_refused_from_the_header(tmp_path, call):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(50_000, 50_000))
    refused(call, path, "50000x50000 pixels")
    assert MAX_PIXELS < 50_000**2
    tiff = tmp_path / "bomb.bmp"
    tiff.write_bytes(
        b"BM"
        + struct.pack("<IHHI", 100, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 40_000, 40_000, 1, 24, 0, 0, 0, 0, 0, 0)
    )
    refused(call, tiff, "pixels")
    path.write_bytes(png_of(0, 10))
    refused(call, path, "no pixels")


@given(
    data=st.binary(max_size=200),
    head=st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_any_bytes_give_a_picture_or_an_input_error(tmp_path, data, head):
    path = tmp_path / "any.bin"
    path.write_bytes(head + data)
    lines = []
    for call in (read_picture, read_mask, read_color_mask):
        try:
            assert call(path).dtype == np.uint8
        except InputError as error:
            lines.append(str(error))
    assert not any("\n" in line for line in lines)


def test_libraries_write_nothing_to_the_terminal_about_pictures(tmp_path, capfd):
    path = tmp_path / "bad.png"
    write_picture(path, np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    refused(read_picture, path, "damaged")
    assert capfd.readouterr() == ("", "")


# --- masks ------------------------------------------------------------------------------------------------------------


@given(
    mask=st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
        lambda size: st.binary(min_size=size[0] * size[1], max_size=size[0] * size[1]).map(
            lambda data: np.frombuffer(data, np.uint8).reshape(size)
        )
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_masks_round_trip_exactly(tmp_path, mask):
    path = tmp_path / "mask.png"
    write_mask(path, mask)
    np.testing.assert_array_equal(read_mask(path), mask)
    assert Image.open(path).mode == "L"


def test_palette_masks_are_read_as_indices(tmp_path):
    ids = np.array([[0, 1, 2], [3, 255, 15]], np.uint8)
    image = Image.fromarray(ids).convert("P")
    image.putpalette(bytes(range(256)) * 3)
    image = Image.frombytes("P", (3, 2), ids.tobytes())
    image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), ids)
    small = Image.frombytes("P", (3, 2), (ids % 4).tobytes())
    small.putpalette([0, 0, 0, 9, 9, 9, 80, 80, 80, 200, 0, 0])
    small.save(tmp_path / "small.png", bits=2)
    np.testing.assert_array_equal(read_mask(tmp_path / "small.png"), ids % 4)
    np.testing.assert_array_equal(read_color_mask(tmp_path / "mask.png")[1, 2], (15, 240, 7))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_masks_of_few_bits_are_read_as_they_are(tmp_path, bits):
    """Built by hand from the PNG specification: one row of values packed to `bits`, filter 0."""
    values = np.arange(8) % 2**bits
    packed = np.packbits(((values[:, None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8)).tobytes()
    data = png_of(8, 1, bits)
    body = zlib.compress(b"\0" + packed)
    old = zlib.compress(b"")
    old_chunk = struct.pack(">I", len(old)) + b"IDAT" + old + struct.pack(">I", zlib.crc32(b"IDAT" + old))
    new_chunk = struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    path = tmp_path / "mask.png"
    path.write_bytes(data.replace(old_chunk, new_chunk))
    np.testing.assert_array_equal(read_mask(path), values[None])


def test_16_bit_masks_are_taken_where_they_fit(tmp_path):
    ids = np.array([[0, 1], [200, 255]], np.uint16)
    Image.fromarray(ids).save(tmp_path / "fits.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "fits.png"), ids)
    Image.fromarray(ids + 1).save(tmp_path / "large.png")
    refused(read_mask, tmp_path / "large.png", "up to 256")


def test_colour_pictures_and_jpegs_are_no_masks(tmp_path):
    for name, image in {
        "rgb.png": Image.fromarray(picture()),
        "rgba.png": Image.fromarray(np.dstack([picture(), picture()[..., 0]])),
        "rgb.bmp": Image.fromarray(picture()),
    }.items():
        image.save(tmp_path / name)
        refused(read_mask, tmp_path / name, "colour picture")
    Image.fromarray(picture()[..., 0]).save(tmp_path / "grey.jpg")
    refused(read_mask, tmp_path / "grey.jpg", "JPEG")
    refused(read_color_mask, tmp_path / "grey.jpg", "JPEG")


def test_masks_in_other_formats(tmp_path):
    ids = np.arange(24, dtype=np.uint8).reshape(4, 6)
    for name in ("mask.bmp", "mask.tif"):
        Image.fromarray(ids).save(tmp_path / name)
        np.testing.assert_array_equal(read_mask(tmp_path / name), ids)


def test_colour_masks_are_exact(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    write_picture(tmp_path / "mask.png", colours)
    np.testing.assert_array_equal(read_color_mask(tmp_path / "mask.png"), colours)


# --- writing ----------------------------------------------------------------------------------------------------------


def test_field_25_non_ascii_picture_paths(tmp_path):
    folder = tmp_path / "Straße 車道" / "Kamera 5"
    write_picture(folder / "Bild ü.png", picture())
    np.testing.assert_array_equal(read_picture(folder / "Bild ü.png"), picture())
    write_mask(folder / "Maske ü.png", picture()[..., 0])
    np.testing.assert_array_equal(read_mask(folder / "Maske ü.png"), picture()[..., 0])
    assert sorted(os.listdir(folder)) == ["Bild ü.png", "Maske ü.png"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif"])
def test_written_pictures_are_read_by_pillow(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_picture(path, picture(), quality=95)
    got = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(got - picture()).mean() < (3 if suffix in (".jpg", ".webp") else 1e-9)


def test_quality_is_the_jpegs(tmp_path):
    for quality in (30, 95):
        write_picture(tmp_path / f"{quality}.jpg", picture(300, 200), quality=quality)
    assert (tmp_path / "30.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"not '\.xyz'"):
        write_picture(tmp_path / "a.xyz", picture())
    with pytest.raises(InputError, match="ids stay exact"):
        write_mask(tmp_path / "a.jpg", picture()[..., 0])
    with pytest.raises(LaneError, match="uint8"):
        write_mask(tmp_path / "a.png", picture())
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="folder"):
        write_picture(tmp_path / "file" / "a.png", picture())
    write_picture(tmp_path / "file.png", picture())
    with pytest.raises(InputError, match="--overwrite"):
        write_picture(tmp_path / "file.png", picture(), overwrite=False)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_picture(path, picture())
    before = path.read_bytes()

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(LaneError, match="No space left"):
        write_picture(path, picture(20, 20))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]
