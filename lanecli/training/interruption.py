"""Ctrl-C, and the signal a cluster ends jobs with, at moments of the loop's choosing."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from lanecli.interruption import ONE_STOP, SIGNALS


class Interruption:
    """Notes SIGINT and SIGTERM, and raises where the loop lets it: where weights and optimiser are of one step."""

    def __init__(self) -> None:
        self._noted = False
        self._since = 0.0

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """While inside, they wait for :meth:`check`; one that comes `ONE_STOP` seconds later or more does not.

        Nothing changes off the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(_signal: int, _frame: Any) -> None:
            if self._noted and time.monotonic() - self._since > ONE_STOP:
                raise KeyboardInterrupt
            if not self._noted:
                self._noted, self._since = True, time.monotonic()

        heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # not under nohup
        before = {number: signal.signal(number, note) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if one came."""
        if self._noted:
            raise KeyboardInterrupt
