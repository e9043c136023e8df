"""Capabilities of this machine, found without importing torch."""

from __future__ import annotations

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
