"""One meaning of a picture: upright, whole, 8-bit RGB, whatever kind of file it comes in."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from media.heif import heic
from PIL import Image, PngImagePlugin

from lanecli.errors import InputError
from lanecli.media import picture_size, read_color_mask, read_mask, read_picture, write_picture

CASES = Path(__file__).parents[2] / ".." / "shared" / "cases" / "media"


def blocks() -> np.ndarray:
    """Four corners that are told apart, wider than high."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48], picture[:32, 48:], picture[32:, :48] = (220, 20, 20), (20, 220, 20), (20, 20, 220)
    return picture


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """By the definitions of the eight values (CIPA DC-008, 4.6.5): where row 0 and column 0 are seen."""
    return {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels, 1),
    }[orientation]


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def saved(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(blocks()).save(out, kind, **options)
    return out.getvalue()


def xmp_of(orientation: int) -> str:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
        "</rdf:RDF></x:xmpmeta>"
    )


def png_with_raw_profile(orientation: int) -> bytes:
    """As ImageMagick writes it: hexadecimal EXIF in a compressed text."""
    exif = exif_of(orientation)
    lines = "\n".join(exif.hex()[at : at + 72] for at in range(0, 2 * len(exif), 72))
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Raw profile type exif", f"\nexif\n{len(exif):8}\n{lines}\n", zip=True)
    return saved("PNG", pnginfo=texts)


def png_with_xmp(orientation: int) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", xmp_of(orientation))
    return saved("PNG", pnginfo=texts)


def png_with_late_exif(orientation: int) -> bytes:
    """eXIf behind the pixels, as the specification allows."""
    data = saved("PNG")
    body = b"eXIf" + exif_of(orientation).removeprefix(b"Exif\0\0")
    return data[:-12] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + data[-12:]


def webp_with_plain_exif(orientation: int) -> bytes:
    """Some writers put `Exif\\0\\0` before the TIFF header in the chunk, some do not; Pillow writes it."""
    data = saved("WEBP", lossless=True, exif=exif_of(orientation))
    at = data.index(b"EXIF") + 4
    length = int.from_bytes(data[at : at + 4], "little")
    chunk = data[at + 4 : at + 4 + length]
    chunk = chunk.removeprefix(b"Exif\0\0") if chunk.startswith(b"Exif\0\0") else b"Exif\0\0" + chunk
    out = data[:at] + struct.pack("<I", len(chunk)) + chunk + b"\0" * (len(chunk) % 2)
    return out[:4] + struct.pack("<I", len(out) - 8) + out[8:]


TURNED: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "jpeg": ("a.jpg", lambda o: saved("JPEG", quality=95, exif=exif_of(o))),
    "jfif": ("a.jfif", lambda o: saved("JPEG", quality=95, exif=exif_of(o))),
    "jpeg_xmp": ("a.jpg", lambda o: saved("JPEG", quality=95, xmp=xmp_of(o).encode())),
    "png_exif": ("a.png", lambda o: saved("PNG", exif=exif_of(o))),
    "png_late_exif": ("a.png", png_with_late_exif),
    "png_raw_profile": ("a.png", png_with_raw_profile),
    "png_xmp": ("a.png", png_with_xmp),
    "webp": ("a.webp", lambda o: saved("WEBP", lossless=True, exif=exif_of(o))),
    "webp_other_prefix": ("a.webp", webp_with_plain_exif),
    "tiff": ("a.tif", lambda o: saved("TIFF", tiffinfo={274: o})),
    "tiff_lzw": ("a.tiff", lambda o: saved("TIFF", compression="tiff_lzw", tiffinfo={274: o})),
    "avif": ("a.avif", lambda o: saved("AVIF", quality=95, exif=exif_of(o))),
    "heic": ("a.heic", lambda o: heic(blocks(), o)),
    "heif": ("a.heif", lambda o: heic(blocks(), o, brand=b"mif1")),
}


@pytest.mark.parametrize("kind", TURNED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pictures_of_every_kind_come_upright(tmp_path, kind, orientation):
    name, make = TURNED[kind]
    if kind in ("heic", "heif"):
        pytest.importorskip("pi_heif", reason="needs the extra 'heif'")
    path = tmp_path / name
    path.write_bytes(make(orientation))
    expected = upright(blocks(), orientation)
    got = read_picture(path)
    assert got.dtype == np.uint8
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).mean() < 6
    assert picture_size(path) == expected.shape[1::-1]


def test_a_jpeg_that_is_far_larger_is_reduced_the_right_way_round(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.zeros((720, 1280, 3), np.uint8)).save(path, exif=exif_of(6))
    assert read_picture(path, at_least=(360, 640)).shape == (640, 360, 3)
    assert read_picture(path, at_least=(640, 360)).shape == (1280, 720, 3)


def test_mix_1x1_pictures_of_one_pixel_are_pictures(tmp_path):
    for name in ("a.jpg", "a.png", "a.bmp", "a.webp", "a.tif", "a.ppm"):
        Image.fromarray(np.full((1, 1, 3), 200, np.uint8)).save(tmp_path / name)
        assert read_picture(tmp_path / name).shape == (1, 1, 3)
        assert abs(int(read_picture(tmp_path / name)[0, 0, 0]) - 200) <= 3


# --- deep and odd samples ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("colour", [True, False])
def test_p12in16_few_bits_in_16_are_scaled_by_their_range(tmp_path, bits, suffix, colour):
    shape = (20, 30, 3) if colour else (20, 30)
    values = np.random.default_rng(bits).integers(0, 1 << bits, shape, np.uint16)
    done, data = cv2.imencode(suffix, values)
    assert done
    (tmp_path / f"deep{suffix}").write_bytes(data.tobytes())
    got = read_picture(tmp_path / f"deep{suffix}").astype(int)
    expected = values[..., ::-1] if colour else np.repeat(values[..., None], 3, axis=-1)
    assert np.abs(got - (expected >> (bits - 8))).max() <= 1


def test_p12in16_what_the_file_says_beats_its_range(tmp_path):
    """A dark picture of a 12-bit camera that says so stays dark."""
    values = np.random.default_rng(0).integers(0, 500, (20, 30), np.uint16)
    Image.fromarray(values).save(tmp_path / "dark.tif", tiffinfo={281: 4095})
    assert read_picture(tmp_path / "dark.tif").max() == values.max() >> 4


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
def test_p12in16_of_the_shared_cases(tmp_path):
    got = read_picture(CASES / "p12in16.tiff")
    assert got.mean() > 40


def tiff(
    bits: int, samples: bytes, size: tuple[int, int], *, tags: dict[int, tuple[str, tuple]] | None = None
) -> bytes:
    """A TIFF file of one uncompressed strip, little endian (TIFF 6.0)."""
    entries = {
        256: ("H", (size[0],)),
        257: ("H", (size[1],)),
        258: ("H", (bits,)),
        259: ("H", (1,)),
        262: ("H", (1,)),
        273: ("I", (0,)),
        277: ("H", (1,)),
        278: ("H", (size[1],)),
        279: ("I", (len(samples),)),
        **(tags or {}),
    }
    start = 8 + 2 + 12 * len(entries) + 4
    extra, directory = b"", b""
    total = start + sum(
        struct.calcsize(f"<{len(v)}{t}") for t, v in entries.values() if len(v) * {"H": 2, "I": 4}[t] > 4
    )
    for tag, (kind, values) in sorted(entries.items()):
        values = (total,) if tag == 273 else values
        packed = struct.pack(f"<{len(values)}{kind}", *values)
        if len(packed) > 4:
            packed, extra = struct.pack("<I", start + len(extra)), extra + packed
        directory += struct.pack("<HHI", tag, {"H": 3, "I": 4}[kind], len(values)) + packed.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + b"\0\0\0\0" + extra + samples


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_of_few_bits_in_a_tiff_is_read(tmp_path, bits):
    values = np.arange(16).reshape(2, 8) % 2**bits
    packed = np.packbits(((values[..., None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8).reshape(2, -1), axis=1)
    (tmp_path / "few.tif").write_bytes(tiff(bits, packed.tobytes(), (8, 2)))
    expected = values * (255 // (2**bits - 1))
    np.testing.assert_array_equal(read_picture(tmp_path / "few.tif")[..., 1], expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_premultiplied_alpha_is_taken_out(tmp_path, bits):
    """Associated alpha (ExtraSamples 1): what is stored is colour times alpha."""
    colour, alpha = np.array([200, 100, 40]), np.array([255, 128, 64, 200])
    stored = np.round(colour[None] * alpha[:, None] / 255)
    samples = np.concatenate([stored, alpha[:, None]], axis=1)
    samples = (samples * 257).astype("<u2") if bits == 16 else samples.astype(np.uint8)
    tags = {262: ("H", (2,)), 277: ("H", (4,)), 258: ("H", (bits,) * 4), 338: ("H", (1,))}
    (tmp_path / "alpha.tif").write_bytes(tiff(bits, samples.tobytes(), (4, 1), tags=tags))
    assert np.abs(read_picture(tmp_path / "alpha.tif")[0].astype(int) - colour).max() <= 4


@pytest.mark.parametrize(
    ("mode", "words"), [("F", "floating-point pixels are not supported"), ("I", "32-bit pixels are not supported")]
)
def test_healthy_kinds_that_are_not_supported_are_not_called_damaged(tmp_path, mode, words):
    Image.fromarray(np.ones((4, 6), {"F": np.float32, "I": np.int32}[mode])).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=words):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
@pytest.mark.parametrize("kind", ["TIFF", "PNG", "BMP", "JPEG", "WEBP", "JPEG2000", "AVIF", "PPM"])
def test_every_mode_pillow_writes_is_read_as_pillow_reads_it(tmp_path, mode, kind):
    deep = Image.fromarray(blocks()[..., 0].astype(np.uint16) * 257)
    picture = deep if mode == "I;16" else Image.fromarray(blocks()).convert(mode)
    path = tmp_path / "picture"
    try:
        picture.save(path, kind)
    except (OSError, ValueError, KeyError, SystemError):
        pytest.skip("Pillow does not write this")
    with Image.open(path) as opened:
        expected = np.asarray(opened)
        if opened.mode.startswith("I"):
            expected = np.repeat((expected >> 8).astype(np.uint8)[..., None], 3, axis=-1)
        else:
            expected = np.asarray(opened.convert("RGB"))
    got = read_picture(path)
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).max() <= (4 if kind in ("JPEG", "WEBP") else 1)


def test_bmp_with_runs_and_jumps(tmp_path):
    """RLE8 with absolute runs and a delta (Microsoft's BMP format); skipped pixels have colour 0."""
    palette = b"".join(bytes([index, index, index, 0]) for index in range(256))
    rows = b"\4\x50\0\0" + b"\2\x20\0\2\1\1" + b"\1\x90\0\0" + b"\0\3\1\2\3\0\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 8, 1, len(rows), 0, 0, 256, 0)
    offset = 14 + 40 + 1024
    data = b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + header + palette + rows
    (tmp_path / "rle.bmp").write_bytes(data)
    try:
        got = read_picture(tmp_path / "rle.bmp")[..., 0]
    except InputError:
        return
    np.testing.assert_array_equal(got[3], [0x50] * 4)
    np.testing.assert_array_equal(got[2, :2], [0x20] * 2)


def test_bmp_with_a_header_of_52_bytes(tmp_path):
    """Three masks behind the usual header."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 2, 3), np.uint8)
    rows = b"".join(b"".join(bytes([*p[::-1], 0]) for p in row) for row in pixels[::-1])
    header = struct.pack("<IiiHHIIiiII", 52, 2, 2, 1, 32, 3, len(rows), 0, 0, 0, 0)
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    data = b"BM" + struct.pack("<IHHI", 14 + 52 + len(rows), 0, 0, 66) + header + masks + rows
    (tmp_path / "a.bmp").write_bytes(data)
    try:
        got = read_picture(tmp_path / "a.bmp")
    except InputError:
        return
    np.testing.assert_array_equal(got, pixels)


# --- what is no picture -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "eps.jpg"),
        (b"\xc5\xd0\xd3\xc6" + b"\0" * 60, "dos_eps.png"),
        (b"GIF89a" + b"\0" * 60, "gif.png"),
        (b"8BPS\0\1" + b"\0" * 60, "psd.png"),
        (b"%PDF-1.4\n", "pdf.jpg"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg.png"),
        (b"\0\0\1\0\1\0" + b"\0" * 60, "ico.png"),
        (b"DDS " + b"\0" * 130, "dds.png"),
        (b"#define a_width 8\n#define a_height 1\nstatic char a_bits[] = {0};", "xbm.png"),
    ],
)
@pytest.mark.parametrize("read", [read_picture, read_mask, read_color_mask, picture_size])
def test_eps_and_other_formats_are_not_even_opened(tmp_path, monkeypatch, head, name, read):
    """Pillow would start Ghostscript for EPS."""
    path = tmp_path / name
    path.write_bytes(head)
    monkeypatch.setattr(subprocess, "Popen", lambda *_: pytest.fail("a program was started"))
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow was asked"))
    with pytest.raises(InputError, match="is not a picture that can be read"):
        read(path)


def test_heic_without_its_package_is_one_line_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    path = tmp_path / "a.heic"
    path.write_bytes(heic(blocks()))
    with pytest.raises(InputError, match=r"pip install 'lanecli\[heif\]'"):
        read_picture(path)


@pytest.mark.parametrize("read", [read_picture, read_mask, read_color_mask, picture_size])
def test_pipes_and_devices_are_not_read(tmp_path, read):
    import os

    if os.name == "nt":
        pytest.skip("Windows has neither")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.jpg"):
        with pytest.raises(InputError, match="is not a file but a device, pipe or socket"):
            read(tmp_path / name)


def test_files_larger_than_any_picture_are_not_read(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(InputError, match="more than any picture"):
        read_picture(path)


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_jpeg_whose_scan_is_damaged_but_ends_in_eoi_is_refused(tmp_path, options, share):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    path = tmp_path / "cut.jpg"
    Image.fromarray(noise).save(path, quality=90, **options)
    data = path.read_bytes()
    start = data.index(b"\xff\xda")
    path.write_bytes(data[: start + int((len(data) - start) * share)] + b"\xff\xd9")
    with pytest.raises(InputError, match="damaged") as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("padding", [b"\0" * 700, b"\xff" * 64, b"\0" * 3])
def test_what_cameras_fill_a_scan_up_with_is_no_damage(tmp_path, padding):
    path = tmp_path / "padded.jpg"
    write_picture(path, blocks())
    expected, data = read_picture(path), path.read_bytes()
    path.write_bytes(data[:-2] + padding + data[-2:])
    np.testing.assert_array_equal(read_picture(path), expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda data: data[:33] + b"\0\0\0\5iCCPabcde\0\0\0\0" + data[33:],  # a colour profile with a wrong checksum
        lambda data: data[:33] + b"\0\0\0\1gAMA\0\0\0\0\0" + data[33:],
        lambda data: data[:33] + b"\0\0\0\2tEXt\0\0\0\0\0\0" + data[33:],
    ],
)
def test_damaged_side_matters_of_a_png_are_nobodys_business(tmp_path, capfd, make):
    path = tmp_path / "a.png"
    write_picture(path, blocks())
    expected = read_picture(path)
    path.write_bytes(make(path.read_bytes()))
    np.testing.assert_array_equal(read_picture(path), expected)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("packing", [6, 32809, 34661])
def test_old_style_jpeg_and_other_compressions_are_called_not_supported(tmp_path, packing):
    (tmp_path / "a.tif").write_bytes(tiff(8, bytes(64), (8, 8), tags={259: ("H", (packing,))}))
    with pytest.raises(InputError, match="not supported"):
        read_picture(tmp_path / "a.tif")
