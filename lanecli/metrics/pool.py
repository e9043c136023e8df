"""Scores pictures in several processes, in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from lanecli.workers import in_order, worker_pool

Job = TypeVar("Job")
Answer = TypeVar("Answer")
_CHUNK = 32
_WORTH_A_PROCESS = 128  # jobs per process: starting one takes as long as scoring about this many pictures


def run_jobs(
    function: Callable[[Sequence[Job]], list[Answer]],
    jobs: Sequence[Job],
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Answer]:
    """Return the answers to `jobs`, in their order.

    Args:
        function: answers a chunk of jobs; a function of a module (or a `functools.partial` of one), so that other
            processes can import it.
        jobs: the jobs.
        workers: number of processes; None for one per CPU core. If there are few jobs, no process is started.
        progress: called with the number of finished jobs and their total.
    """
    workers = min(workers or _cores(), len(jobs) // _WORTH_A_PROCESS)
    chunks = [jobs[i : i + _CHUNK] for i in range(0, len(jobs), _CHUNK)]
    results: list[Answer] = []

    def collect(answers: list[Answer]) -> None:
        results.extend(answers)
        if progress:
            progress(len(results), len(jobs))

    if workers < 2:
        for chunk in chunks:
            collect(function(chunk))
        return results
    # a fresh interpreter, because a fork would lock up on this one's threads (progress bar, OpenCV)
    with worker_pool(workers, fresh=True) as pool:
        for answers in in_order(pool, function, chunks):
            collect(answers)
    return results


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
