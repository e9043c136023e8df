"""``lanecli train``: a run's files, resuming, interruption, bad input; then export and evaluation of what it made."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from samples import SMALL_RUN, Outcome

from lanecli.cli import main
from lanecli.config import load_config
from lanecli.data.synthesise import synthesise
from lanecli.media import read_mask, write_mask
from lanecli.modelfile import read_spec
from lanecli.training.checkpoint import load_state

Cli = Callable[..., Outcome]

SMALL = [*SMALL_RUN, "train.ema=0.9"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight small procedural scenes, two of them for validation."""
    folder = tmp_path_factory.mktemp("synth") / "scenes"
    synthesise(folder, count=8, size=(128, 72), seed=3, val=0.25, workers=1)
    return folder


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "run"
    argv, sys.argv = sys.argv, ["lanecli", "train", *SMALL, "--data", str(dataset), "--out", str(out), "--json"]
    try:
        main()
    except SystemExit as status:
        assert not status.code  # noqa: PT017 - a failed run has printed why
    finally:
        sys.argv = argv
    return out


def test_run_folder_holds_everything(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"config.yaml", "model.safetensors", "last", "metrics.csv", "log.jsonl", "curves.png"} <= names
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["step"] for row in rows] == ["3", "6"]
    assert all(float(row["train/loss"]) > 0 for row in rows)
    assert {"lr", "train/ce", "train/dice", "val/miou_foreground"} <= set(rows[0])


def test_a_model_file_names_no_path_of_the_machine(run: Path, dataset: Path) -> None:
    text = read_spec(run / "model.safetensors").to_json()
    assert dataset.name in text
    assert str(dataset.parent) not in text


def test_same_configuration_same_weights(cli: Cli, dataset: Path, run: Path, tmp_path: Path) -> None:
    done = cli("train", *SMALL, "--data", dataset, "--out", tmp_path / "again")
    assert done.code == 0, done.err
    assert_equal_runs(run, tmp_path / "again")


def assert_equal_runs(one: Path, other: Path) -> None:
    """Weights, resume state and metrics are equal bit for bit."""
    for name in ("model.safetensors", "last/state.safetensors"):
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        for key, value in first.items():
            np.testing.assert_array_equal(value, second[key], err_msg=f"{name}: {key}")
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()


def test_a_run_directory_is_a_fresh_one(cli: Cli, dataset: Path, run: Path) -> None:
    before = (run / "model.safetensors").read_bytes()
    done = cli("train", *SMALL, "train.epochs=1", "--data", dataset, "--out", run, "--json")
    assert done.code == 0, done.err
    assert Path(done.json()["run"]) == run.with_name("run-2")
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("stop_at", ["first step", "between epochs"])
def test_interrupted_run_resumes_without_a_trace(
    cli: Cli, dataset: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: str
) -> None:
    from lanecli.training import loop

    calls = 0
    name = "_after_step" if stop_at == "first step" else "_validate"
    original = getattr(loop.Run, name)

    def interrupt(self: loop.Run, *arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(loop.Run, name, interrupt)
    out = tmp_path / "stopped"
    done = cli("train", *SMALL, "--data", dataset, "--out", out)
    assert done.code == 130
    assert "--resume" in done.err
    monkeypatch.setattr(loop.Run, name, original)
    done = cli("train", "--resume", out)
    assert done.code == 0, done.err
    assert_equal_runs(run, out)


def test_ctrl_c_leaves_a_run_to_resume(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "lanecli",
        "train",
        *SMALL,
        "train.epochs=400",
        "--data",
        str(dataset),
        "--out",
        str(out),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while process.poll() is None and not (out / "last").is_dir() and time.monotonic() < deadline:
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    steps = int(list(csv.DictReader((out / "metrics.csv").open()))[-1]["step"])
    assert load_state(out / "last")["step"] >= steps >= 3


def test_a_finished_run_has_nothing_to_resume(cli: Cli, run: Path) -> None:
    done = cli("train", "--resume", run)
    assert done.code == 2
    assert "finished" in done.err


@pytest.mark.parametrize(
    ("words", "encoder"),
    [
        (["model.name=setr_pup", "model.args={width: 0.25, depth: 4}"], None),
        (["model.name=unet", "model.encoder=tu-test_resnet"], "tu-test_resnet"),
        ([], "tu-efficientnet_lite0"),
    ],
    ids=["a model named", "a model and an encoder named", "the file's own"],
)
def test_the_default_files_encoder_goes_with_its_model(
    cli: Cli, dataset: Path, tmp_path: Path, words: list[str], encoder: str | None
) -> None:
    short = ["data.geometry.size=[64, 32]", "data.samples=4", "data.workers=0", "train.batch=2", "train.epochs=1"]
    done = cli("train", *words, *short, "--data", dataset, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert load_config(tmp_path / "run" / "config.yaml").model.encoder == encoder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train.epoch=3"], "train.epochs"),
        (["modle.name=unet"], "model"),
        (["loss=cee"], "ce"),
        (["model.name=unett"], "unet"),
        (["optim.name=adamm"], "adam"),
        (["schedule.name=cosin"], "cosine"),
        (["train.batch=none"], "train.batch"),
        (["model.encoder=resnet81"], "resnet18"),
        (["train.batch=100"], "train.batch"),
        (["--device", "cuda:77"], "cuda:77"),
    ],
)
def test_wrong_configuration_names_the_nearest(
    cli: Cli, dataset: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    done = cli("train", *SMALL, *arguments, "--data", dataset, "--out", tmp_path / "run")
    assert done.code == 2
    assert says in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_misspelt_key_in_a_yaml_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("train:\n  epohcs: 3\n")
    done = cli("train", tmp_path / "mine.yaml", "--out", tmp_path / "run")
    assert done.code == 2
    assert "mine.yaml" in done.err
    assert "train.epochs" in done.err


@pytest.mark.parametrize("workers", [0, 1])
def test_mask_with_an_unknown_id(cli: Cli, dataset: Path, tmp_path: Path, workers: int) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(dataset, broken)
    mask = read_mask(broken / "masks" / "000001.png")
    mask[3, 4] = 77
    write_mask(broken / "masks" / "000001.png", mask)
    done = cli("train", *SMALL, f"data.workers={workers}", "--data", broken, "--out", tmp_path / "run")
    assert done.code == 2
    *before, line = done.err.strip().splitlines()
    assert "000001.png" in line
    assert "77" in line
    assert not any(each.startswith("error") for each in before)


def test_exported_file_gives_the_same_scores(cli: Cli, dataset: Path, run: Path, tmp_path: Path) -> None:
    done = cli("export", "onnx", run, "--out", tmp_path / "m.onnx", "--json")
    assert done.code == 0, done.err
    document = done.json()
    assert document["largest_difference"] <= 1e-3 * document["largest_logit"]
    assert document["equal_pixels"] > 0.999
    scores = {}
    for model, backend in ((run, "torch"), (tmp_path / "m.onnx", "onnxruntime"), (tmp_path / "m.onnx", "openvino")):
        done = cli("evaluate", model, "--data", dataset, "--backend", backend, "--precision", "fp32", "--json")
        assert done.code == 0, done.err
        scores[backend] = done.json()
    for backend in ("onnxruntime", "openvino"):
        assert scores[backend]["iou"] == pytest.approx(scores["torch"]["iou"], abs=1e-3)
        assert scores[backend]["nll"] == pytest.approx(scores["torch"]["nll"], rel=1e-3)
    keys = {"miou", "miou_foreground", "iou", "dice", "precision", "recall", "pixel_accuracy", "nll", "brier", "ece"}
    assert keys | {"ms_per_image", "n_images"} <= set(scores["torch"])
    assert scores["torch"]["n_images"] == 2


def test_an_onnx_file_is_a_model_to_start_from(cli: Cli, dataset: Path, run: Path, tmp_path: Path) -> None:
    assert cli("export", "onnx", run, "--out", tmp_path / "m.onnx", "--precision", "fp16").code == 0
    done = cli("train", *SMALL, f"model.weights={tmp_path / 'm.onnx'}", "train.epochs=1", "optim.lr=1e-12",
               "--data", dataset, "--out", tmp_path / "tuned")  # fmt: skip
    assert done.code == 0, done.err
    before, after = load_file(run / "model.safetensors"), load_file(tmp_path / "tuned" / "model.safetensors")
    name = next(k for k, v in before.items() if k.endswith("weight") and v.ndim == 4)
    np.testing.assert_allclose(after[name], before[name].astype(np.float16).astype(np.float32), atol=1e-6)


def test_evaluation_refuses_another_set_of_classes(cli: Cli, dataset: Path, run: Path, tmp_path: Path) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(dataset, other)
    text = (other / "dataset.yaml").read_text().replace("lane marking", "kerb")
    (other / "dataset.yaml").write_text(text)
    done = cli("evaluate", run, "--data", other)
    assert done.code == 2
    assert "kerb" in done.err
