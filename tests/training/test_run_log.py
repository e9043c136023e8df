"""The log of a run: rows, events, resuming, curves."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from lanecli.training.log import RunLog, draw_curves


def row(epoch: int, **more: Any) -> dict[str, Any]:
    return {"epoch": epoch, "step": epoch * 10, "lr": 0.1 / epoch, "train/loss": 1 / epoch, "val/miou": None, **more}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_are_written_as_they_come(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.epoch(row(1))
    log.epoch(row(2, **{"val/iou/a, b": 0.5}))
    rows = read(tmp_path / "metrics.csv")
    assert [r["epoch"] for r in rows] == ["1", "2"]
    assert rows[0]["val/miou"] == rows[0]["val/iou/a, b"] == ""
    assert float(rows[1]["val/iou/a, b"]) == 0.5
    assert float(rows[1]["lr"]) == 0.05
    assert not list(tmp_path.glob("*.part"))


def test_events_are_one_object_a_line(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.event(event="start", step=0, note="ü\nb")
    log.event(event="step", step=1, loss=0.5)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"event": "start", "step": 0, "note": "ü\nb"},
        {"event": "step", "step": 1, "loss": 0.5},
    ]


def test_resuming_drops_what_lies_behind_the_step(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for epoch in (1, 2, 3):
        log.epoch(row(epoch))
    for step in (5, 20, 25):
        log.event(event="step", step=step)
    log.event(event="note")
    again = RunLog(tmp_path, (20, 2))
    assert [r["step"] for r in read(tmp_path / "metrics.csv")] == ["10", "20"]
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [e.get("step") for e in events] == [5, 20, None]
    again.epoch(row(3))
    assert [r["step"] for r in read(tmp_path / "metrics.csv")] == ["10", "20", "30"]


def test_a_state_saved_between_epoch_and_validation_drops_the_row_to_come_again(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.epoch(row(1))
    log.epoch(row(2))
    RunLog(tmp_path, (20, 1))
    assert [r["epoch"] for r in read(tmp_path / "metrics.csv")] == ["1"]


def test_a_resumed_log_is_the_log_it_would_have_been(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, cut = RunLog(tmp_path / "a"), RunLog(tmp_path / "b")
    for epoch in (1, 2, 3):
        whole.epoch(row(epoch))
    cut.epoch(row(1))
    cut.epoch(row(2, lr=9.0))
    again = RunLog(tmp_path / "b", (10, 1))
    again.epoch(row(2))
    again.epoch(row(3))
    assert (tmp_path / "a" / "metrics.csv").read_bytes() == (tmp_path / "b" / "metrics.csv").read_bytes()


@pytest.mark.parametrize("torn", ['{"event": "step", "st', '{"a": {"b": 1}', "3", "[", '{"step": "x"}', ""])
def test_a_torn_last_line_is_dropped(tmp_path: Path, torn: str) -> None:
    log = RunLog(tmp_path)
    log.event(event="step", step=1)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(torn)
    RunLog(tmp_path, (5, 0)).event(event="resume", step=5)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 5]


def test_resuming_without_logs_starts_them(tmp_path: Path) -> None:
    RunLog(tmp_path, (3, 0)).epoch(row(1))
    assert len(read(tmp_path / "metrics.csv")) == 1


def test_curves_are_a_picture(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for epoch in range(1, 4):
        log.epoch(row(epoch, **{"val/miou": 0.1 * epoch, "val/iou/lane": None, "val/loss": 2.0 / epoch}))
    draw_curves(log.rows, tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape[1] > 1000
    coloured = (picture.max(2).astype(int) - picture.min(2)) > 60
    parts = [coloured[:, i * picture.shape[1] // 4 : (i + 1) * picture.shape[1] // 4].sum() for i in range(4)]
    assert min(parts[0], parts[3]) > 100  # a line in each panel that has values


def test_curves_of_a_resumed_run_read_text(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.epoch(row(1))
    again = RunLog(tmp_path, (10, 1))
    again.epoch(row(2))
    draw_curves(again.rows, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_tensorboard_has_every_number(tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    log = RunLog(tmp_path)
    log.event(event="start", step=0)
    log.event(event="step", step=10, loss=0.5, lr=0.1)
    log.epoch({"epoch": 1, "step": 20, "train/loss": 0.25, "val/miou": None})
    log.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    data, found = file.read_bytes(), {}
    while data:  # TFRecord: length, its checksum, the event, its checksum
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        for value in event.summary.value:
            found[value.tag, event.step] = value.simple_value
        data = data[16 + length :]
    assert found == {("step/loss", 10): 0.5, ("step/lr", 10): pytest.approx(0.1), ("train/loss", 20): 0.25}


def test_a_process_beside_the_main_one_writes_nothing(tmp_path: Path) -> None:
    log = RunLog(tmp_path, writes=False)
    log.event(event="step", step=1)
    log.epoch({"epoch": 1, "step": 2, "train/loss": 0.5})
    log.close()
    assert len(log.rows) == 1
    assert not list(tmp_path.iterdir())
