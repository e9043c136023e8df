"""Worker processes that leave signals to the one that started them, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from lanecli.errors import LaneError
from lanecli.interruption import SIGNALS, leave_to_parent

Job = TypeVar("Job")
Answer = TypeVar("Answer")
_AHEAD = 64  # jobs handed out before the first answer is taken


@contextmanager
def worker_pool(
    count: int | None, *, fresh: bool = False, begin: Callable[[], object] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Worker processes, which are not waited for where the work is given up.

    Args:
        count: of processes; None is one a core.
        fresh: new interpreters, which take longer to start but know nothing of this one's threads.
        begin: called in each worker at its start; a function of a module.

    Raises:
        LaneError: a worker was killed.
    """
    before = multiprocessing.active_children()
    context = multiprocessing.get_context("spawn") if fresh else None
    with ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(begin,)) as pool:
        try:
            if fresh:
                _launch(pool)
            yield pool
        except BaseException as error:
            for process in multiprocessing.active_children():
                if process not in before:
                    process.kill()
            if isinstance(error, BrokenProcessPool):
                raise LaneError(
                    "a worker process was killed, most likely because memory ran out; use fewer --workers"
                ) from error
            raise


def in_order(pool: ProcessPoolExecutor, work: Callable[[Job], Answer], jobs: Iterable[Job]) -> Iterator[Answer]:
    """What `work` gives for each job, in their order; workers are a few dozen ahead.

    Nothing is cancelled where this is given up (as the pool's own `map` does): the pool's thread, which finds its
    workers killed, would fail on what is cancelled.
    """
    under_way: deque[Future[Answer]] = deque()
    for job in jobs:
        under_way.append(pool.submit(work, job))
        if len(under_way) > _AHEAD:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _start(begin: Callable[[], object] | None) -> None:
    leave_to_parent()
    if begin is not None:
        begin()


def _launch(pool: ProcessPoolExecutor) -> None:
    """Start the workers with signals held back until they know what to do with them."""
    held = hasattr(signal, "pthread_sigmask")
    if held:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        pool.submit(os.getpid)
    finally:
        if held:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
