"""Threads around a loop: decode ahead of it, write behind it, over bounded queues."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Generic, TypeVar

from lanecli.interruption import Deferred

T = TypeVar("T")
_PATIENCE = 5.0  # seconds for the last item on its way; what waits longer for a network is left to its own time-out


class _End:
    """What the producing side puts last: how it ended."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(iterable: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """Iterate `iterable` in a thread of its own, at most `depth` items ahead.

    Order is kept. An exception raised by the iterable is raised here after the items before it. When this generator is
    closed early, the iterable is stopped, closed in its own thread and the thread joined; one that waits
    for a network is left alone after five seconds. Python closes a generator that is forgotten;
    `with contextlib.closing(prefetch(...)) as items:` does not wait for that.

    Args:
        iterable: What to run ahead; its iterator is made and closed inside the thread.
        depth: How many items may wait, at least 1.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(maxsize=max(1, depth))
    stop = threading.Event()

    def produce() -> None:
        end = _End()
        try:
            iterator = iter(iterable)
            try:
                for item in iterator:
                    waiting.put(item)
                    if stop.is_set():
                        break
            finally:
                close = getattr(iterator, "close", None)
                if close is not None:
                    close()
        except BaseException as error:  # carried over to the consumer's thread
            end.error = error
        waiting.put(end)

    thread = threading.Thread(target=produce, name="lanecli-prefetch", daemon=True)
    ended = False
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                ended = True
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        deadline = time.monotonic() + _PATIENCE
        with contextlib.suppress(queue.Empty):
            while not ended:  # the producer may be blocked on a full queue
                ended = isinstance(waiting.get(timeout=max(0.0, deadline - time.monotonic())), _End)
            thread.join()


class BackgroundSink(Generic[T]):
    """Calls `write(item)` in a thread of its own, in order, with at most `depth` items waiting.

    An exception in `write` is raised by the next `put` or by `close`; the items after it are dropped. Leaving the
    `with` block through an exception still writes what was put before it.

        with VideoWriter(...) as writer, BackgroundSink(writer.write) as sink:
            for frame in prefetch(reader):
                sink.put(frame)
    """

    def __init__(self, write: Callable[[T], object], depth: int = 4) -> None:
        self._write = write
        self._waiting: queue.Queue[T | _End] = queue.Queue(maxsize=max(1, depth))
        self._error: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="lanecli-sink", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not isinstance(item := self._waiting.get(), _End):
            if self._error is None:
                try:
                    self._write(item)
                except BaseException as error:  # carried over to the caller's thread
                    self._error = error

    def put(self, item: T) -> None:
        """Hand over one item; waits while `depth` items are waiting."""
        if self._error is not None:
            raise self._error
        self._waiting.put(item)

    def close(self) -> None:
        """Write what is waiting, end the thread, and raise what `write` raised. Safe to call twice."""
        with Deferred():  # left halfway, the thread would write into what is being finalised
            if not self._closed:
                self._closed = True
                self._waiting.put(_End())
            self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __enter__(self) -> BackgroundSink[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except BaseException:
            if error is None:
                raise
