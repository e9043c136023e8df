"""What a file is, by its first bytes and its suffix: a picture, a video, or neither."""

from __future__ import annotations

import os
from typing import BinaryIO, Literal

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".jp2", ".avif", ".heic", ".heif"}
)
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".flv", ".wmv", ".asf"}
    | {".3gp", ".ogv", ".mjpeg", ".mjpg", ".h264", ".hevc", ".gif", ".vob", ".mxf", ".y4m", ".ivf", ".apng"}
)

_PICTURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    *((b"P%d" % number, "PPM") for number in range(1, 7)),
)
_VIDEOS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"OggS",
    b"0&\xb2u\x8ef\xcf\x11",  # ASF, WMV
    b"\0\0\x01\xba",  # MPEG program stream
    b"\0\0\x01\xb3",  # MPEG-1 and -2 video
    b"\0\0\0\x01",  # H.264, HEVC
    b"DKIF",
    b"YUV4MPEG2 ",
    b"GIF8",
    b"\x06\x0e+4\x02\x05\x01\x01",  # MXF
    b"nut/multimedia container\0",
)
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"mif1")
_AVIF = (b"avif",)


def kind_of(head: bytes) -> Literal["image", "video"] | None:
    """What a file that begins with `head` (64 bytes are enough but for transport streams, which need 400) is."""
    if picture_format(head) is not None:
        return "image"
    if head.startswith(_VIDEOS) or head[4:8] in _MP4_BOXES or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return "video"
    if any(len(head) > at + 188 and head[at] == head[at + step] == 0x47 for at, step in ((0, 188), (4, 192))):
        return "video"
    return None


def picture_format(head: bytes) -> str | None:
    """Pillow's name of the picture format that `head` begins, or HEIF; None for anything else."""
    for magic, name in _PICTURES:
        if head.startswith(magic) and (name != "PPM" or head[2:3].isspace()):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return heif_brand(head)


def heif_brand(head: bytes) -> str | None:
    """HEIF or AVIF for a still picture in an ISO base media file (ISO/IEC 23008-12), by its brands; else None."""
    if head[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(head[:4]), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))]
    if brands[0] in (*_AVIF, *_HEIC):
        return "AVIF" if any(brand in _AVIF for brand in brands) else "HEIF"
    return None


def find_index(file: BinaryIO) -> tuple[int, int] | None:
    """Where the index (`moov` box) of an MP4 file begins and ends (ISO/IEC 14496-12, section 4.2)."""
    size, at = file.seek(0, os.SEEK_END), 0
    for _ in range(1000):
        if at >= size:  # a box may claim more bytes than a file can be asked for
            break
        file.seek(at)
        header = file.read(16)
        if len(header) < 8:
            break
        length = int.from_bytes(header[:4])
        if length == 1:
            length = int.from_bytes(header[8:16])
        elif length == 0:
            length = size - at
        if length < 8:
            break
        if header[4:8] == b"moov":
            return at, min(at + length, size)
        at += length
    return None
