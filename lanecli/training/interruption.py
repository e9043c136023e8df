"""Ctrl-C, and the signal a cluster ends jobs with, at moments of the loop's choosing."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Interruption:
    """Notes SIGINT and SIGTERM, and raises where the loop lets it: where weights and optimiser are of one step."""

    def __init__(self) -> None:
        self._noted = False

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """While inside, they wait for :meth:`check`; a second one does not. Nothing changes off the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(_signal: int, _frame: Any) -> None:
            if self._noted:
                raise KeyboardInterrupt
            self._noted = True

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if one came."""
        if self._noted:
            raise KeyboardInterrupt
