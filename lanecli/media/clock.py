"""Timestamps that always rise: one repair for clocks that jump, repeat or are missing, for picture and sound alike."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

_AHEAD = Fraction(10)  # seconds; FFmpeg's own tools take as much for a jump of the clock in a transport stream
_BACK = Fraction(1, 10)  # seconds, in formats whose clock may jump
_BACK_ELSEWHERE = Fraction(1, 2)  # seconds; less is jitter, which the clock soon makes up for
_WRAP = 2**33  # MPEG clocks have 33 bits


@dataclass(frozen=True, slots=True)
class Jump:
    """A time at which a clock jumped.

    Attributes:
        at: seconds of the repaired time.
        by: seconds that the clock jumped by; negative if it jumped back.
        offset: seconds to add to the clock's times from there on.
    """

    at: Fraction
    by: Fraction
    offset: Fraction


class Clock:
    """Turns the timestamps of one stream into times that always rise.

    - A frame whose timestamp is missing, or equal to the one before, follows the frame before by one frame interval.
    - A frame whose timestamp is a little too early follows by half an interval, until the clock has caught up.
    - If the clock jumps (back by more than jitter, or ahead by more than ten seconds in formats such as transport
      streams), the next frame follows by one interval, and all later ones are moved by the same time.

    Any other gap stays as it is: it is a variable frame rate, or frames are lost.

    Args:
        time_base: seconds per unit of the timestamps.
        interval: units from one frame to the next, if the file does not say how long a frame is shown.
        origin: the timestamp that becomes zero.
        may_jump: whether the format's clock may jump ahead without a gap in the recording.

    Attributes:
        jumps: the jumps of the clock, in order.
        last: the last time returned, in units; None at the beginning.
        expected: the time of the next frame if it follows by one interval, in units.

    Example:
        >>> clock = Clock(Fraction(1, 1000), interval=40, may_jump=True)
        >>> [clock.repair(pts) for pts in (0, 40, None, 120, 5, 45)]
        [0, 40, 80, 120, 160, 200]
    """

    def __init__(self, time_base: Fraction, interval: int, *, origin: int = 0, may_jump: bool = False) -> None:
        self.time_base = time_base
        self.jumps: list[Jump] = []
        self.last: int | None = None
        self.expected = 0
        self._interval = max(1, interval)
        self._offset = -origin
        self._may_jump = may_jump
        self._back = max(round((_BACK if may_jump else _BACK_ELSEWHERE) / time_base), 2 * self._interval)
        self._ahead = round(_AHEAD / time_base)
        self._raw: int | None = None
        self._catching_up = False
        self._moved = 0

    def jump_at(self, raw: int) -> int:
        """Return the units by which the clock jumps at timestamp `raw`: negative is back, zero is no jump."""
        time = raw + self._offset
        if self.last is None or raw == self._raw:
            return 0
        if time <= self.last and self.expected - time > self._back and not self._catching_up:
            return time - self.expected
        if self._may_jump and time - self.expected > self._ahead:
            return time - self.expected
        return 0

    def repair(self, raw: int | None, duration: int | None = None) -> int:
        """Return the time of the next frame, in units.

        Args:
            raw: its timestamp, or None if the file has none.
            duration: units it is shown for, or None if the file does not say.
        """
        if raw is not None and (by := self.jump_at(raw)):
            self._offset = self.expected - raw
            if self.time_base == Fraction(1, 90_000) and by > _WRAP // 2:
                by -= _WRAP  # a demuxer mistakes a jump back for an overflow of the 33 bits
            self.jumps.append(Jump(self.expected * self.time_base, by * self.time_base, self._offset * self.time_base))
        if raw is None or raw == self._raw:
            time = self.expected
            self._moved += 1
        else:
            time = raw + self._offset
            if self.last is not None and time <= self.last:
                time = self.last + max(1, self._interval // 2)
                self._moved += not self._catching_up
            else:
                self._catching_up = False
        self._raw, self.last = raw, time
        self.expected = time + (duration if duration is not None and 0 < duration < self._ahead else self._interval)
        return time

    def preview(self, raw: int) -> int:
        """Return the time of timestamp `raw`, in units, if nothing has to be repaired there."""
        return raw + self._offset

    def accept_gap(self, raw: int) -> None:
        """Treat timestamp `raw`, which is far ahead, as a gap in the recording and not as a jump."""
        self.expected = raw + self._offset

    def set_offset(self, offset: int) -> None:
        """Add `offset` units to all later timestamps, even if the first of them are then a little too early."""
        self._offset, self._raw, self._catching_up = offset, None, True

    def warnings(self, what: str) -> list[str]:
        """Return a line for each kind of repair.

        Args:
            what: whose clock it is, ``"picture"`` or ``"sound"``.
        """
        lines = []
        if self.jumps:
            first = self.jumps[0]
            way = "back" if first.by < 0 else "ahead"
            more = f", and {len(self.jumps) - 1} more times" if len(self.jumps) > 1 else ""
            lines.append(
                f"the clock of the {what} jumps {way} by {float(abs(first.by)):.2f} s "
                f"at {float(first.at):.2f} s{more}: the output continues there without a gap"
            )
        if self._moved:
            unit = "frames" if what == "picture" else "packets"
            lines.append(
                f"{self._moved} {unit} of {what} have no timestamp, or one that does not rise: "
                "each follows the one before"
            )
        return lines
