"""A HEIC file around a picture coded by x265: no decode-only library writes one (ISO/IEC 23008-12)."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np

# EXIF orientation: (quarter turns counter-clockwise of `irot`, axis of `imir` or None); `irot` is applied first here.
_TRANSFORMS = {
    1: (0, None),
    2: (0, 1),
    3: (2, None),
    4: (0, 0),
    5: (1, 0),
    6: (3, None),
    7: (3, 0),
    8: (1, None),
}


def _box(kind: bytes, *parts: bytes, full: int | None = None) -> bytes:
    body = b"".join(parts)
    if full is not None:
        body = struct.pack(">I", full) + body
    return struct.pack(">I", len(body) + 8) + kind + body


def heic(rgb: np.ndarray, orientation: int = 1, brand: bytes = b"heic") -> bytes:
    """A HEIC file whose decoder has to turn and mirror the stored pixels as EXIF's `orientation` would.

    Args:
        rgb: uint8 (H, W, 3), sides even and at least 64.
        orientation: 1 to 8.
        brand: The file's major brand.
    """
    height, width = rgb.shape[:2]
    encoder = av.CodecContext.create("libx265", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuv420p", Fraction(1, 25)
    encoder.options = {"x265-params": "crf=4:log-level=none:keyint=1", "preset": "ultrafast"}
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
    packets = [bytes(p) for p in [*encoder.encode(frame), *encoder.encode(None)]]
    units = [unit for unit in packets[0].replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]
    kind = {unit: unit[0] >> 1 & 0x3F for unit in units}
    sets = [unit for unit in units if kind[unit] in (32, 33, 34)]
    coded = b"".join(struct.pack(">I", len(unit)) + unit for unit in units if kind[unit] < 32)
    profile = next(unit for unit in sets if kind[unit] == 33).replace(b"\0\0\3", b"\0\0")[3:15]
    arrays = b"".join(struct.pack(">BHH", 0x80 | kind[unit], 1, len(unit)) + unit for unit in sets)
    hvcc = _box(
        b"hvcC",
        b"\1" + profile + struct.pack(">HBBBBHBB", 0xF000, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0x0F, len(sets)) + arrays,
    )
    turns, axis = _TRANSFORMS[orientation]
    properties = [hvcc, _box(b"ispe", struct.pack(">II", width, height), full=0)]
    if turns:
        properties.append(_box(b"irot", bytes([turns])))
    if axis is not None:
        properties.append(_box(b"imir", bytes([axis])))
    used = bytes([index + 1 | (0x80 if index != 1 else 0) for index in range(len(properties))])
    ipma = _box(b"ipma", struct.pack(">IHB", 1, 1, len(properties)) + used, full=0)
    head = _box(b"ftyp", brand + b"\0\0\0\0mif1heic")

    def meta(offset: int) -> bytes:
        location = struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, offset, len(coded))
        entry = _box(b"infe", struct.pack(">HH", 1, 0) + b"hvc1\0", full=2 << 24)
        return _box(
            b"meta",
            _box(b"hdlr", b"\0\0\0\0pict" + b"\0" * 13, full=0),
            _box(b"pitm", struct.pack(">H", 1), full=0),
            _box(b"iloc", location, full=0),
            _box(b"iinf", struct.pack(">H", 1) + entry, full=0),
            _box(b"iprp", _box(b"ipco", *properties), ipma),
            full=0,
        )

    offset = len(head) + len(meta(0)) + 8
    return head + meta(offset) + _box(b"mdat", coded)
