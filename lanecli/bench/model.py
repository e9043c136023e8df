"""How fast a model runs here: every backend and precision alone, and the whole video path against that limit."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.inference.backends import BACKENDS, Backend, installed, open_backend
from lanecli.inference.recipe import Recipe
from lanecli.inference.run import Run
from lanecli.inference.sinks import SinkSettings
from lanecli.media import expand_sources
from lanecli.shipped import find_model

DEFINITIONS = {
    "latency_ms": "median wall time of one picture alone, from RGB at the network's size to probabilities",
    "throughput": "pictures a second with as many under way as the backend takes",
    "video_fps": "frames a second of the whole path: decode, scale, infer, draw, encode; model loading left out",
    "share_of_limit": "video_fps over throughput of the same backend and precision: what the rest of the path leaves",
}
"""What each figure means."""

_PRECISIONS = ("fp32", "bf16", "fp16")


def open_all(model: str, device: str) -> Iterator[Backend]:
    """MODEL on every backend and precision that works here, best first within a backend's list."""
    path = find_model(model)
    for name in BACKENDS:
        if not installed(name) or (name != "torch" and path.suffix != ".onnx"):
            continue
        for precision in _PRECISIONS:
            try:
                yield open_backend(model, backend=name, precision=precision, device=device)
            except InputError:  # this backend does not compute in this precision here
                continue


def measure(backend: Backend, pictures: int = 40, rounds: int = 3) -> dict[str, Any]:
    """Latency and throughput of one backend on noise; medians of `rounds`."""
    picture = _noise(backend.size)
    for _ in range(3):
        backend.infer(picture)
    latencies, rates = [], []
    for _ in range(rounds):
        times = []
        for _ in range(max(5, pictures // 4)):
            started = time.perf_counter()
            backend.infer(picture)
            times.append(time.perf_counter() - started)
        latencies.append(1000 * statistics.median(times))
        rates.append(_rate(backend, picture, pictures))
    return {
        "backend": backend.name,
        "precision": backend.precision,
        "device": backend.device,
        "size": list(backend.size),
        "latency_ms": round(statistics.median(latencies), 2),
        "throughput": round(statistics.median(rates), 2),
    }


def milliseconds(backend: Backend, budget: float = 5.0, rounds: int = 3) -> float:
    """Wall time a picture with as many under way as the backend takes, from RGB to probabilities.

    Args:
        backend: to run on noise.
        budget: seconds all rounds should take; slow models take longer: a round fills the backend twice at least.
        rounds: of which the median counts.
    """
    picture = _noise(backend.size)
    backend.infer(picture)
    started = time.perf_counter()
    backend.infer(picture)
    alone = time.perf_counter() - started
    pictures = max(2 * backend.depth, min(100, int(budget / rounds / alone)))
    return 1000 / statistics.median(_rate(backend, picture, pictures) for _ in range(rounds))


def _noise(size: Size) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)


def _rate(backend: Backend, picture: np.ndarray, pictures: int) -> float:
    """Pictures a second with as many under way as the backend takes."""
    started = time.perf_counter()
    waiting: deque[Any] = deque()
    for _ in range(pictures):
        if len(waiting) == backend.depth:
            waiting.popleft().result()
        waiting.append(backend.submit(picture[None]))
    while waiting:
        waiting.popleft().result()
    return pictures / (time.perf_counter() - started)


def measure_video(backend: Backend, video: Path, rounds: int = 3) -> float:
    """Frames a second of the whole path from file to file; median of `rounds`."""
    sources = expand_sources([str(video)])
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            predictor = Recipe((str(backend.load.path),), backend=backend.name, precision=backend.precision).open()
            run = Run(predictor, Path(folder), settings=SinkSettings(overwrite=True))
            rates += [report.fps for report in run.reports(sources)]
    return statistics.median(rates)


def bench(
    model: str,
    video: Path | None,
    device: str = "auto",
    progress: Callable[[str], None] = lambda _what: None,
) -> dict[str, Any]:
    """All figures of :data:`DEFINITIONS`, one row a backend and precision.

    Args:
        model: a model file, run folder or shipped name.
        video: to run the whole path on; None leaves that out.
        device: as for predict.
        progress: told what is measured next.
    """
    rows = []
    for backend in open_all(model, device):
        progress(f"{backend.name} {backend.precision}")
        row = measure(backend)
        if video is not None:
            fps = measure_video(backend, video)
            row |= {"video_fps": round(fps, 2), "share_of_limit": round(fps / row["throughput"], 3)}
        rows.append(row)
    machine = {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform(terse=True)}
    return {"model": model, "video": str(video) if video else None, "machine": machine, "rows": rows}


def processor() -> str:
    """What the CPU calls itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
