"""Worker processes, which leave signals to the process that started them and end with it."""

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
from lanecli.interruption import SIGNALS, leave_signals_to_parent

Job = TypeVar("Job")
Answer = TypeVar("Answer")
_AHEAD = 64  # jobs that are submitted before the first result is taken


@contextmanager
def worker_pool(
    count: int | None, *, fresh: bool = False, begin: Callable[[], object] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Context with a pool of worker processes. On an error they are killed and not waited for.

    Args:
        count: number of processes; None starts one per core.
        fresh: whether workers are new interpreters, which start more slowly but share no threads with this process.
        begin: a function of a module that each worker calls at its start.

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
    """Yield the result of `work` for each job, in the order of the jobs, while workers are a few dozen jobs ahead.

    Unlike the `map` of the pool, this cancels no jobs when it is closed early: the thread of the pool would fail on
    cancelled jobs when it finds that its workers were killed.
    """
    pending: deque[Future[Answer]] = deque()
    for job in jobs:
        pending.append(pool.submit(work, job))
        if len(pending) > _AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _start(begin: Callable[[], object] | None) -> None:
    leave_signals_to_parent()
    if begin is not None:
        begin()


def _launch(pool: ProcessPoolExecutor) -> None:
    """Start the workers with signals blocked until they have set how to handle them."""
    held = hasattr(signal, "pthread_sigmask")
    if held:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        pool.submit(os.getpid)
    finally:
        if held:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
