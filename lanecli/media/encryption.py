"""Tells whether a video that gives no picture is encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lanecli.media.kinds import find_index

ENCRYPTED = "is encrypted and cannot be read without its key; decrypt it first"
_LARGEST_INDEX = 64 << 20
_BEGINNING = 4 << 20  # bytes within which Matroska describes its tracks
_PACKET = 188  # bytes, of a transport stream
_EBML = b"\x1aE\xdf\xa3"
# RFC 9559, section 5.1: the path of elements to the one that describes how a track is encrypted
_SEGMENT, _TRACKS, _TRACK, _ENCODINGS, _ENCODING, _ENCRYPTION = 0x18538067, 0x1654AE6B, 0xAE, 0x6D80, 0x6240, 0x5035
_PATH = (_SEGMENT, _TRACKS, _TRACK, _ENCODINGS, _ENCODING, _ENCRYPTION)


def is_encrypted(path: Path) -> bool:
    """Return whether an MP4 or Matroska file has a protected track, or a transport stream mostly scrambled packets."""
    with path.open("rb") as file:
        head = file.read(8)
        if head[4:] == b"ftyp":
            index = find_index(file)
            if index is None:
                return False
            file.seek(index[0])
            described = file.read(min(index[1] - index[0], _LARGEST_INDEX))
            return any(mark in described for mark in (b"encv", b"drmi"))  # ISO/IEC 14496-12, section 8.12
        file.seek(0)
        if head[:4] == _EBML:
            data = file.read(_BEGINNING)
            return _holds(data, 0, len(data), _PATH)
        return _is_scrambled(file.read(_PACKET * 2000))


def _holds(data: bytes, start: int, end: int, path: tuple[int, ...]) -> bool:
    """Return whether Matroska's `data[start:end]` has nested elements with the ids in `path`, outermost first."""
    if not path:
        return True
    return any(
        _holds(data, inner, after, path[1:]) for name, inner, after in _elements(data, start, end) if name == path[0]
    )


def _elements(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the id of each element and where its content starts and ends (RFC 8794, sections 4 to 6)."""
    while start < end and data[start]:
        name_length = 9 - data[start].bit_length()
        at = start + name_length
        if name_length > 4 or at >= end or not data[at]:
            return
        size_length = 9 - data[at].bit_length()
        limit = 1 << 7 * size_length
        size = int.from_bytes(data[at : at + size_length]) & limit - 1
        content = at + size_length
        start, name = end if size == limit - 1 else min(content + size, end), data[start:at]  # all ones: to the end
        yield int.from_bytes(name), min(content, end), start


def _is_scrambled(data: bytes) -> bool:
    """Return whether most packets of a transport stream are scrambled (ISO/IEC 13818-1, table 2-4)."""
    for at in range(2 * _PACKET):
        headers = data[at::_PACKET]
        if len(headers) > 4 and headers.count(0x47) == len(headers):
            controls = data[at + 3 :: _PACKET]
            return sum(control & 0xC0 != 0 for control in controls) * 2 > len(controls)
    return False
