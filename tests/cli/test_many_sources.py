"""Many sources at once: each succeeds, or fails by itself with a line of its own."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import Outcome, linear_model

from lanecli.geometry import Geometry
from lanecli.labels import LabelClass, LabelMap
from lanecli.media import read_mask, write_picture
from lanecli.modelfile import ModelSpec

Cli = Callable[..., Outcome]


def bad_pictures(folder: Path) -> list[str]:
    """Ten pictures that cannot be read, each for a reason of its own."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    folder.mkdir(parents=True)
    for name in ("cut.jpg", "scan.jpg", "cut.png", "deflate.png", "cut.webp", "cut.bmp", "cut.tif"):
        picture.save(folder / name)
    for name in ("cut.jpg", "cut.png", "cut.webp", "cut.bmp", "cut.tif"):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])
    data = (folder / "scan.jpg").read_bytes()
    (folder / "scan.jpg").write_bytes(data[: len(data) // 2] + b"\xff\xd9")  # it still ends in EOI
    png = bytearray((folder / "deflate.png").read_bytes())
    at = png.index(b"IDAT")
    end = at + 4 + int.from_bytes(png[at - 4 : at])
    png[at + 10 : at + 50] = bytes(40)
    png[end : end + 4] = zlib.crc32(png[at:end]).to_bytes(4)
    (folder / "deflate.png").write_bytes(png)
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no picture")
    (folder / "script.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    return [path.name for path in folder.iterdir()]


def test_one_good_and_ten_bad_pictures(cli: Cli, bright: Path, tmp_path: Path) -> None:
    names = bad_pictures(tmp_path / "in")
    assert len(names) == 10
    write_picture(tmp_path / "in" / "good.png", np.full((20, 30, 3), 200, np.uint8))
    done = cli("predict", tmp_path / "in", "--model", bright, "--save", "masks", "--out", tmp_path / "o", "--json")
    assert done.code == 1
    assert [path.name for path in (tmp_path / "o").glob("[!.]*")] == ["good.mask.png"]
    reports = {Path(report["source"]).name: report for report in done.json()["sources"]}  # type: ignore[index]
    assert set(reports) == {*names, "good.png"}
    assert [name for name, report in reports.items() if report["error"] is None] == ["good.png"]
    lines = done.err.splitlines()
    for name in names:
        assert name in reports[name]["error"]
        assert reports[name]["outputs"] == []
        assert sum(name in line for line in lines) == 1, done.err
    assert all(line.startswith(("error: ", "warning: ")) or "of 11" in line for line in lines), done.err


def test_nothing_but_bad_pictures_is_exit_code_2(cli: Cli, bright: Path, tmp_path: Path) -> None:
    bad_pictures(tmp_path / "in")
    done = cli("predict", tmp_path / "in", "--model", bright, "--out", tmp_path / "o", "--json")
    assert done.code == 2
    assert len(done.json()["sources"]) == 10  # type: ignore[index]
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("error", [ValueError("odd"), ZeroDivisionError(), MemoryError(), OSError(5, "bad sector")])
def test_mix_1x1_any_exception_of_one_source_is_its_own(
    cli: Cli, bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    from lanecli.inference.predictor import Predictor

    for name in ("a", "b", "c"):
        write_picture(tmp_path / "in" / f"{name}.png", np.full((1, 1, 3), 200, np.uint8))
    real, seen = Predictor.stream, []

    def stream(self: Predictor, *words: object) -> object:
        seen.append(words)
        if len(seen) == 2:
            raise error
        return real(self, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "stream", stream)
    done = cli("predict", tmp_path / "in", "--model", bright, "--save", "masks", "--out", tmp_path / "o", "--json")
    assert done.code == 1
    assert [bool(report["error"]) for report in done.json()["sources"]] == [False, True, False]  # type: ignore[index]
    assert "b.png" in done.err
    assert sorted(path.name for path in (tmp_path / "o").glob("[!.]*")) == ["a.mask.png", "c.mask.png"]


@pytest.mark.parametrize("stem", ["a" * 245, "車" * 80, "é" * 122])
def test_names_of_249_bytes_are_done(cli: Cli, bright: Path, tmp_path: Path, stem: str) -> None:
    write_picture(tmp_path / "in" / "first.png", np.zeros((8, 8, 3), np.uint8))
    os.rename(tmp_path / "in" / "first.png", tmp_path / "in" / f"{stem}.png")
    write_picture(tmp_path / "in" / "z.png", np.zeros((8, 8, 3), np.uint8))
    done = cli("predict", tmp_path / "in", "--model", bright, "--save", "overlay,masks", "--out", tmp_path / "o")
    assert done.code == 0, done.err
    assert len(list((tmp_path / "o").iterdir())) == 4


def test_own_outputs_are_no_sources_of_the_next_run(
    cli: Cli, bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`predict .` again and again, into folders of every kind of name."""
    write_picture(tmp_path / "trip" / "a.png", np.zeros((8, 8, 3), np.uint8))
    monkeypatch.chdir(tmp_path / "trip")
    for out in ([], [], ["--out", "results"], ["--out", "../trip/more/deep"], []):
        done = cli("predict", ".", "--model", bright, "--save", "overlay,masks", *out, "--json")
        assert done.code == 0, done.err
        assert len(done.json()["sources"]) == 1  # type: ignore[index]


@pytest.mark.parametrize("count", [127, 128, 254])
def test_many_classes_have_masks(cli: Cli, tmp_path: Path, count: int) -> None:
    """A drawing that cannot take them is left out; masks are not."""
    classes = tuple(LabelClass(f"class {n}", (n % 256, n // 2, 255 - n)) for n in range(count))
    spec = ModelSpec("levels", {}, LabelMap("many", classes), Geometry((16, 16)))
    # class c has the logit 2 c v - c c, which is largest where the level v is nearest to c
    weight = np.zeros((count, 3), np.float32)
    weight[:, 0] = 2 * np.arange(count)
    linear_model(tmp_path / "many.onnx", spec, weight, -np.square(np.arange(count)))
    levels = np.arange(count - 16, count, dtype=np.uint8).repeat(16).reshape(16, 16)
    write_picture(tmp_path / "in.png", np.stack([levels] * 3, -1))
    done = cli(
        "predict",
        tmp_path / "in.png",
        "--model",
        tmp_path / "many.onnx",
        "--save",
        "masks",
        "--precision",
        "fp32",
        "--out",
        tmp_path,
    )
    assert done.code == 0, done.err
    assert np.array_equal(read_mask(tmp_path / "in.mask.png"), levels)


def test_evaluate_without_a_model_takes_the_shipped_one(cli: Cli, tmp_path: Path) -> None:
    made = cli("synth", tmp_path / "scenes", "--count", 2, "--size", "128x96", "--val", "0.5", "--workers", 1)
    assert made.code == 0, made.err
    bare = cli("evaluate", "--data", tmp_path / "scenes", "--json")
    named = cli("evaluate", "lane", "--data", tmp_path / "scenes", "--json")
    assert bare.code == 0, bare.err
    assert bare.json()["iou"] == named.json()["iou"]  # type: ignore[index]
