"""Threads with bounded queues: one that reads ahead of a loop, and one that writes after it."""

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
_PATIENCE = 5.0  # seconds to wait for the item being read; a network that takes longer has its own time-out


class _End:
    """The last item in a queue: it says that there are no more, and the exception that ended them."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(iterable: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """Iterate over `iterable` in a thread of its own, at most `depth` items ahead.

    Items keep their order, and an exception of the iterable is raised after the items before it. If this generator is
    closed early, the iterable is stopped and closed in its own thread, which is then joined; a thread that waits for a
    network is abandoned after five seconds. `with contextlib.closing(prefetch(...)) as items:` closes the generator at
    once, and not only when Python collects it.

    Args:
        iterable: its iterator is made and closed in the thread.
        depth: number of items that may wait, at least 1.

    Example:
        >>> list(prefetch(range(3)))
        [0, 1, 2]
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
        except BaseException as error:  # raised again in the consumer's thread
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


class BackgroundWriter(Generic[T]):
    """Calls `write(item)` in a thread of its own, in order, while at most `depth` items wait.

    An exception in `write` is raised by the next `put` or by `close`, and the items after it are dropped. If the `with`
    block ends by an exception, the items put before are still written.

        with VideoWriter(...) as writer, BackgroundWriter(writer.write) as queue:
            for frame in prefetch(reader):
                queue.put(frame)
    """

    def __init__(self, write: Callable[[T], object], depth: int = 4) -> None:
        self._write = write
        self._waiting: queue.Queue[T | _End] = queue.Queue(maxsize=max(1, depth))
        self._error: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="lanecli-writer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not isinstance(item := self._waiting.get(), _End):
            if self._error is None:
                try:
                    self._write(item)
                except BaseException as error:  # raised again in the caller's thread
                    self._error = error

    def put(self, item: T) -> None:
        """Queue an item; wait while `depth` items are queued."""
        if self._error is not None:
            raise self._error
        self._waiting.put(item)

    def close(self) -> None:
        """Write the items that wait, end the thread, and raise what `write` raised. It may be called twice."""
        with Deferred():  # if it were interrupted, the thread would write into a file that is being finished
            if not self._closed:
                self._closed = True
                self._waiting.put(_End())
            self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __enter__(self) -> BackgroundWriter[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except BaseException:
            if error is None:
                raise
