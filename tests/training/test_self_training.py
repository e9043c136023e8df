"""Learning from pictures without labels: the run's own average, a model or stored answers label them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from samples import SMALL_RUN

from lanecli.config import load_config
from lanecli.errors import InputError
from lanecli.labelmaps import label_map
from lanecli.labels import LabelClass, LabelMap
from lanecli.modelfile import write_safetensors
from lanecli.training import batch_loss, epoch_pictures, loop
from lanecli.training.outline import outline
from lanecli.training.pseudo_labels import pseudo_labels
from lanecli.training.watcher import SilentWatcher

SMALL = [*SMALL_RUN, "model.encoder=tu-mobilenetv3_small_050", "data.samples=4", "train.epochs=2", "train.ema=0.9"]
SEVERAL = LabelMap("m", tuple(LabelClass(name, (0, 0, 0)) for name in "abc"), background=None, multilabel=True)


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    """Three pictures without labels, one in a subfolder with a name that is no ASCII."""
    folder = tmp_path / "roads"
    (folder / "später").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name in ("a.png", "b.png", "später/ü.png"):
        picture = cv2.GaussianBlur(rng.integers(0, 256, (48, 72, 3), np.uint8), (0, 0), 2)
        (folder / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return folder


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch_pictures, "draw_curves", lambda rows, path: None)


def begin(scenes: Path, folder: Path, *overrides: str, resume: bool = False) -> loop.Run:
    folder.mkdir(exist_ok=True)
    return loop.Run(load_config(None, [*SMALL, f"data.root={scenes}", *overrides]), folder, resume=resume)


def store(folder: Path, name: str, planes: np.ndarray) -> None:
    path = folder / f"{name}.probabilities.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, probabilities=planes.astype(np.float16), classes=np.array(["background", "lane marking"]))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 0.99), st.booleans())
def test_labels_are_the_sure_answers_where_there_is_something_to_see(
    seed: int, confidence: float, several: bool
) -> None:
    rng = np.random.default_rng(seed)
    classes = SEVERAL if several else label_map("camvid-11")
    logits = rng.normal(0, 3, (2, len(classes.classes), 3, 4)).astype(np.float32)
    masks = rng.choice([0, 255], (2, 3, 4)).astype(np.uint8)
    found = pseudo_labels(torch.from_numpy(logits), torch.from_numpy(masks), classes, confidence).numpy()
    for n, y, x in np.ndindex(2, 3, 4):
        values = logits[n, :, y, x].astype(float)
        if several:
            p = 1 / (1 + np.exp(-values))
            label, surety = sum(1 << i for i in range(3) if p[i] >= 0.5), min(max(v, 1 - v) for v in p)
        else:
            p = np.exp(values - values.max()) / np.exp(values - values.max()).sum()
            label, surety = int(p.argmax()), p.max()
        if abs(surety - confidence) < 1e-5:
            continue
        wanted = label if masks[n, y, x] == 0 and surety >= confidence else 255
        assert found[n, y, x] == wanted


def test_the_students_labels_are_the_teachers_answers_to_the_calm_picture(
    scenes: Path, roads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(
        scenes, tmp_path / "run", f"data.unlabelled={roads}", "data.confidence=0.5", "data.unlabelled_share=0.5"
    )
    stage, seen = run.stages[0], []
    run.enter(stage)
    targets_of = batch_loss.targets_of

    def spy(masks: torch.Tensor, classes: LabelMap) -> torch.Tensor:
        seen.append(masks.numpy().copy())
        return targets_of(masks, classes)

    monkeypatch.setattr(batch_loss, "targets_of", spy)
    items = [stage.training[i] for i in range(4)]
    parts = [torch.from_numpy(np.stack(p)) for p in zip(*items, strict=True)]
    assert run.average is not None
    teacher = run.average.network.eval()
    with torch.no_grad():
        answers = teacher.logits(parts[2]).numpy()
    run.network.train()
    run.take_step([parts])
    asked = [bool(item[3]) for item in items]
    assert sum(asked) == 2
    for number, item in enumerate(items):
        wanted = answers[number].argmax(0) if asked[number] else item[1].astype(int)
        wanted = np.where(item[1] == 255, 255, wanted)
        assert (seen[0][number] == wanted).mean() > 0.999  # ties of equal logits aside
        assert item[0].shape == item[2].shape
        assert asked[number] or set(np.unique(item[1])) <= {0, 1, 255}


def test_self_training_from_nothing_is_warned_of(scenes: Path, roads: Path, tmp_path: Path) -> None:
    first = begin(scenes, tmp_path / "first", f"data.unlabelled={roads}")
    assert any("from a trained model with model.weights" in line for line in outline(first))
    write_safetensors(tmp_path / "start.safetensors", first.network.state_dict(), first.stages[0].spec)
    start = f"model.weights={tmp_path / 'start.safetensors'}"
    for number, overrides in enumerate(([start, f"data.unlabelled={roads}"], [])):
        later = begin(scenes, tmp_path / f"later-{number}", *overrides)
        assert not any("model.weights" in line for line in outline(later) if line.startswith("warning"))


def test_self_training_resumes_bit_for_bit(scenes: Path, roads: Path, tmp_path: Path) -> None:
    settings = [f"data.unlabelled={roads}", "data.confidence=0.51"]
    begin(scenes, tmp_path / "whole", *settings).train(SilentWatcher())

    class Stop(SilentWatcher):
        def step(self, step: int, *_: Any) -> None:
            if step == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin(scenes, tmp_path / "parts", *settings).train(Stop())
    begin(scenes, tmp_path / "parts", *settings, resume=True).train(SilentWatcher())
    whole, parts = (load_file(tmp_path / name / "last" / "state.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def test_stored_answers_are_labels_where_they_are_sure(scenes: Path, roads: Path, tmp_path: Path) -> None:
    lane = np.zeros((48, 72))
    lane[:, 10:20], lane[:, 30:40] = 0.95, 0.6
    for name in ("a", "b", "später/ü"):
        store(tmp_path / "answers", name, np.stack([1 - lane, lane]))
    run = begin(scenes, tmp_path / "run", f"data.unlabelled={roads}", f"teacher={tmp_path / 'answers'}")
    stage = run.stages[0]
    assert stage.training.unlabelled_index is None
    assert not stage.criterion.needs_teacher
    assert stage.teacher is None
    picture, mask = stage.training.collections[-1].load(2)
    assert np.array_equal(mask, np.where(lane > 0.9, 1, np.where(lane > 0.5, 255, 0)))
    stored = cv2.imdecode(np.fromfile(roads / "später/ü.png", np.uint8), 1)
    assert stored is not None
    assert np.array_equal(picture, stored[..., ::-1])
    run.train(SilentWatcher())


def test_an_epoch_holds_the_share_asked_for(scenes: Path, roads: Path, tmp_path: Path) -> None:
    run = begin(scenes, tmp_path / "run", f"data.unlabelled={roads}", "data.unlabelled_share=0.25", "data.samples=null")
    training = run.stages[0].training
    labelled = len(training.collections[0])
    assert labelled == 12
    plan = training.draws(0)
    assert len(plan) == 16
    assert (plan[:, 0] == 1).sum() == 4
    assert sorted(plan[plan[:, 0] == 0, 1]) == list(range(12))


def test_what_does_not_fit_is_refused(scenes: Path, roads: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    store(tmp_path / "some", "a", np.full((2, 48, 72), 0.5))
    cases = [
        ([f"data.unlabelled={tmp_path / 'none'}"], "does not exist"),
        ([f"data.unlabelled={empty}"], "holds no picture"),
        ([f"data.unlabelled={roads / 'a.png'}"], "is not a folder"),
        ([f"data.unlabelled={roads}", "train.ema=null"], "train.ema"),
        (["teacher=ema"], "data.unlabelled=DIR"),
        ([f"teacher={tmp_path / 'some'}"], "data.unlabelled=DIR"),
        ([f"data.unlabelled={roads}", f"teacher={tmp_path / 'some'}"], "b.png has no stored prediction"),
        ([f"data.unlabelled={roads}", "teacher=nosuch"], "nosuch"),
    ]
    for number, (overrides, message) in enumerate(cases):
        with pytest.raises(InputError, match=message):
            begin(scenes, tmp_path / f"run{number}", *overrides)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "not readable"),
        (np.zeros((3, 48, 72), np.float16), "2 planes"),
        (np.zeros((2, 48, 72), np.uint8), "2 planes"),
        (np.array([{"a": 1}], object), "2 planes"),
        (np.zeros((2, 0, 72), np.float32), "is not a valid picture size"),
    ],
)
def test_a_bad_answer_is_named(scenes: Path, roads: Path, tmp_path: Path, content: Any, message: str) -> None:
    for name in ("a", "b", "später/ü"):
        store(tmp_path / "answers", name, np.full((2, 48, 72), 0.5))
    bad = tmp_path / "answers" / "b.probabilities.npz"
    if isinstance(content, bytes):
        bad.write_bytes(content)
    else:
        np.savez(bad, probabilities=content)
    run = begin(scenes, tmp_path / "run", f"data.unlabelled={roads}", f"teacher={tmp_path / 'answers'}")
    with pytest.raises(InputError, match=message) as error:
        run.stages[0].training.collections[-1].load(1)
    assert "b.probabilities.npz" in str(error.value)
