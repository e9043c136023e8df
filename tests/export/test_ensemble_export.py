"""One graph of several models says what the ensemble file says, in both runtimes and from frames of any size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
import pytest
import torch
import yaml
from samples import Outcome

from lanecli.data.synth import render_scene
from lanecli.export.combine import break_ties
from lanecli.export.ensemble import _whole
from lanecli.geometry import Geometry
from lanecli.inference.meta import MetaModel
from lanecli.inference.recipe import Recipe
from lanecli.labelmaps import label_map
from lanecli.labels import LabelClass, LabelMap, decide
from lanecli.media import Frame, read_mask, write_picture
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.build import build_network

Cli = Callable[..., Outcome]
SIZES = ((320, 180), (211, 97))
GEOMETRIES = (Geometry((96, 64), (0.1, 0.25, 0, 0.05), "pad"), Geometry((64, 48)))


@pytest.fixture(scope="module")
def road() -> np.ndarray:
    return render_scene(7, SIZES[0]).image


def saved(path: Path, seed: int, classes: LabelMap, geometry: Geometry) -> None:
    torch.manual_seed(seed)
    spec = ModelSpec("erfnet", {"width": 0.25}, classes, geometry, temperature=0.2)
    network = build_network(spec)
    with torch.no_grad():  # every class is chosen somewhere
        logits = network.eval().logits(torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8))
        head = [m for m in network.modules() if isinstance(m, torch.nn.ConvTranspose2d | torch.nn.Conv2d)][-1]
        head.bias -= 0.2 * logits.mean((0, 2, 3))
    write_safetensors(path, network.state_dict(), spec)


def meta_model(path: Path, planes: int, names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(3)
    width = 2 * (2 * (planes + 1) + 3)
    arrays = [rng.normal(size=size).astype(np.float32) for size in ((5, width), (5,), (planes, 5), (planes,))]
    MetaModel(("probabilities", "entropy", "picture"), 2, planes, 3, *arrays, classes=names).write(path)


def written(folder: Path, rule: str, classes: LabelMap) -> Path:
    """An ensemble file of two models; the second has its classes in another order."""
    order = tuple(reversed(range(len(classes.classes))))
    turned = LabelMap(
        "turned",
        tuple(classes.classes[i] for i in order),
        background=None if classes.background is None else order.index(classes.background),
        multilabel=classes.multilabel,
    )
    for number, known in enumerate((classes, turned)):
        saved(folder / f"{number}.safetensors", number, known, GEOMETRIES[number])
    tree: dict = {
        "members": [{"model": f"{n}.safetensors", "weight": w} for n, w in enumerate((0.6, 0.4))],
        "combine": rule,
    }
    if rule in ("mean", "stacking"):
        for member in tree["members"]:
            del member["weight"]
    if rule == "stacking":
        meta_model(folder / "m.safetensors", len(classes.plane_classes), classes.names)
        tree["meta"] = "m.safetensors"
    (folder / "ens.yaml").write_text(yaml.safe_dump(tree))
    return folder / "ens.yaml"


def plain(count: int, several: bool = False) -> LabelMap:
    names = tuple(LabelClass(f"c{i}", (i, i, i)) for i in range(count))
    return LabelMap("m", names, background=None if several else 0, multilabel=several)


KINDS = [
    *((rule, classes) for rule in ("stacking", "logit_mean", "geometric", "vote") for classes in (None, 3)),
    ("stacking", "several"),
    ("mean", "several"),
    ("weighted", 3),
]


@pytest.mark.parametrize(("rule", "kind"), KINDS)
def test_the_graph_is_what_predict_does_with_the_ensemble_file(
    tmp_path: Path, road: np.ndarray, rule: str, kind: object
) -> None:
    classes = {None: label_map("lane"), 3: plain(3), "several": plain(2, True)}[kind]
    path = written(tmp_path, rule, classes)
    whole, _, _ = _whole(path, False)
    asked = Recipe((str(path),), precision="fp32", backend="torch").open({"planes"})
    for size in SIZES:
        picture = np.ascontiguousarray(road[: size[1], : size[0]])
        wanted = asked.predict(Frame.from_rgb(picture))
        with torch.inference_mode():
            class_map, probabilities = whole(torch.from_numpy(picture[None]))
        np.testing.assert_allclose(probabilities[0], wanted.probabilities, atol=1e-5)
        assert (class_map[0].numpy() == wanted.class_map).mean() > 0.9999


@pytest.mark.slow
def test_a_file_of_one_size_says_it_in_both_runtimes(cli: Cli, tmp_path: Path, road: np.ndarray) -> None:
    path = written(tmp_path, "stacking", label_map("lane"))
    done = cli("export", "onnx", path, "--static", "--json")
    assert done.code == 0, done.err
    file = tmp_path / "ens.onnx"
    frame = Frame.from_rgb(np.ascontiguousarray(road[20:84, 30:126]))
    wanted = Recipe((str(path),), precision="fp32", backend="torch").open({"planes"}).predict(frame)
    alone = Recipe((str(file),)).open({"planes"}).predict(frame)
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled({"pictures": frame.rgb()[None]})
    np.testing.assert_allclose(alone.planes, wanted.planes, atol=1e-4)
    np.testing.assert_allclose(found["probabilities"][0], wanted.probabilities, atol=1e-4)
    assert (found["class_map"][0] == wanted.class_map).mean() > 0.999


CASES = [
    pytest.param("stacking", label_map("lane"), marks=pytest.mark.slow),
    pytest.param("weighted", plain(3), marks=pytest.mark.slow),
    pytest.param("stacking", plain(3), marks=pytest.mark.slow),
    pytest.param("stacking", plain(2, True), marks=pytest.mark.slow),
    pytest.param("logit_mean", label_map("lane"), marks=pytest.mark.slow),
    pytest.param("logit_mean", plain(3), marks=pytest.mark.slow),
    pytest.param("geometric", label_map("lane"), marks=pytest.mark.slow),
    pytest.param("geometric", plain(3), marks=pytest.mark.slow),
    pytest.param("vote", plain(3), marks=pytest.mark.slow),
    pytest.param("mean", plain(2, True), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("rule", "classes"), CASES)
def test_both_runtimes_say_what_the_ensemble_file_says(
    cli: Cli, tmp_path: Path, road: np.ndarray, rule: str, classes: LabelMap
) -> None:
    path = written(tmp_path, rule, classes)
    done = cli("export", "onnx", path, "--json")
    assert done.code == 0, done.err
    file = tmp_path / "ens.onnx"
    assert done.json()["largest_difference"] < 1e-3
    session = onnxruntime.InferenceSession(str(file))
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    yaml_way = Recipe((str(path),), precision="fp32", backend="torch").open({"planes"})
    for size in SIZES:
        picture = np.ascontiguousarray(road[: size[1], : size[0]])
        wanted = yaml_way.predict(Frame.from_rgb(picture))
        found = session.run(["class_map", "probabilities"], {"pictures": picture[None]})
        other = compiled({"pictures": picture[None]})
        for class_map, probabilities in (found, (other["class_map"], other["probabilities"])):
            gap = np.abs(probabilities[0] - wanted.probabilities).max(0)
            # a level that rounds the other way moves a probability somewhere, a vote as a whole
            assert (gap > 1e-3).mean() < 2e-3, gap.max()
            assert (class_map[0] == wanted.class_map).mean() > 0.998
    if rule == "vote":
        assert cli("predict", "x.png", "--model", file).code == 2
        return
    # and lanecli takes the file as it takes any model
    write_picture(tmp_path / "road.png", road)
    for model in (file, path):
        line = ("--model", model, "--save", "masks", "--precision", "fp32", "--out", tmp_path / model.suffix[1:])
        ran = cli("predict", tmp_path / "road.png", *line)
        assert ran.code == 0, ran.err
    one, other = (read_mask(tmp_path / kind / "road.mask.png") for kind in ("onnx", "yaml"))
    assert (one == other).mean() > 0.998


def test_what_has_no_place_in_a_graph_is_refused(cli: Cli, tmp_path: Path) -> None:
    path = written(tmp_path, "mean", label_map("lane"))
    tree = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**tree, "tta": "flip"}))
    done = cli("export", "onnx", path)
    assert done.code == 2
    assert "remove tta" in done.err
    path.write_text(yaml.safe_dump({**tree, "combine": "stacking"}))
    done = cli("export", "onnx", path)
    assert done.code == 2
    assert "has no meta-model" in done.err
    assert not (tmp_path / "ens.onnx").exists()


@pytest.mark.parametrize("count", [2, 3])
def test_ties_are_decided_as_labels_decides_them(count: int) -> None:
    classes = plain(count)
    rng = np.random.default_rng(0)
    votes = rng.integers(0, 5, (len(classes.plane_classes), 20, 20)).astype(np.float32) / 4
    ties = rng.uniform(size=votes.shape).astype(np.float32)
    from lanecli.export.whole import chosen_classes

    decided = break_ties(torch.from_numpy(votes[None]), torch.from_numpy(ties[None]), classes)
    assert np.array_equal(chosen_classes(decided, classes)[0], decide(votes, classes, ties).class_map)
