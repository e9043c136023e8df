"""MODEL on the command line: files, run folders, shipped names."""

from __future__ import annotations

from pathlib import Path

import pytest

from lanecli import shipped
from lanecli.errors import InputError
from lanecli.shipped import configs_folder, find_model, models_folder, shipped_models


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three shipped models, and an empty working folder."""
    folder = tmp_path / "package" / "assets" / "models"
    folder.mkdir(parents=True)
    for name in ("lane.onnx", "lane.safetensors", "small.onnx", "large.safetensors", "notes.txt"):
        (folder / name).write_bytes(b"x")
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "package")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def test_shipped_names_are_the_model_files(models: Path) -> None:
    assert models_folder() == models
    assert shipped_models() == ["lane", "large", "small"]


@pytest.mark.parametrize(
    ("name", "prefer", "file"),
    [
        ("lane", ".onnx", "lane.onnx"),
        ("lane", ".safetensors", "lane.safetensors"),
        ("small", ".safetensors", "small.onnx"),
        ("large", ".onnx", "large.safetensors"),
    ],
)
def test_a_shipped_name_leads_to_the_preferred_file(models: Path, name: str, prefer: str, file: str) -> None:
    assert find_model(name, prefer) == models / file


def test_a_checkout_keeps_its_models_beside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package").mkdir()
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "package")
    assert models_folder() == tmp_path / "assets" / "models"
    assert configs_folder() == tmp_path / "configs"
    assert shipped_models() == []
    (tmp_path / "package" / "configs").mkdir()
    assert configs_folder() == tmp_path / "package" / "configs"


def test_files_and_runs_are_found(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "ein Lauf ü"
    run.mkdir()
    with pytest.raises(InputError, match=r"holds no model\.safetensors: it is not a finished training run"):
        find_model(str(run))
    (run / "model.safetensors").write_bytes(b"x")
    assert find_model(str(run)) == run / "model.safetensors"
    assert find_model(str(run / "model.safetensors")) == run / "model.safetensors"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_model("~/ein Lauf ü") == run / "model.safetensors"


def test_a_folder_of_the_same_name_does_not_hide_a_shipped_model(models: Path) -> None:
    Path("lane").mkdir()
    assert find_model("lane") == models / "lane.onnx"
    (Path("lane") / "model.safetensors").write_bytes(b"x")
    assert find_model("lane") == Path("lane/model.safetensors")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lame", r"no model 'lame': .*did you mean 'lane'"),
        ("lame.onnx", r"^no such model file: lame\.onnx$"),
        ("runs/lame", "^no such model file: runs/lame$"),
        ("~nobody-of-this-name/x", "^no such model file: ~nobody"),
    ],
)
def test_what_is_no_model_is_refused(models: Path, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_model(name)
