"""A Matroska file element by element (RFC 9559), for what no muxer at hand writes."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import av

_CODECS = {"h264": "V_MPEG4/ISO/AVC", "vp8": "V_VP8", "mjpeg": "V_MJPEG"}


def element(name: int, *content: bytes | int, open_end: bool = False) -> bytes:
    """An element: its id, its size on eight bytes (or unknown, as a live stream's), and what is in it."""
    body = b"".join(part if isinstance(part, bytes) else part.to_bytes(8) for part in content)
    size = b"\x01" + (b"\xff" * 7 if open_end else len(body).to_bytes(7))
    return name.to_bytes((name.bit_length() + 7) // 8) + size + body


def encrypted(source: Path, path: Path, *, key_id: bytes = b"key", open_end: bool = False) -> Path:
    """The first stream of `source` in a Matroska file whose frames are scrambled, and said to be.

    Args:
        source: a video.
        path: of the file.
        key_id: of the key it was encrypted with; none where empty.
        open_end: the segment does not say how long it is.
    """
    blocks = []
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        for number, packet in enumerate(p for p in container.demux(stream) if p.size):
            data = bytes(packet)
            noise = hashlib.shake_256(b"%d" % number).digest(len(data))
            scrambled = bytes(a ^ b for a, b in zip(data, noise, strict=True))
            # the stream's number, its time, no flags; then that it is encrypted, and an initial vector
            blocks.append(element(0xA3, b"\x81", struct.pack(">hB", 40 * number, 0), b"\x01" + bytes(8), scrambled))
        context = stream.codec_context
        encryption = element(0x5035, element(0x47E1, 5), *([element(0x47E2, key_id)] if key_id else []))
        track = element(
            0xAE,
            *(element(0xD7, 1), element(0x73C5, 1), element(0x83, 1)),
            element(0x86, _CODECS[context.codec.canonical_name].encode()),
            element(0x63A2, bytes(context.extradata or b"")),
            element(0xE0, element(0xB0, context.width), element(0xBA, context.height)),
            element(0x6D80, element(0x6240, element(0x5031, 0), element(0x5032, 1), element(0x5033, 1), encryption)),
        )
    info = element(0x1549A966, element(0x2AD7B1, 1_000_000), element(0x4D80, b"test"), element(0x5741, b"test"))
    header = element(0x1A45DFA3, element(0x4282, b"matroska"), element(0x4287, 4), element(0x4285, 2))
    cluster = element(0x1F43B675, element(0xE7, 0), *blocks)
    path.write_bytes(header + element(0x18538067, info, element(0x1654AE6B, track), cluster, open_end=open_end))
    return path
