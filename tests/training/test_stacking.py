"""Meta-models: what they find, that they beat fixed rules where learners are right on different classes, and files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import Fake, classes, fixed, softmax
from plain_roads import plain_roads
from samples import Outcome

from lanecli.data.fingerprint import fingerprint
from lanecli.data.manifest import read_dataset
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.inference.combiners import COMBINERS
from lanecli.inference.ensemble import read_ensemble
from lanecli.inference.ensemble_weights import likelihoods, most_likely_weights
from lanecli.inference.member import Member
from lanecli.inference.meta import MetaModel, learner_inputs
from lanecli.inference.pixel_sample import PixelSample
from lanecli.inference.predictor import Predictor
from lanecli.inference.recipe import Recipe
from lanecli.labelmaps import label_map
from lanecli.labels import LabelMap
from lanecli.media import Frame, read_picture
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.build import build_network, network_from_file
from lanecli.training.folds import predict_fold, write_fold_manifest
from lanecli.training.stacking import fit_meta

Cli = Callable[..., Outcome]
SIZE = (16, 8)


def sampled(planes: np.ndarray, truth: np.ndarray, known: LabelMap, inputs: tuple[str, ...]) -> PixelSample:
    """(learners, K, n) planes and (n,) truth as pixels of eight pictures."""
    values = [learner_inputs(one[:, None], known, inputs, 1).reshape(-1, truth.size) for one in planes]
    pictures = np.arange(truth.size, dtype=np.int32) * 8 // truth.size
    return PixelSample(np.stack(values), np.zeros((0, truth.size), np.float32), truth, pictures)


def combined(
    rule: str, planes: np.ndarray, known: LabelMap, weights: np.ndarray | None = None, **more: object
) -> np.ndarray:
    """(K, n) planes of a registered rule on (learners, K, n) planes; n is the size of a frame."""
    n = SIZE[0] * SIZE[1]
    shares = np.full(len(planes), 1 / len(planes)) if weights is None else weights
    parts = []
    for start in range(0, planes.shape[2], n):
        members = []
        for number, one in enumerate(planes[:, :, start : start + n]):
            own = one.reshape(-1, SIZE[1], SIZE[0])
            whole = np.concatenate([1 - own, own]) if known.bernoulli and not known.multilabel else own
            backend = Fake(fixed(whole), known, size=SIZE, logits=fixed(np.log(np.maximum(whole, 1e-7))))
            members.append(Member(backend, Geometry(SIZE), known, weight=float(shares[number]), learner=number))
        asked = Predictor(members, COMBINERS.get(rule)(**more), keep={"planes"})
        found = asked.predict(Frame.from_rgb(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))).planes
        parts.append(found.reshape(len(found), -1))
    return np.concatenate(parts, 1)


def loss_of(planes: np.ndarray, truth: np.ndarray, known: LabelMap) -> float:
    return float(-np.log(likelihoods(planes[None], truth, known)).mean())


@pytest.mark.parametrize("kind", ["two", "three", "several"])
@pytest.mark.parametrize("inputs", [("probabilities",), ("probabilities", "entropy")])
def test_the_one_learner_that_is_right_is_found(kind: str, inputs: tuple[str, ...], tmp_path: Path) -> None:
    known = {"two": classes(2), "three": classes(3), "several": classes(2, None, multilabel=True)}[kind]
    rng = np.random.default_rng(4)
    n = 8 * 128
    truth = rng.integers(0, 4 if kind == "several" else len(known.classes), n).astype(np.uint8)
    count = len(known.plane_classes)
    if kind == "three":
        right = 0.85 * np.eye(3)[truth].T + 0.05
        noise = [softmax(3 * rng.normal(size=(3, n))) for _ in range(2)]
    else:
        bits = truth[None] >> np.arange(count)[:, None] & 1
        right = 0.1 + 0.8 * bits
        noise = [rng.uniform(size=(count, n)) for _ in range(2)]
    planes = np.stack([noise[0], right, noise[1]]).astype(np.float32)
    half = n // 2
    sample = sampled(planes[..., :half], truth[:half], known, inputs)
    meta, figures = fit_meta(sample, np.arange(8), known, inputs=inputs, hidden=8)
    meta.write(tmp_path / "m.safetensors")
    unseen, wanted = planes[..., half:], truth[half:]
    found = combined("stacking", unseen, known, meta=tmp_path / "m.safetensors")
    # the learner that is right is surer of itself than it needs to be: the meta-model knows better
    assert loss_of(found, wanted, known) < loss_of(unseen[1], wanted, known) < loss_of(unseen.mean(0), wanted, known)
    assert figures["nll"] < figures["nll_mean"]
    assert figures["pixels_held_out"] == pytest.approx(half / 4, abs=1)  # one of the four pictures there are


def test_learners_right_on_different_classes_beat_every_fixed_rule(tmp_path: Path) -> None:
    """Learner m tells class m from the rest and nothing else: who is to be believed depends on what is said."""
    known = classes(3)
    rng = np.random.default_rng(7)
    n = 16 * 128
    truth = rng.integers(0, 3, n).astype(np.uint8)
    planes = []
    for own in range(3):
        scores = 2.5 * rng.normal(size=(3, n))
        scores[own] = np.where(truth == own, 3.0, -3.0)
        planes.append(softmax(scores))
    planes = np.stack(planes)
    half = n // 2
    meta, _ = fit_meta(
        sampled(planes[..., :half], truth[:half], known, ("probabilities",)),
        np.arange(8),
        known,
        inputs=("probabilities",),
    )
    meta.write(tmp_path / "m.safetensors")
    unseen, wanted = planes[..., half:], truth[half:]
    found = combined("stacking", unseen, known, meta=tmp_path / "m.safetensors")
    weights = most_likely_weights(likelihoods(planes[..., :half], truth[:half], known))
    loss, right = loss_of(found, wanted, known), (found.argmax(0) == wanted).mean()
    for rule in COMBINERS:
        facts = COMBINERS.entry(rule).facts
        if facts.get("meta"):
            continue
        for shares in (None, weights) if facts.get("weights") else (None,):
            fixed_rule = combined(rule, unseen, known, shares)
            assert right > (fixed_rule.argmax(0) == wanted).mean(), rule
            assert loss < loss_of(fixed_rule, wanted, known), rule


def test_the_same_arguments_give_the_same_weights() -> None:
    known = classes(2)
    rng = np.random.default_rng(0)
    sample = sampled(
        rng.uniform(size=(2, 1, 400)).astype(np.float32), rng.integers(0, 2, 400).astype(np.uint8), known, ("entropy",)
    )
    one, other = (fit_meta(sample, np.arange(8), known, inputs=("entropy",), hidden=4, seed=3)[0] for _ in range(2))
    for name in ("first", "bias", "second", "offset"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def test_units_are_held_out_whole_and_one_is_too_few() -> None:
    known = classes(2)
    sample = sampled(np.full((2, 1, 80), 0.5, np.float32), np.zeros(80, np.uint8), known, ("probabilities",))
    units = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    _, figures = fit_meta(sample, units, known, inputs=("probabilities",), hidden=2)
    assert figures["pixels_held_out"] in (20, 60)
    with pytest.raises(InputError, match="two labelled pictures"):
        fit_meta(sample, units * 0, known, inputs=("probabilities",))


# --- commands --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_roads(tmp_path_factory.mktemp("roads") / "set", train=4, val=3)


def saved(path: Path, seed: int, geometry: Geometry | None = None, **provenance: object) -> str:
    torch.manual_seed(seed)
    spec = ModelSpec(
        "erfnet", {"width": 0.25}, label_map("lane"), geometry or Geometry((64, 32)), provenance=provenance
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, build_network(spec).state_dict(), spec)
    return str(path)


def test_blending_writes_a_model(cli: Cli, roads: Path, tmp_path: Path) -> None:
    models = [saved(tmp_path / f"{n}.safetensors", n) for n in range(2)]
    out = tmp_path / "made" / "ens.yaml"
    words = ("--method", "blending", "--inputs", "picture,entropy,probabilities", "--context", 3, "--hidden", 4)
    done = cli("ensemble", "fit", *models, "--data", roads, "--out", out, *words, "--json")
    assert done.code == 0, done.err
    meta = MetaModel.read(out.with_suffix(".meta.safetensors"))
    assert (meta.inputs, meta.learners, meta.context) == (("probabilities", "entropy", "picture"), 2, 3)
    assert read_ensemble(out).combine == "blending"
    # the rule written out, in float64
    frame = Frame.from_rgb(read_picture(read_dataset(roads).of_split("val")[0].image))
    found = Recipe((str(out),)).open({"planes"}).predict(frame).planes
    alone = [Recipe((model,)).open({"planes"}).predict(frame).planes.astype(np.float64) for model in models]

    def blurred(plane: np.ndarray) -> np.ndarray:
        padded = np.pad(plane, 1, mode="edge")
        return sum(padded[y : y + plane.shape[0], x : x + plane.shape[1]] for y in range(3) for x in range(3)) / 9

    x = []
    for p in alone:
        own = [p[0], -p[0] * np.log(p[0]) - (1 - p[0]) * np.log(1 - p[0])]
        x += [*own, *map(blurred, own)]
    colours = list(frame.rgb().transpose(2, 0, 1) / 127.5 - 1)
    x = np.stack([*x, *colours, *map(blurred, colours)])
    hidden = np.maximum(np.tensordot(meta.first, x, 1) + meta.bias[:, None, None], 0)
    wanted = 1 / (1 + np.exp(-np.tensordot(meta.second, hidden, 1) - meta.offset[:, None, None]))
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    scored = cli("evaluate", out, "--data", roads, "--json")
    assert scored.code == 0, scored.err


def folded(folder: Path, roads: Path, seed: int, spoilt: bool = False) -> str:
    """A folder as `lanecli train --folds 2` leaves it, of models of random weights."""
    dataset = read_dataset(roads)
    train = dataset.of_split("train")
    parts = [train[::2], train[1::2]]
    names = ["member-1", "member-2"]
    for number, name in enumerate(names):
        others = parts[1 - number] if not spoilt else parts[number]
        path = Path(saved(folder / name / "model.safetensors", seed + number, trained_on=fingerprint(others)))
        (folder / "out-of-fold").mkdir(exist_ok=True)
        _, spec = network_from_file(path)
        predict_fold(path, parts[number], spec.geometry, folder / "out-of-fold" / name, device="cpu", batch=2)
    write_fold_manifest(folder / "out-of-fold", list(zip(names, parts, strict=True)))
    return str(folder)


def test_stacking_takes_the_answer_of_the_member_that_has_not_seen_a_picture(
    cli: Cli, roads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lanecli.training import stacking

    taken: list[PixelSample] = []
    fit = stacking.fit_meta
    monkeypatch.setattr(stacking, "fit_meta", lambda sample, *a, **k: (taken.append(sample), fit(sample, *a, **k))[1])
    folders = [folded(tmp_path / "runs" / name, roads, seed) for name, seed in (("a", 0), ("b", 10))]
    out = tmp_path / "runs" / "ens.yaml"
    words = ("--method", "stacking", "--hidden", 4, "--json")
    done = cli("ensemble", "fit", *folders, "--data", roads, "--out", out, *words)
    assert done.code == 0, done.err
    assert done.json()["pictures"] == 4
    ensemble = read_ensemble(out)
    assert ensemble.learners == (0, 0, 1, 1)
    assert [Path(m).parts[-2:] for m in ensemble.models] == [
        (folder, member) for folder in ("a", "b") for member in ("member-1", "member-2")
    ]
    [sample] = taken
    train = read_dataset(roads).of_split("train")
    every = 96 * 64
    for number, picture in enumerate(train):
        frame = Frame.from_rgb(read_picture(picture.image))
        for learner, folder in enumerate(folders):
            model = f"{folder}/member-{number % 2 + 1}"  # the one whose fold it is
            wanted = Recipe((model,), precision="fp32").open({"planes"}).predict(frame).planes.reshape(-1)
            mine = sample.values[learner, 0, number * every : (number + 1) * every]
            # levels at the network's size are rounded in two ways, and answers were kept in float16
            assert np.abs(mine - wanted).mean() < 2e-3
            other = Recipe((f"{folder}/member-{2 - number % 2}",), precision="fp32").open({"planes"})
            assert np.abs(mine - other.predict(frame).planes.reshape(-1)).mean() > 1e-2
    assert cli("predict", train[0].image, "--model", out, "--out", tmp_path / "o").code == 0


def test_a_member_that_has_seen_its_own_fold_is_refused(cli: Cli, roads: Path, tmp_path: Path) -> None:
    folder = folded(tmp_path / "run", roads, 0, spoilt=True)
    done = cli("ensemble", "fit", folder, "--data", roads, "--method", "stacking", "--out", tmp_path / "e.yaml")
    assert done.code == 2
    assert "was trained on 100 % of the pictures of its own fold" in done.err


def test_answers_to_other_pictures_are_refused(cli: Cli, roads: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folded(folder, roads, 0)
    other = plain_roads(tmp_path / "other", seed=1)
    words = ("--method", "stacking", "--out", tmp_path / "e.yaml")
    done = cli("ensemble", "fit", folder, "--data", other, *words)
    assert done.code == 2
    assert "none of its pictures has a prediction" in done.err
    manifest = folder / "out-of-fold" / "manifest.csv"
    rows = list(csv.reader(io.StringIO(manifest.read_text())))
    manifest.write_text(
        "\n".join(",".join([*row[:3], "../" + row[3]]) if n else ",".join(row) for n, row in enumerate(rows))
    )
    done = cli("ensemble", "fit", folder, "--data", roads, *words)
    assert done.code == 2
    assert "not a relative path" in done.err
