"""Pictures scored by several processes, in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from lanecli.workers import in_order, worker_pool

Job = TypeVar("Job")
Answer = TypeVar("Answer")
_CHUNK = 32
_WORTH_A_PROCESS = 128  # jobs; starting a process takes as long as scoring about that many pictures


def run_jobs(
    function: Callable[[Sequence[Job]], list[Answer]],
    jobs: Sequence[Job],
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Answer]:
    """Answers to `jobs`, in their order.

    Args:
        function: answers a chunk of jobs; a function of a module (or a `functools.partial` of one), so that other
            processes can import it.
        jobs: what is to be answered.
        workers: processes; as many as there are CPU cores if None, and none where the jobs are few.
        progress: called with the jobs done and all jobs.
    """
    workers = min(workers or _cores(), len(jobs) // _WORTH_A_PROCESS)
    chunks = [jobs[i : i + _CHUNK] for i in range(0, len(jobs), _CHUNK)]
    found: list[Answer] = []

    def collect(answers: list[Answer]) -> None:
        found.extend(answers)
        if progress:
            progress(len(found), len(jobs))

    if workers < 2:
        for chunk in chunks:
            collect(function(chunk))
        return found
    # a fresh interpreter knows nothing of this one's threads (progress bar, OpenCV), which a fork would lock up on
    with worker_pool(workers, fresh=True) as pool:
        for answers in in_order(pool, function, chunks):
            collect(answers)
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
