"""``lanecli bench`` measures what there is; its figures are never asserted, only that they are there and add up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from samples import Outcome


def test_every_backend_that_runs_the_file_is_measured(
    cli: Callable[..., Outcome], bright: Path, stripe_video: Path
) -> None:
    done = cli("bench", bright, "--video", stripe_video, "--device", "cpu", "--json")
    assert done.code == 0, done.err
    document = done.json()
    rows = {(row["backend"], row["precision"]): row for row in document["rows"]}
    assert {("openvino", "fp32"), ("onnxruntime", "fp32")} <= set(rows)
    for row in rows.values():
        assert row["size"] == [64, 32]
        assert row["latency_ms"] >= 0
        assert row["share_of_limit"] == pytest.approx(row["video_fps"] / row["throughput"], abs=2e-3, rel=1e-2)
    assert document["machine"]["cores"]


def test_missing_video_is_named(cli: Callable[..., Outcome], bright: Path, tmp_path: Path) -> None:
    done = cli("bench", bright, "--video", tmp_path / "none.mp4")
    assert done.code == 2
    assert "none.mp4" in done.err
