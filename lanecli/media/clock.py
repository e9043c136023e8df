"""One meaning of time: a clock that steps, repeats or is missing is mended once, for picture and sound alike."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

_AHEAD = Fraction(10)  # seconds; what FFmpeg's own tools take for a step of the clock in a transport stream
_BACK = Fraction(1, 10)  # seconds, in formats whose clock may step
_BACK_ELSEWHERE = Fraction(1, 2)  # seconds; less is jitter, out of which the clock grows by itself
_WRAP = 2**33  # MPEG clocks have 33 bits


@dataclass(frozen=True, slots=True)
class Step:
    """A place where a clock went on from another time.

    Attributes:
        at: Seconds of the mended time.
        by: Seconds the clock stepped by: below zero, back.
        offset: Seconds to add to the clock's times from there on.
    """

    at: Fraction
    by: Fraction
    offset: Fraction


class Clock:
    """Turns the timestamps of one stream into a time that always rises.

    - A timestamp that is missing, or the same as the one before, is one frame after the one before.
    - One that lags behind by little is put half a frame after the one before, until the clock has caught up.
    - Where the clock steps (back by more than jitter; ahead by more than ten seconds, in formats whose clock may step,
      such as transport streams), time goes on at the frame step, and what follows is moved along.

    A gap ahead stays a gap otherwise: a variable frame rate, lost frames.

        >>> clock = Clock(Fraction(1, 1000), step=40)
        >>> [clock.mend(pts) for pts in (0, 40, None, 120, 5, 45)]
        [0, 40, 80, 120, 160, 200]

    Args:
        time_base: Seconds per unit of the timestamps.
        step: Units from one frame to the next, where the file does not say it.
        origin: The timestamp that becomes zero.
        may_step: True for formats whose clock may step ahead without a gap in the recording.

    Attributes:
        steps: Where the clock stepped, in order.
        last: The last time given, in units; None at the beginning.
        expected: The time the next frame would have at the frame step.
    """

    def __init__(self, time_base: Fraction, step: int, *, origin: int = 0, may_step: bool = False) -> None:
        self.time_base = time_base
        self.steps: list[Step] = []
        self.last: int | None = None
        self.expected = 0
        self._step = max(1, step)
        self._offset = -origin
        self._may_step = may_step
        self._back = max(round((_BACK if may_step else _BACK_ELSEWHERE) / time_base), 2 * self._step)
        self._ahead = round(_AHEAD / time_base)
        self._raw: int | None = None
        self._catching_up = False
        self._moved = 0

    def lag(self, raw: int) -> int:
        """Units the clock has stepped by at timestamp `raw`: below zero, back; zero where it goes on as it should."""
        time = raw + self._offset
        if self.last is None or raw == self._raw:
            return 0
        if time <= self.last and self.expected - time > self._back and not self._catching_up:
            return time - self.expected
        if self._may_step and time - self.expected > self._ahead:
            return time - self.expected
        return 0

    def mend(self, raw: int | None, duration: int | None = None) -> int:
        """The time of the next frame, in units.

        Args:
            raw: Its timestamp, or None where the file has none.
            duration: Units it is shown for, where the file says so.
        """
        if raw is not None and (by := self.lag(raw)):
            self._offset = self.expected - raw
            if self.time_base == Fraction(1, 90_000) and by > _WRAP // 2:
                by -= _WRAP  # a demuxer takes a step back for the end of the 33 bits
            self.steps.append(Step(self.expected * self.time_base, by * self.time_base, self._offset * self.time_base))
        if raw is None or raw == self._raw:
            time = self.expected
            self._moved += 1
        else:
            time = raw + self._offset
            if self.last is not None and time <= self.last:
                time = self.last + max(1, self._step // 2)
                self._moved += not self._catching_up
            else:
                self._catching_up = False
        self._raw, self.last = raw, time
        self.expected = time + (duration if duration is not None and 0 < duration < self._ahead else self._step)
        return time

    def preview(self, raw: int) -> int:
        """The time of timestamp `raw`, in units, were it to follow without mending."""
        return raw + self._offset

    def accept_gap(self, raw: int) -> None:
        """Take timestamp `raw`, which lies far ahead, for a gap in the recording."""
        self.expected = raw + self._offset

    def set_offset(self, offset: int) -> None:
        """Add `offset` units to the timestamps that follow, even where the first of them then lag a little."""
        self._offset, self._raw, self._catching_up = offset, None, True

    def warnings(self, what: str) -> list[str]:
        """A line for each kind of thing that was mended.

        Args:
            what: Whose clock it is: "picture", "sound".
        """
        lines = []
        if self.steps:
            first = self.steps[0]
            way = "back" if first.by < 0 else "ahead"
            more = f", and {len(self.steps) - 1} more times" if len(self.steps) > 1 else ""
            lines.append(
                f"the clock of the {what} steps {way} by {float(abs(first.by)):.2f} s "
                f"at {float(first.at):.2f} s{more}: time goes on there without a gap"
            )
        if self._moved:
            unit = "frames" if what == "picture" else "packets"
            lines.append(
                f"{self._moved} {unit} of {what} have no time of their own, or one that goes back: "
                "they follow the one before"
            )
        return lines
