"""Sweeps: every variant trained and scored alike, finished ones taken from disk, an interrupted one resumed."""

from __future__ import annotations

import csv
import errno
import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from samples import Outcome

from lanecli.data.synthesise import synthesise
from lanecli.errors import InputError
from lanecli.training import sweep
from lanecli.training.sweep_file import read_sweep
from lanecli.training.sweep_table import latex_lines, summary, table_lines

Cli = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time a network five times, no longer."""
    monkeypatch.setattr(sweep, "_TIMED", 0.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tiny scenes."""
    folder = tmp_path_factory.mktemp("sweep") / "scenes"
    synthesise(folder, count=6, size=(96, 64), seed=21, val=0.34, workers=1)
    return folder


def sweep_file(path: Path, **variants: list[str]) -> Path:
    """A sweep over tiny networks."""
    base = {
        "model": {"name": "unet", "encoder": "resnet18", "args": {"encoder_depth": 3, "decoder_channels": [8, 8, 8]}},
        "data": {"geometry": {"size": [64, 32]}, "workers": 0},
        "train": {"batch": 2, "epochs": 2, "precision": "fp32"},
    }
    path.write_text(yaml.safe_dump({"base": base, "variants": variants}, sort_keys=False))
    return path


def test_variants_are_compared_and_not_trained_twice(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    file = sweep_file(tmp_path / "s.yaml", ce=["loss=ce"], dice=["loss=dice"])
    done = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    first = done.json()
    assert [row["variant"] for row in first] == ["ce", "dice"]
    for row in first:
        rows = list(csv.DictReader((tmp_path / "o" / row["variant"] / "metrics.csv").open()))
        assert float(rows[-1]["val/miou_foreground"]) == row["lane_iou"]
    assert {row["variant"] for row in csv.DictReader((tmp_path / "o" / "table.csv").open())} == {"ce", "dice"}
    before = (tmp_path / "o" / "ce" / "model.safetensors").stat().st_mtime_ns
    again = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o", "--json")
    assert again.json() == first
    assert (tmp_path / "o" / "ce" / "model.safetensors").stat().st_mtime_ns == before


def test_models_are_scored_on_further_sets(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    for name, seed in (("near", 31), ("far", 32)):
        synthesise(tmp_path / name, count=4, size=(96, 64), seed=seed, val=0.5, workers=1)
    file, out = sweep_file(tmp_path / "s.yaml", ce=["loss=ce", "train.epochs=1"]), tmp_path / "o"
    sets = [{"root": str(tmp_path / "near")}, {"root": str(tmp_path / "far"), "split": "train"}]
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "sets": sets, "seeds": 2, "speeds": False}))
    done = cli("sweep", file, "--data", dataset, "--out", out, "--json")
    assert done.code == 0, done.err
    (row,) = done.json()
    for run in row["runs"]:
        assert run["mean_of_sets"] == pytest.approx((run["set/near val"] + run["set/far train"]) / 2)
    assert row["mean_of_sets"] == pytest.approx(statistics.fmean(run["mean_of_sets"] for run in row["runs"]))
    for name, folder, split in (("near val", "near", "val"), ("far train", "far", "train")):
        line = ("--data", tmp_path / folder, "--split", split, "--precision", "fp32", "--backend", "torch", "--json")
        alone = cli("evaluate", out / "ce" / "seed-1", *line).json()
        assert row["runs"][1][f"set/{name}"] == pytest.approx(alone["miou_foreground"], abs=1e-9)
    head = (out / "table.md").read_text().splitlines()[2]
    assert head.startswith("| variant | near val | far train | mean of sets | foreground IoU |")
    again = cli("sweep", file, "--data", dataset, "--out", out, "--json")
    assert again.json() == done.json()
    assert "scoring on" not in again.err
    # pictures that the models were trained on
    sets = [{"root": str(dataset), "split": "train"}]
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "sets": sets}))
    refused = cli("sweep", file, "--data", dataset, "--out", out)
    assert refused.code == 2
    assert "was trained on 100 % of the pictures of 'scenes train'" in refused.err


def test_the_mean_of_the_sets_decides_the_order() -> None:
    rows = [
        {"variant": name, "lane_iou": lane, "set/a": a, "set/b": b, "mean_of_sets": (a + b) / 2}
        for name, lane, a, b in (("one", 0.9, 0.1, 0.2), ("two", 0.1, 0.3, 0.6))
    ]
    lines = table_lines(rows)
    assert lines[0] == "| variant | a | b | mean of sets | foreground IoU |"
    assert lines[2:] == ["| two | 0.300 | 0.600 | 0.450 | 0.100 |", "| one | 0.100 | 0.200 | 0.150 | 0.900 |"]


def test_a_sweep_of_an_earlier_version_is_timed(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    file, out = sweep_file(tmp_path / "s.yaml", ce=["train.epochs=1"]), tmp_path / "o"
    (row,) = cli("sweep", file, "--data", dataset, "--out", out, "--json").json()
    assert row.pop("milliseconds") > 0
    (out / "ce" / "result.json").write_text(json.dumps(row))
    (again,) = cli("sweep", file, "--data", dataset, "--out", out, "--json").json()
    assert again.pop("milliseconds") > 0
    assert again == row


def test_an_interrupted_sweep_goes_on(cli: Cli, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lanecli.training import loop

    file = sweep_file(tmp_path / "s.yaml", one=["train.seed=1"], two=["train.seed=2"])
    whole = cli("sweep", file, "--data", dataset, "--out", tmp_path / "whole", "--json").json()
    original, calls = loop.Run._after_step, 0

    def interrupt(self: loop.Run, *arguments: float) -> None:
        nonlocal calls
        calls += 1
        original(self, *arguments)
        if calls == 6:  # in the second variant
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.Run, "_after_step", interrupt)
    assert cli("sweep", file, "--data", dataset, "--out", tmp_path / "parts").code == 130
    monkeypatch.setattr(loop.Run, "_after_step", original)
    parts = cli("sweep", file, "--data", dataset, "--out", tmp_path / "parts", "--json").json()
    assert [row["lane_iou"] for row in parts] == [row["lane_iou"] for row in whole]


class KilledError(BaseException):
    """The process ends here."""


def test_a_variant_killed_after_its_last_state_is_finished(
    cli: Cli, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = sweep_file(tmp_path / "s.yaml", one=["train.epochs=1"])

    def killed(*_arguments: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "_scored", killed)
        assert cli("sweep", file, "--data", dataset, "--out", tmp_path / "o").code == 1
    assert (tmp_path / "o" / "one" / "last").is_dir()
    assert not (tmp_path / "o" / "one" / "result.json").exists()
    done = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    (row,) = done.json()
    last = list(csv.DictReader((tmp_path / "o" / "one" / "metrics.csv").open()))[-1]
    assert row["lane_iou"] == float(last["val/miou_foreground"])
    assert row["images_per_second"] is None


def test_a_full_disk_is_no_result(cli: Cli, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lanecli.training import checkpoint

    file = sweep_file(tmp_path / "s.yaml", one=["train.epochs=1"], two=["train.epochs=1", "train.seed=3"])
    original, calls = checkpoint.save_file, 0

    def full(tensors: object, path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    done = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o", "--json")
    assert done.code == 1
    assert "No space left" in done.err
    first, second = done.json()
    assert "No space left" in first["failed"]
    assert second["lane_iou"] is not None
    done = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    assert all(row["lane_iou"] is not None for row in done.json())


def test_a_failure_of_an_earlier_version_is_tried_again(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    file, out = sweep_file(tmp_path / "s.yaml", one=["train.epochs=1"]), tmp_path / "o"
    (out / "one").mkdir(parents=True)
    (out / "one" / "result.json").write_text(json.dumps({"variant": "one", "failed": "No space left on device"}))
    assert cli("sweep", file, "--data", dataset, "--out", out, "--json").json()[0]["lane_iou"] is not None


def test_a_variant_that_cannot_be_built_fails_alone(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    file = sweep_file(tmp_path / "s.yaml", odd=["loss=cee"], fine=["train.epochs=1"])
    done = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o", "--json")
    assert done.code == 1
    odd, fine = done.json()
    assert "unknown loss 'cee'" in odd["failed"]
    assert fine["lane_iou"] is not None
    assert "| odd | failed: unknown loss 'cee'" in (tmp_path / "o" / "table.md").read_text()
    assert "1 of 2 variants failed: odd" in done.err
    sweep_file(tmp_path / "s.yaml", odd=["loss=ce", "train.epochs=1"], fine=["train.epochs=1"])
    done = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err  # mended, it is another configuration in the same folder


def test_what_no_variant_can_do_without_is_said_once(cli: Cli, tmp_path: Path) -> None:
    file = sweep_file(tmp_path / "s.yaml", one=[], two=["loss=ce"])
    done = cli("sweep", file, "--data", tmp_path / "nowhere", "--out", tmp_path / "o")
    assert done.code == 2
    assert done.err.strip().splitlines()[-1].startswith("error: ")
    assert "not a prepared dataset" in done.err


def test_a_grid_with_seeds(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    file = sweep_file(tmp_path / "s.yaml")
    tree = yaml.safe_load(file.read_text())
    del tree["variants"]
    tree["base"]["train"]["epochs"] = 1
    tree |= {"grid": {"loss": ["ce", "ce+dice"], "optim.lr": [0.01]}, "seeds": 2}
    file.write_text(yaml.safe_dump(tree, sort_keys=False))
    done = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    rows = done.json()
    assert [row["variant"] for row in rows] == ["ce, lr=0.01", "ce+dice, lr=0.01"]
    for row in rows:
        scores = [run["lane_iou"] for run in row["runs"]]
        assert [run["seed"] for run in row["runs"]] == [0, 1]
        assert row["lane_iou"] == pytest.approx(statistics.fmean(scores))
        assert row["lane_iou_sd"] == pytest.approx(statistics.stdev(scores))
        assert (tmp_path / "o" / row["variant"] / "seed-1" / "model.safetensors").is_file()
    assert "1/4 ce, lr=0.01, seed 0" in done.err
    assert "4/4 ce+dice, lr=0.01, seed 1, less than a minute left" in done.err
    page = (tmp_path / "o" / "table.md").read_text()
    assert "Foreground IoU: pixels are summed over all pictures" in page
    assert "± standard deviation (n - 1) over 2 seeds" in page
    first = next(line for line in page.splitlines() if line.startswith("| ce, "))
    assert f"{rows[0]['lane_iou']:.3f} ± {rows[0]['lane_iou_sd']:.3f}" in first
    assert len(list(csv.DictReader((tmp_path / "o" / "runs.csv").open()))) == 4
    assert (tmp_path / "o" / "table.png").stat().st_size > 1000


@pytest.mark.parametrize("name", ["..", ".", "", "../up", "a/b", "/abs", "C:x", "-x", "x" * 300, "a\\..\\b"])
def test_a_variant_is_a_folder_below_out(tmp_path: Path, name: str) -> None:
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"variants": {name: []}}))
    with pytest.raises(InputError, match="cannot be the name of the folder of a variant"):
        read_sweep(tmp_path / "s.yaml", [])


def test_a_grid_names_its_variants_and_keeps_lists_elsewhere(tmp_path: Path) -> None:
    tree = {
        "base": {"data": {"geometry": {"size": [64, 32]}}},
        "variants": {"small": ["train.batch=2"], "large": ["train.batch=4"]},
        "grid": {"model.name": ["unet", "deeplabv3plus"], "loss": [["ce", {"name": "dice"}], "ce"]},
        "seeds": [3, 5],
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    variants = read_sweep(tmp_path / "s.yaml", ["train.epochs=7"]).variants
    assert list(variants)[:3] == ["small, unet, ce+dice", "small, unet, ce", "small, deeplabv3plus, ce+dice"]
    assert len(variants) == 8
    first, second = variants["large, unet, ce+dice"].configs
    assert (first.train.seed, second.train.seed) == (3, 5)
    assert (first.train.batch, first.train.epochs, first.data.geometry.size) == (4, 7, (64, 32))
    assert [term.name for term in first.loss] == ["ce", "dice"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("variants: 3", "variants: "),
        ("base: {}", "neither 'variants' nor 'grid'"),
        ("grid: {loss: []}", "grid.loss has no value"),
        ("grid: {loss: ce}", "grid.loss"),
        ("variants: {a: []}\nseeds: 0", "seeds must be a number from 1"),
        ("variants: {a: [], A: []}", "two variants have the name 'A'"),
        ("variant: {a: []}", "did you mean 'variants'"),
        ("grid: {optim.lr: [[1, 2]]}", "variant 'lr=_1_2'"),
        ("variants: [", "not readable as YAML"),
    ],
)
def test_what_is_no_sweep_file(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_sweep(tmp_path / "s.yaml", [])
    assert says in str(caught.value)
    assert str(tmp_path / "s.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tables_of_classes_for_paper_and_page() -> None:
    runs = [
        {"seed": n, "lane_iou": v, "miou": v, "dice": v, "precision": v, "recall": v, "iou/background": 0.9,
         "iou/pole_1": v, "iou/fence": None, "parameters": 2_000_000, "milliseconds": 12.34, "images_per_second": None,
         "seconds": 3.0}
        for n, v in enumerate((0.2, 0.4))
    ]  # fmt: skip
    rows = [summary("a & b|c", runs), summary("down", [{"variant": "down", "failed": "loss\nis nan_1"}])]
    assert rows[0]["lane_iou_sd"] == pytest.approx(statistics.stdev([0.2, 0.4]))
    head, _, first, second = table_lines(rows)
    titles = [cell.strip() for cell in head.strip("|").split("|")]
    assert titles[:3] == ["variant", "foreground IoU", "mIoU"]
    assert {"pole_1", "fence", "ms"} <= set(titles)
    assert first.startswith("| a & b\\|c | 0.300 ± 0.141 |")
    assert second.startswith("| down | failed: loss is nan_1 |")
    latex = "\n".join(latex_lines(rows))
    assert "a \\& b|c & 0.300 $\\pm$ 0.141" in latex
    assert "pole\\_1" in latex
    assert "\\multicolumn" in latex
    assert "nan\\_1" in latex


def test_bad_sweep_files_are_named(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    file = sweep_file(tmp_path / "s.yaml", fine=["loss=ce"], worse=["train.epoch=1"])
    done = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o")
    assert done.code == 2
    assert "variant 'worse'" in done.err
    assert "train.epochs" in done.err
    (tmp_path / "t.yaml").write_text("variants: 3\n")
    assert cli("sweep", tmp_path / "t.yaml", "--out", tmp_path / "o").code == 2
    assert cli("sweep", tmp_path / "nowhere.yaml", "--out", tmp_path / "o").code == 2
    (tmp_path / "u.yaml").write_text("variants: {../up: []}\n")
    assert "../up" in cli("sweep", tmp_path / "u.yaml", "--out", tmp_path / "o").err


def test_another_configuration_in_the_folder_is_refused(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    file = sweep_file(tmp_path / "s.yaml", one=[])
    assert cli("sweep", file, "train.epochs=1", "--data", dataset, "--out", tmp_path / "o").code == 0
    done = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o")
    assert done.code == 2
    assert "another configuration" in done.err
