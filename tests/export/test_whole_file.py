"""The exported file alone, as a program without lanecli runs it, says what `lanecli predict` says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from samples import Outcome

from lanecli.data.synth import render_scene
from lanecli.export.onnx import export_onnx
from lanecli.geometry import Geometry
from lanecli.inference.recipe import Recipe
from lanecli.labelmaps import label_map
from lanecli.labels import LabelClass, LabelMap
from lanecli.media import Frame, read_mask, write_picture
from lanecli.modelfile import ModelSpec
from lanecli.models.build import build_network
from lanecli.shipped import find_model

SIZES = ((960, 540), (1280, 720), (641, 353), (301, 217), (217, 301), (1000, 2001), (640, 352))
SEVERAL = LabelMap(
    "two", (LabelClass("a", (255, 0, 0)), LabelClass("b", (0, 0, 255))), background=None, multilabel=True
)


@pytest.fixture(scope="module")
def road() -> np.ndarray:
    """A procedural scene, (540, 960, 3) uint8 RGB."""
    return render_scene(7, (960, 540)).image


def of_size(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def in_onnxruntime(path: Path) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    session = onnxruntime.InferenceSession(str(path))
    return lambda pictures: tuple(session.run(["class_map", "probabilities"], {"pictures": pictures}))


def in_openvino(path: Path) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def answer(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = compiled({"pictures": pictures})
        return found["class_map"], found["probabilities"]

    return answer


def agree(path: Path, answer: Callable, picture: np.ndarray) -> None:
    """IoU of every class 0.995, probabilities to 1e-3 but for a pixel at the borders of classes."""
    wanted = (
        Recipe((str(path),), precision="fp32", backend="onnxruntime").open({"planes"}).predict(Frame.from_rgb(picture))
    )
    class_map, probabilities = answer(picture[None])
    assert class_map.dtype == np.uint8
    assert class_map.shape == (1, *picture.shape[:2])
    assert probabilities.shape == (1, *wanted.probabilities.shape)
    for number in np.unique(wanted.class_map):
        one, other = class_map[0] == number, wanted.class_map == number
        assert (one & other).sum() >= 0.995 * (one | other).sum(), number
    kernel = np.ones((3, 3), np.uint8)
    inside = cv2.dilate(wanted.class_map, kernel) == cv2.erode(wanted.class_map, kernel)
    gap = np.abs(probabilities[0] - wanted.probabilities).max(0)
    # a level that rounds the other way moves a probability somewhere; hardly anywhere does it move by so much
    assert (gap[inside] > 1e-3).mean() < 1e-3, gap[inside].max()


@pytest.mark.parametrize("runtime", [in_onnxruntime, in_openvino])
def test_the_shipped_file_at_seven_sizes(runtime: Callable, road: np.ndarray) -> None:
    path = find_model("lane")
    answer = runtime(path)
    for size in SIZES:
        agree(path, answer, of_size(road, size))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "geometry", "classes"),
    [
        ("cropped", Geometry((96, 64), (0, 40, 10, 0), frame=(960, 540)), label_map("lane")),
        ("padded", Geometry((96, 64), (0.1, 0.25, 0, 0.05), "pad"), label_map("apolloscape-8")),
        ("several labels", Geometry((96, 64)), SEVERAL),
        ("no size of its own", Geometry(None, (0, 0.5, 0, 0)), label_map("lane")),
    ],
)
def test_crops_bars_many_classes_and_several_labels(
    name: str, geometry: Geometry, classes: LabelMap, road: np.ndarray, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    spec = ModelSpec("erfnet", {"width": 0.25}, classes, geometry)
    network = build_network(spec).eval()
    export_onnx(network, spec, tmp_path / "m.onnx")
    for answer in (in_onnxruntime(tmp_path / "m.onnx"), in_openvino(tmp_path / "m.onnx")):
        for size in SIZES:
            agree(tmp_path / "m.onnx", answer, of_size(road, size))


def test_the_script_that_show_prints_runs_alone(cli: Callable[..., Outcome], road: np.ndarray, tmp_path: Path) -> None:
    write_picture(tmp_path / "road.png", of_size(road, (1001, 563)))
    done = cli("show", "lane", "--json")
    script = json.loads(done.out)["script"]
    assert len(script.splitlines()) <= 17
    assert "lanecli" not in script.replace(str(find_model("lane").resolve()), "")
    (tmp_path / "run.py").write_text(script)
    ran = subprocess.run(
        [sys.executable, "run.py", "road.png"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert not ran.stderr
    assert "lane marking" in ran.stdout
    assert (
        cli("predict", tmp_path / "road.png", "--save", "masks", "--precision", "fp32", "--out", tmp_path / "o").code
        == 0
    )
    one, other = read_mask(tmp_path / "mask.png") == 1, read_mask(tmp_path / "o" / "road.mask.png") == 1
    assert other.any()
    assert (one & other).sum() >= 0.995 * (one | other).sum()
    shown = cli("show", "lane").out
    assert all(line in shown for line in script.splitlines())
    assert "inputs        pictures (batch, height, width, 3) uint8" in shown
