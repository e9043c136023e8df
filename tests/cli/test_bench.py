"""``lanecli bench`` measures what there is; its figures are never asserted, only that they are there and add up."""

from __future__ import annotations

import types
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import numpy as np
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


class Slow:
    """A backend that takes ten seconds a picture, by a clock of its own."""

    name, precision, device, size, depth = "slow", "fp16", "cpu", (8, 8), 1
    now = 0.0

    def infer(self, _picture: np.ndarray) -> None:
        Slow.now += 10

    def submit(self, picture: np.ndarray) -> Future[None]:
        done: Future[None] = Future()
        done.set_result(self.infer(picture))
        return done


def test_bench_lane_video_no_figure_takes_far_more_than_its_budget(
    cli: Callable[..., Outcome], bright: Path, stripe_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lanecli.bench import model as bench

    clock = types.SimpleNamespace(perf_counter=lambda: Slow.now)
    monkeypatch.setattr(bench, "time", clock)
    assert bench.measure(Slow(), budget=1)["throughput"] == 0.1  # type: ignore[arg-type]
    assert Slow.now == 80  # two to see how slow, three rounds of one for either figure
    rounds: list[int] = []
    monkeypatch.setattr(bench, "open_all", lambda *_: iter([Slow(), Slow()]))
    monkeypatch.setattr(bench, "measure_video", lambda _backend, _video, times: rounds.append(times) or 0.05)
    done = cli("bench", bright, "--video", stripe_video)
    assert done.code == 0
    assert rounds == [1]  # the first row is measured whatever it takes
    assert "left out: too slow for --budget" in done.out
    assert "measuring slow fp16 on the video" in done.err


COUNTS = {"parameters": 1, "macs": 2, "stride": 8, "minimum": 0}


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of architectures that are run, which here costs nothing; linknet is interrupted the first time."""
    from lanecli.bench import architectures

    calls: list[str] = []

    def run(name: str, what: list[str], _budget: float, _note: object) -> dict[str, object]:
        calls.append(name)
        if calls == ["erfnet", "linknet"]:
            raise KeyboardInterrupt
        return {"onnx": True} | ({"ms": {"torch": {"fp32": float(len(calls))}}} if "ms" in what else {})

    monkeypatch.setattr(architectures, "count", lambda _name: dict(COUNTS))
    monkeypatch.setattr(architectures, "_run", run)
    return calls


def test_architectures_go_on_after_an_interruption(
    cli: Callable[..., Outcome], built: list[str], tmp_path: Path
) -> None:
    line = ("bench", "--architectures", "erfnet,linknet,UNET", "--out", tmp_path / "facts.json", "--json")
    assert cli(*line).code == 130
    done = cli(*line)
    assert done.code == 0, done.err
    assert built == ["erfnet", "linknet", "linknet", "unet"]
    models = done.json()["models"]
    assert {name: entry["ms"]["torch"]["fp32"] for name, entry in models.items()} == {
        "erfnet": 1,
        "linknet": 3,
        "unet": 4,
    }
    assert cli(*line).json()["models"] == models
    assert len(built) == 4
    assert cli(*line, "--overwrite").json()["models"]["unet"]["ms"] == {"torch": {"fp32": 7.0}}


def test_what_no_longer_holds_is_measured_again(
    cli: Callable[..., Outcome], built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lanecli.bench import architectures

    line = ("bench", "--architectures", "erfnet", "--out", tmp_path / "facts.json")
    assert cli(*line).code == 0
    monkeypatch.setitem(COUNTS, "macs", 3)
    done = cli(*line, "--measure", "counts", "--json")
    assert done.json()["models"] == {"erfnet": COUNTS}  # neither export nor time is of this architecture
    assert cli(*line).code == 0
    monkeypatch.setattr(architectures, "machine", lambda: {"processor": "another", "cores": 1, "versions": {}})
    done = cli("bench", "--architectures", "unet", "--out", tmp_path / "facts.json", "--measure", "ms", "--json")
    assert "another machine" in done.err
    assert "ms" not in architectures.read_facts(tmp_path / "facts.json")["models"]["erfnet"]
    assert done.json()["machine"]["processor"] == "another"
    assert built == ["erfnet", "erfnet", "unet"]


@pytest.mark.slow
def test_an_architecture_is_exported_and_timed(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    done = cli("bench", "--architectures", "erfnet", "--budget", 0, "--json")
    assert done.code == 0, done.err
    entry = done.json()["models"]["erfnet"]
    assert entry["onnx"] is True
    assert all(entry["ms"][backend]["fp32"] > 0 for backend in ("openvino", "onnxruntime", "torch"))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (("--architectures", "erfnett"), "erfnet"),
        (("--architectures", "erfnet", "--measure", "speed"), "counts, export, ms"),
        (("--architectures", "erfnet", "--video", "v.mp4"), "--video"),
        (("--measure", "ms"), "--architectures"),
        (("--out", "f.json"), "--architectures"),
    ],
)
def test_options_that_do_not_go_together(cli: Callable[..., Outcome], line: tuple[str, ...], says: str) -> None:
    done = cli("bench", *line)
    assert done.code == 2
    assert says in done.err
    assert len(done.err.splitlines()) == 1


def test_milliseconds_keep_a_backend_full_and_no_fuller() -> None:

    from lanecli.bench.model import milliseconds

    class Counting:
        size, depth = (8, 4), 3
        under_way = most = total = 0

        def submit(self, picture: np.ndarray) -> Counting:
            assert picture.shape == (1, 4, 8, 3)
            self.under_way += 1
            self.total += 1
            self.most = max(self.most, self.under_way)
            return self

        def result(self) -> None:
            self.under_way -= 1

        def infer(self, picture: np.ndarray) -> None:
            self.submit(picture[None]).result()

    backend = Counting()
    assert milliseconds(backend, budget=0) > 0  # type: ignore[arg-type]
    assert (backend.most, backend.under_way, backend.total) == (3, 0, 2 + 3 * 6)
