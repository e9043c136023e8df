"""CONTRIBUTING.md: every example is a module and a registry line that work as they stand there."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import Fake, by_brightness, classes, frames, predictor
from samples import Outcome

from lanecli.data.formats import FORMATS
from lanecli.geometry import Geometry
from lanecli.inference.backends import BACKENDS, open_backend
from lanecli.inference.combiners import COMBINERS
from lanecli.inference.measures import MEASURES
from lanecli.inference.sinks import SINKS
from lanecli.inference.steps import STEPS
from lanecli.labelmaps import label_map
from lanecli.losses import LOSSES, build_loss
from lanecli.media import write_mask, write_picture
from lanecli.metrics import METRICS, Truth
from lanecli.modelfile import ModelSpec
from lanecli.models.build import build_network
from lanecli.models.registry import MODELS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (An? .+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE))
REGISTRIES = {
    "LOSSES": LOSSES,
    "MODELS": MODELS,
    "FORMATS": FORMATS,
    "BACKENDS": BACKENDS,
    "COMBINERS": COMBINERS,
    "MEASURES": MEASURES,
    "SINKS": SINKS,
    "METRICS": METRICS,
    "STEPS": STEPS,
}


@pytest.fixture
def added() -> Iterator[Callable[[str], None]]:
    """Adds a section's example; everything is put back as it was afterwards."""
    before = {name: (dict(r._entries), dict(r._names)) for name, r in REGISTRIES.items()}
    made: list[str] = []

    def add(section: str) -> None:
        file, line = re.findall(r"```python\n(.*?)```", SECTIONS[section], flags=re.DOTALL)
        path = file.splitlines()[0].removeprefix("# ")
        name = path.removesuffix(".py").replace("/", ".")
        module = types.ModuleType(name)
        sys.modules[name] = module
        made.append(name)
        exec(compile(file, path, "exec"), module.__dict__)
        assert line.splitlines()[0] == f"# the line in {Path(path).parent / '__init__.py'}".replace(
            "lanecli/models/__init__.py", "lanecli/models/registry.py"
        )
        exec(line, {**REGISTRIES, "_HERE": "lanecli.data.formats"})

    yield add
    for name in made:
        del sys.modules[name]
    for name, (entries, names) in before.items():
        REGISTRIES[name]._entries, REGISTRIES[name]._names = entries, names


def test_a_loss(added: Callable[[str], None]) -> None:
    added("A loss")

    class Term:
        name, weight, args = "exponential", 1.0, {}

    loss = build_loss([Term()], classes=2, mode="multiclass")
    logits = torch.tensor([[[[0.0, 9.0]], [[0.0, 1.0]]]], requires_grad=True)
    target = torch.tensor([[[0, 255]]])
    value = loss(logits, target)
    assert float(value.detach()) == pytest.approx(1.0)  # exp(ln 2) - 1, the ignored pixel left out
    value.backward()
    assert float(logits.grad[..., 1].abs().sum()) == 0


def test_a_model(added: Callable[[str], None]) -> None:
    added("A model")
    network = build_network(ModelSpec("tiny", {"dropout": 0.1}, label_map("lane"), Geometry((64, 32)))).eval()
    found = network(torch.zeros(2, 33, 50, 3, dtype=torch.uint8), ("logits", "features"))
    assert found["logits"].shape == (2, 2, 33, 50)
    assert found["features"].shape == (2, 16, 9, 13)


def test_a_dataset_format(added: Callable[[str], None], cli: Callable[..., Outcome], tmp_path: Path) -> None:
    added("A dataset format")
    for number in range(4):
        name = f"drive{number % 2}-{number}"
        write_picture(tmp_path / "in" / f"{name}.jpg", np.full((20, 30, 3), 90, np.uint8))
        write_mask(tmp_path / "in" / f"{name}.id.png", np.eye(20, 30, dtype=np.uint8))
    for out, named in (("out", ()), ("named", ("--classes", "lane"))):
        done = cli("prepare", "twins", tmp_path / "in", "--out", tmp_path / out, "--split", "train=0.5,val=0.5", *named)
        assert done.code == 0, done.err
        assert len((tmp_path / out / "manifest.csv").read_text().splitlines()) == 5


def test_a_combination_rule(added: Callable[[str], None]) -> None:
    added("A combination rule")
    low, high = (Fake(lambda p, v=v: np.full((2, 8, 16), v, np.float32), classes(2)) for v in (0.2, 0.7))
    assert predictor([low, high], True, "highest").predict(frames(1)[0]).planes.max() == np.float32(0.7)


def test_an_uncertainty_measure(added: Callable[[str], None]) -> None:
    added("An uncertainty measure")
    asker = predictor([Fake(by_brightness, classes(2))], measures=[MEASURES.get("margin")()])
    black, grey = frames(14)[0], frames(14)[13]
    assert float(asker.predict(black).maps["margin"].max()) == 0
    assert float(asker.predict(grey).maps["margin"].min()) > 0.9


def test_an_output(
    added: Callable[[str], None], cli: Callable[..., Outcome], bright: Path, stripe_video: Path, tmp_path: Path
) -> None:
    added("An output")
    done = cli("predict", stripe_video, "--model", bright, "--save", "share", "--out", tmp_path / "o")
    assert done.code == 0, done.err
    lines = (tmp_path / "o" / "stripe.share.csv").read_text().splitlines()
    assert lines[0] == "frame,share"
    assert len(lines) == 13


def test_a_metric(added: Callable[[str], None]) -> None:
    added("A metric")
    metric = METRICS.get("presence")(label_map("lane"))
    asker = predictor([Fake(by_brightness, classes(2))])
    for value in (0, 13):
        metric.update(asker.predict(frames(14)[value]), Truth(np.ones((16, 32), np.uint8)))
    assert metric.scores() == {"presence": 0.5}


def test_a_backend(added: Callable[[str], None], bright: Path) -> None:
    added("A backend")
    backend = open_backend(str(bright), backend="constant")
    assert (backend.infer(np.zeros((*backend.size[::-1], 3), np.uint8)) == 0.5).all()


def test_the_table_names_every_kind_and_files_that_are_there() -> None:
    rows = re.findall(r"^\| ([a-z ()]+?) \| `(.+?)` \| `(.+?)` \(`(\w+)`\) \| (.+?) \|$", PAGE, flags=re.MULTILINE)
    assert {row[3] for row in rows} == set(REGISTRIES)
    for _, file, registry_file, registry, test in rows:
        assert (ROOT / file).parent.is_dir(), file
        text = (ROOT / registry_file).read_text(encoding="utf-8")
        assert re.search(rf"^{registry}\b.*= Registry\(", text, flags=re.MULTILINE), registry_file
        for named in re.findall(r"`([\w/]+\.py)`", test):
            assert list((ROOT / "tests").rglob(Path(named).name)), named
