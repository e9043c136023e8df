"""The speed of a model on this machine: every backend and precision alone, and the whole video path."""

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
from lanecli.media import VideoReader, expand_sources
from lanecli.shipped import find_model

DEFINITIONS = {
    "latency_ms": "median time of a single picture, from RGB at the network's size to probabilities",
    "throughput": "pictures per second, with as many requests in flight as the backend runs at once",
    "video_fps": "frames per second of the whole path: decode, scale, infer, draw and encode, without model loading",
    "share_of_limit": "video_fps over throughput of the same backend and precision",
}
"""The meaning of each figure."""

_PRECISIONS = ("fp32", "bf16", "fp16")
_VIDEO_BUDGETS = 6


def open_all(model: str, device: str) -> Iterator[Backend]:
    """Open a model in every backend and precision that works on this machine."""
    path = find_model(model)
    for name in BACKENDS:
        if not installed(name) or (name != "torch" and path.suffix != ".onnx"):
            continue
        for precision in _PRECISIONS:
            try:
                yield open_backend(model, backend=name, precision=precision, device=device)
            except InputError:  # the backend does not support this precision on this machine
                continue


def measure(backend: Backend, budget: float = 5.0, pictures: int = 40, rounds: int = 3) -> dict[str, Any]:
    """Measure latency and throughput of a backend on noise, as medians of `rounds`.

    Args:
        backend: the backend to run.
        budget: seconds for each of the two figures. Slow models take longer: a round needs one picture, and for the
            throughput as many as the backend runs at once.
        pictures: the largest number of pictures in a round of throughput.
        rounds: the number of rounds, of which the median counts.
    """
    picture = _noise(backend.size)
    affordable = budget / rounds / _alone(backend, picture)
    alone, together = min(max(5, pictures // 4), affordable), min(pictures, max(backend.depth, affordable))
    latencies, rates = [], []
    for _ in range(rounds):
        times = []
        for _ in range(max(1, int(alone))):
            started = time.perf_counter()
            backend.infer(picture)
            times.append(time.perf_counter() - started)
        latencies.append(1000 * statistics.median(times))
        rates.append(_rate(backend, picture, max(1, int(together))))
    return {
        "backend": backend.name,
        "precision": backend.precision,
        "device": backend.device,
        "size": list(backend.size),
        "latency_ms": round(statistics.median(latencies), 2),
        "throughput": round(statistics.median(rates), 2),
    }


def milliseconds(backend: Backend, budget: float = 5.0, rounds: int = 3) -> float:
    """Measure milliseconds per picture, with as many requests in flight as the backend runs at once.

    The time is from RGB to probabilities.

    Args:
        backend: the backend, which runs on noise.
        budget: seconds for all rounds. Slow models take longer, because a round has twice as many pictures as requests
            in flight at least.
        rounds: the number of rounds, of which the median counts.
    """
    picture = _noise(backend.size)
    pictures = max(2 * backend.depth, min(100, int(budget / rounds / _alone(backend, picture))))
    return 1000 / statistics.median(_rate(backend, picture, pictures) for _ in range(rounds))


def _alone(backend: Backend, picture: np.ndarray) -> float:
    """Return the seconds that a warm backend takes for a single picture."""
    backend.infer(picture)
    started = time.perf_counter()
    backend.infer(picture)
    return max(time.perf_counter() - started, 1e-6)


def _noise(size: Size) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)


def _rate(backend: Backend, picture: np.ndarray, pictures: int) -> float:
    """Measure pictures per second, with as many requests in flight as the backend runs at once."""
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
    """Measure frames per second of the whole path from file to file, as the median of `rounds`."""
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
    budget: float = 5.0,
    progress: Callable[[str], None] = lambda _what: None,
) -> dict[str, Any]:
    """Measure all figures of :data:`DEFINITIONS`, in one row for each backend and precision.

    Args:
        model: a model file, a run folder or the name of a shipped model.
        video: a video for the whole path, or None to leave that out.
        device: as for predict.
        budget: seconds for each figure. The video may take `_VIDEO_BUDGETS` times as long: it runs fewer than three
            times where that is not enough, and only in the first backend where it is not enough for one time.
        progress: called with what is measured next.

    Returns:
        A JSON value; ``video_fps`` and ``share_of_limit`` are None where the video was left out.
    """
    rows: list[dict[str, Any]] = []
    frames = _frames(video) if video is not None else 0
    for backend in open_all(model, device):
        progress(f"{backend.name} {backend.precision}")
        row = measure(backend, budget)
        if video is not None:
            row |= {"video_fps": None, "share_of_limit": None}
            seconds = frames / row["throughput"]
            affordable = min(3, int(_VIDEO_BUDGETS * budget / max(seconds, 1e-6)))
            if affordable or not rows:
                progress(f"{backend.name} {backend.precision} on the video, some {seconds:.0f} s a time")
                fps = measure_video(backend, video, max(1, affordable))
                row |= {"video_fps": round(fps, 2), "share_of_limit": round(fps / row["throughput"], 3)}
        rows.append(row)
    machine = {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform(terse=True)}
    return {"model": model, "video": str(video) if video else None, "machine": machine, "rows": rows}


def _frames(video: Path) -> int:
    """Return the number of frames that the file of a video states, or 0."""
    with VideoReader(video) as reader:
        return reader.info.frames or 0


def processor() -> str:
    """Return the name of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
