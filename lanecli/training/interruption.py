"""Ctrl-C, at moments of the loop's choosing."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Interruption:
    """Notes Ctrl-C and raises it where the loop says it may: weights and optimiser state are then of one step."""

    def __init__(self) -> None:
        self._noted = False

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """While inside, Ctrl-C waits for :meth:`check`; a second one does not. Nothing changes off the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(_signal: int, _frame: Any) -> None:
            if self._noted:
                raise KeyboardInterrupt
            self._noted = True

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self._noted:
            raise KeyboardInterrupt
