"""What this machine can do, asked without importing torch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """Instruction set flags of the CPU as Linux names them; empty where they cannot be read."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.split(":", 1)[1].split())
    except OSError:
        pass
    return frozenset()


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware, so that bf16 pays (it is slower where it is emulated)."""
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})
