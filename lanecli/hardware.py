"""Capabilities of this machine and settings of its threads, without importing torch."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """Return the instruction set flags of the CPU, as named by Linux; empty if they cannot be read."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.split(":", 1)[1].split())
    except OSError:
        pass
    return frozenset()


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware. Where bfloat16 is emulated, it is slower than float32."""
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})


def let_threads_sleep() -> None:
    """Make torch's threads sleep while they wait, unless ``OMP_WAIT_POLICY`` is set. Call it before torch is imported.

    They would otherwise spin, and slow down those that read pictures (measured up to 18 times).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
