"""H.264 whose pictures are coded as two fields, as AVCHD cameras do; no free encoder writes it, so this one does."""

from __future__ import annotations

import re


class _Bits:
    def __init__(self) -> None:
        self._text = ""

    def u(self, value: int, count: int) -> _Bits:
        self._text += format(value, f"0{count}b")
        return self

    def ue(self, *values: int) -> _Bits:
        """Exponential-Golomb codes (ITU-T H.264, section 9.1)."""
        for value in values:
            code = format(value + 1, "b")
            self._text += "0" * (len(code) - 1) + code
        return self

    def align(self) -> _Bits:
        self._text += "0" * (-len(self._text) % 8)
        return self

    def data(self, data: bytes) -> _Bits:
        self._text += "".join(format(byte, "08b") for byte in data)
        return self

    def unit(self, header: int) -> bytes:
        """A NAL unit with start code, trailing bits and emulation prevention (section 7.4.1)."""
        text = self._text + "1"
        text += "0" * (-len(text) % 8)
        payload = int(text, 2).to_bytes(len(text) // 8)
        return b"\0\0\0\1" + bytes([header]) + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", payload)


def field_coded(frames: int, blocks: tuple[int, int] = (4, 2)) -> bytes:
    """An Annex B stream of grey frames, each two fields of raw (I_PCM) macroblocks.

    Args:
        frames: How many.
        blocks: Macroblocks across, and down in each field: the frames are 16 x and 32 x as many pixels.
    """
    wide, high = blocks
    sps = _Bits().u(77, 8).u(0, 8).u(30, 8).ue(0, 0, 0, 4, 1).u(0, 1).ue(wide - 1, high - 1)
    sps.u(0, 1).u(0, 1).u(1, 1).u(0, 1).u(0, 1)  # fields allowed, no MBAFF, direct 8x8, no cropping, no VUI
    pps = _Bits().ue(0, 0).u(0, 2).ue(0, 0, 0).u(0, 3).ue(0, 0, 0).u(0, 3)
    stream = sps.unit(0x67) + pps.unit(0x68)
    for number in range(frames):
        for bottom in (0, 1):
            first = number == 0 and not bottom
            slice_ = _Bits().ue(0, 7, 0).u(number % 16, 4).u(1, 1).u(bottom, 1)
            if first:
                slice_.ue(0)
            slice_.u((2 * number + bottom) % 256, 8)
            slice_.u(0, 2 if first else 1).ue(0)
            for _ in range(wide * high):
                slice_.ue(25).align().data(bytes([100 + number % 100]) * 256 + bytes([128]) * 128)
            stream += slice_.unit(0x65 if first else 0x61)
    return stream
