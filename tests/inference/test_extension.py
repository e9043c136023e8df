"""Every part of a prediction is one class and one registry line: toys of each kind run through the commands."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from samples import Outcome

from lanecli.data.manifest import DatasetInfo, Sample, write_dataset
from lanecli.geometry import Geometry
from lanecli.inference.backends import BACKENDS
from lanecli.inference.backends.base import Answer, Backend, Load, Ready
from lanecli.inference.combiners import COMBINERS, Combined
from lanecli.inference.measures import MEASURES
from lanecli.inference.sinks import SINKS, Sink, SinkJob
from lanecli.inference.steps import STEPS
from lanecli.inference.views import VIEWS, View
from lanecli.labelmaps import label_map
from lanecli.media import write_mask, write_picture
from lanecli.metrics import METRICS, Metric, Truth
from lanecli.modelfile import ModelSpec, read_spec, write_safetensors
from lanecli.models.build import build_network
from lanecli.models.outputs import OUTPUTS, Output

PACKAGE = Path(__file__).parents[2] / "lanecli"
Cli = Callable[..., Outcome]


@pytest.fixture
def registries() -> Iterator[None]:
    """Put every registry back as it was."""
    kinds = (BACKENDS, COMBINERS, MEASURES, SINKS, STEPS, VIEWS, METRICS, OUTPUTS)
    before = [(dict(kind._entries), dict(kind._names)) for kind in kinds]
    yield
    for kind, (entries, names) in zip(kinds, before, strict=True):
        kind._entries, kind._names = entries, names


class LastWord:
    """The combination rule of a toy: the last member is right."""

    needs = frozenset({"planes"})

    def begin(self, _label_map: Any) -> LastWord:
        return self

    def add(self, answer: Any) -> None:
        self.planes = answer.planes()

    def result(self) -> Combined:
        return Combined(self.planes)


class Counted:
    """A measure: how many members were asked, and what the toy output of the network says."""

    needs = frozenset({"toy_output"})
    maps = ("asked", "said")
    samples = False

    def check(self, members: Any) -> None:
        pass

    def begin(self, _label_map: Any) -> Counted:
        self.number = 0
        return self

    def add(self, answer: Any) -> None:
        self.number += 1
        self.said = answer.map("toy_output")

    def result(self, planes: np.ndarray) -> dict[str, np.ndarray]:
        return {"asked": np.full(planes.shape[1:], self.number, np.float32), "said": self.said}


class Upside:
    """A step: it adds the map `upside`, and it counts what it has seen of the source."""

    needs = frozenset({"asked"})
    gives = frozenset({"upside"})

    def check(self, _label_map: Any) -> None:
        pass

    def start(self, context: Any) -> Callable[[Any], Any]:
        seen = iter(range(1000))
        return lambda p: replace(p, maps={**p.maps, "upside": p.maps["asked"][::-1] + next(seen)})


class Numbers(Sink):
    """A sink: JSON of what the maps hold."""

    needs = frozenset({"asked", "said", "upside"})

    def __init__(self, job: SinkJob) -> None:
        self.path, self.rows = job.path, []
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, prediction: Any) -> None:
        self.rows.append({name: float(plane.mean()) for name, plane in prediction.maps.items()})

    def close(self, interrupted: bool = False) -> None:
        self.path.write_text(json.dumps(self.rows))


class Pictures(Metric):
    """A metric: how many pictures, and the mean of a map."""

    needs = frozenset({"upside"})
    definitions: ClassVar = {"pictures": "how many there were"}

    def __init__(self, _label_map: Any) -> None:
        self.counts = {"n": np.zeros(2)}

    def update(self, prediction: Any, truth: Truth) -> None:
        self.counts = {"n": self.counts["n"] + [1, prediction.maps["upside"].mean()]}

    def scores(self) -> dict[str, Any]:
        return {"pictures": self.counts["n"][0], "upside": self.counts["n"][1] / self.counts["n"][0]}


class Sum(Output):
    """An output of the network: the sum of its features."""

    needs = ("features",)

    def forward(self, found: Any) -> torch.Tensor:
        return found["features"].sum(1)


class Stubborn(Backend):
    """A backend that finds class 1 everywhere, whatever the file."""

    name, precision, device, depth = "stubborn", "fp32", "cpu", 1

    def __init__(self, load: Load) -> None:
        self.load, self.spec, self.size = load, read_spec(load.path), (64, 32)

    def submit(self, pictures: np.ndarray, seed: int | None = None) -> Answer:
        shape = (len(pictures), 1, 32, 64)
        flat = np.ones((len(pictures), 32, 64), np.float32)
        found = {"planes": np.ones(shape, np.float32), "toy_output": flat}
        return Ready({name: found[name] for name in self.load.outputs})


def thrice() -> list[View]:
    return [View(), View(mirror=True), View(scale=0.5)]


@pytest.fixture
def toys(registries: None) -> None:
    COMBINERS.add("last_word", LastWord)
    MEASURES.add("counted", Counted)
    STEPS.add("upside", Upside)
    SINKS.add("numbers", Numbers, picture=".numbers.json", video=".numbers.json")
    METRICS.add("pictures", Pictures)
    OUTPUTS.add("toy_output", Sum)
    BACKENDS.add("stubborn", Stubborn)
    VIEWS.add("thrice", thrice)


@pytest.fixture
def model(tmp_path: Path, toys: None) -> Path:
    """A network of random weights that has the toy output."""
    arguments = {"encoder": "resnet18", "encoder_depth": 3, "decoder_channels": [8, 8, 8]}
    spec = ModelSpec("unet", arguments, label_map("lane"), Geometry((64, 32)), outputs={"toy_output": {}})
    torch.manual_seed(0)
    path = tmp_path / "m.safetensors"
    write_safetensors(path, build_network(spec).state_dict(), spec)
    return path


def test_toys_of_every_kind_run_through_predict_and_evaluate(cli: Cli, model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    samples = []
    for number in range(3):
        image, mask = data / "images" / f"{number}.png", data / "masks" / f"{number}.png"
        write_picture(image, np.random.default_rng(number).integers(0, 256, (32, 64, 3), np.uint8))
        write_mask(mask, np.zeros((32, 64), np.uint8))
        samples.append(Sample(image, mask, "val", f"road{number % 2}"))
    write_dataset(DatasetInfo(data, tuple(samples), label_map("lane")))

    asked = ("--model", model, "--model", model, "--combine", "last_word", "--tta", "thrice", "--precision", "fp32")
    done = cli("predict", data / "images", *asked, "--uncertainty", "counted", "--save", "numbers,masks",
               "--out", tmp_path / "o", "--json")  # fmt: skip
    assert done.code == 0, done.err
    [row] = json.loads((tmp_path / "o" / "1.numbers.json").read_text())
    assert (row["asked"], row["upside"]) == (6, 6)  # two models in three views; a fresh state for each source
    assert row["said"] != 0
    assert done.json()["sources"][0]["uncertainty"]["asked"] == 6

    done = cli("evaluate", model, "--data", data, "--precision", "fp32", "--json")
    assert done.code == 0, done.err
    scores = done.json()
    assert (scores["pictures"], scores["upside"]) == (3, 1)
    assert {group: each["pictures"] for group, each in scores["groups"].items()} == {"road0": 2, "road1": 1}
    assert scores["intervals"]["pictures"] == [2, 4]  # one road twice

    done = cli("evaluate", model, "--data", data, "--backend", "stubborn", "--json")
    assert done.code == 0, done.err
    assert done.json()["recall"]["background"] == 0
    assert done.json()["compute"]["backend"] == "stubborn"


def test_a_toy_output_comes_from_the_same_pass_and_lies_over_the_picture(model: Path) -> None:
    network = build_network(read_spec(model)).eval()
    passes = []
    inside = network.architecture.extract_features
    network.architecture.extract_features = lambda pictures: passes.append(1) or inside(pictures)
    with torch.inference_mode():
        found = network(torch.zeros(2, 30, 50, 3, dtype=torch.uint8), ("logits", "toy_output"))
    assert len(passes) == 1
    assert set(found) == {"logits", "toy_output"}
    assert found["toy_output"].shape == (2, 30, 50)


@pytest.mark.parametrize(
    ("folder", "name"), [("combiners", "geometric"), ("views", "flip"), ("measures", "entropy"), ("sinks", "masks")]
)
def test_a_part_is_one_short_file_and_one_registry_line(folder: str, name: str) -> None:
    own = PACKAGE / "inference" / folder / f"{name}.py"
    assert len(own.read_text().splitlines()) < 150
    places = [path for part in ("inference", "cli") for path in (PACKAGE / part).rglob("*.py") if path != own]
    # "entropy" is also the name of a map that other measures give, and of what stacking may be shown
    shared = {"entropy": ("measures", "meta.py", "fitting.py")}.get(name, ())
    places = [p for p in places if not set(shared) & set(p.parts) or p == own.parent / "__init__.py"]
    for path in places:
        named = [word for word in words_of(path) if word == name or f"inference.{folder}.{name}" in word]
        if path == own.parent / "__init__.py":
            assert len(named) == 2, named  # the registry line: the name, and where its class is
        else:
            assert not named, (path, named)


def words_of(path: Path) -> list[str]:
    """Every name and string in a module that is code, not documentation."""
    tree = ast.parse(path.read_text())
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
    }
    words = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            words.append(node.value)
        elif isinstance(node, ast.ImportFrom):
            words.append(node.module or "")
    return words
