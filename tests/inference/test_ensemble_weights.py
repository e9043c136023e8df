"""Fitted weights against an independent optimum, and what is gathered for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from fakes import Fake, classes, fixed, predictor, softmax
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_roads import plain_roads
from samples import Outcome
from scipy.optimize import minimize

from lanecli.data.fingerprint import fingerprint, join_fingerprints, share_seen
from lanecli.data.manifest import Sample, read_dataset
from lanecli.geometry import Geometry
from lanecli.inference.ensemble import read_ensemble
from lanecli.inference.ensemble_weights import best_iou_weights, foreground_iou, likelihoods, most_likely_weights
from lanecli.inference.pixel_sample import answer_function, sample_pixels
from lanecli.inference.recipe import Recipe
from lanecli.labelmaps import label_map
from lanecli.labels import IGNORE_ID
from lanecli.media import Frame, read_mask, read_picture, write_picture
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.build import build_network

Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small pictures, three of them for validation."""
    return plain_roads(tmp_path_factory.mktemp("roads") / "set")


def saved(path: Path, seed: int, **provenance: object) -> str:
    """A model of random weights for scenes of `roads`."""
    torch.manual_seed(seed)
    spec = ModelSpec("erfnet", {"width": 0.25}, label_map("lane"), Geometry((64, 32)), provenance=provenance)
    write_safetensors(path, build_network(spec).state_dict(), spec)
    return str(path)


def by_slsqp(given_: np.ndarray) -> np.ndarray:
    """The best of several starts of scipy's constrained minimiser, in float64."""
    count = len(given_)
    found = [
        minimize(
            lambda w: -np.log(np.maximum(w @ given_, 1e-300)).mean(),
            start,
            jac=lambda w: -(given_ / np.maximum(w @ given_, 1e-300)).mean(1),
            bounds=[(0, 1)] * count,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(count)},
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 1000},
        )
        for start in (np.full(count, 1 / count), np.full(count, 0.9 / count) + 0.1 * np.eye(count)[0])
    ]
    return min(found, key=lambda one: one.fun).x


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(40, 400), st.sampled_from([0.2, 1.0, 3.0]))
def test_weights_are_the_optimum(seed: int, members: int, pixels: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    given_ = 1 / (1 + np.exp(-rng.normal(size=(members, pixels)) * spread - rng.normal(size=(members, 1))))
    found, best = most_likely_weights(given_), by_slsqp(given_)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, abs=1e-12)

    def value(w: np.ndarray) -> float:
        return float(-np.log(w @ given_).mean())

    assert value(found) <= value(best) + 2e-9
    np.testing.assert_allclose(found, best, atol=2e-3)


def test_a_member_that_only_hurts_gets_nothing() -> None:
    given_ = np.array([[0.9, 0.8, 0.7, 0.95], [0.5, 0.4, 0.3, 0.6], [0.1, 0.2, 0.1, 0.1]])
    np.testing.assert_allclose(most_likely_weights(given_), [1, 0, 0], atol=1e-12)


def test_a_member_that_is_needed_once_is_kept() -> None:
    given_ = np.array([[0.9, 0.9, 0.9, 1e-9], [0.01, 0.01, 0.01, 0.9]])
    found = most_likely_weights(given_)
    np.testing.assert_allclose(found, by_slsqp(given_), atol=1e-4)
    assert 0.2 < found[1] < 0.3


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("count", [2, 3])
def test_likelihoods_by_hand(count: int, several: bool) -> None:
    known = classes(count, None, multilabel=several)
    rng = np.random.default_rng(0)
    planes = rng.uniform(0.1, 0.9, (2, len(known.plane_classes), 5)).astype(np.float32)
    truth = rng.integers(0, 1 << count if several else count, 5).astype(np.uint8)
    found = likelihoods(planes, truth, known)
    for m in range(2):
        if several:
            wanted = [
                planes[m, k, i] if truth[i] >> k & 1 else 1 - planes[m, k, i] for k in range(count) for i in range(5)
            ]
        elif count == 2:
            wanted = [planes[m, 0, i] if truth[i] else 1 - planes[m, 0, i] for i in range(5)]
        else:
            wanted = [planes[m, truth[i], i] for i in range(5)]
        np.testing.assert_allclose(found[m], wanted, rtol=1e-6)


def test_iou_is_searched_from_the_best_start() -> None:
    known = classes(2)
    rng = np.random.default_rng(1)
    truth = (rng.uniform(size=4000) < 0.1).astype(np.uint8)
    noise = rng.uniform(size=(2, 4000))
    good = np.clip(0.3 * truth + 0.5 * noise[0], 0, 1)
    planes = np.stack([good, noise[1]])[:, None].astype(np.float32)
    start = np.array([0.5, 0.5])
    found = best_iou_weights(planes, truth, known, start)
    values = [foreground_iou(planes, w, truth, known) for w in (start, np.array([1.0, 0]), np.array([0, 1.0]), found)]
    assert values[3] >= max(values[:3])
    assert found.sum() == pytest.approx(1)
    assert found.min() >= 0


def test_gathered_pixels_are_what_members_say_there(tmp_path: Path) -> None:
    """Ignored pixels are left out, learners are means of their members, and the draw is the same again."""
    rng = np.random.default_rng(2)
    known = classes(3)
    values = [softmax(rng.normal(size=(3, 8, 16))) for _ in range(2)]
    asked = predictor([Fake(fixed(v), known) for v in values])
    samples = []
    for number in range(2):
        write_picture(tmp_path / f"{number}.png", rng.integers(0, 256, (8, 16, 3), np.uint8))
        mask = rng.integers(0, 3, (8, 16)).astype(np.uint8)
        mask[:2] = IGNORE_ID
        write_picture(tmp_path / f"{number}.mask.png", mask)
        samples.append(Sample(tmp_path / f"{number}.png", tmp_path / f"{number}.mask.png", "val", "g"))
    answer = answer_function(asked, lambda planes: planes)

    def ask(frame: Frame, places: np.ndarray, _number: int) -> list[np.ndarray]:
        return answer(frame, places)

    for pixels, each in ((40, 20), (10**6, 96)):
        found, again = (sample_pixels(samples, ask, values=6, seed=3, pixels=pixels) for _ in range(2))
        assert found.truth.shape == (2 * each,)
        assert np.array_equal(found.values, again.values)
        assert (found.truth != IGNORE_ID).all()
        assert found.pictures.tolist() == [0] * each + [1] * each
    masks = [read_mask(sample.mask).ravel() for sample in samples]
    for number in range(2):
        kept = np.flatnonzero(masks[number] != IGNORE_ID)
        own = found.pictures == number
        assert np.array_equal(found.truth[own], masks[number][kept])
        # learners are told apart by number; both members here are of learner 0
        mean = (values[0].reshape(3, -1) + values[1].reshape(3, -1))[:, kept] / 2
        np.testing.assert_allclose(found.values[0][:, own], mean, atol=1e-6)


def test_fitted_weights_are_a_model(cli: Cli, roads: Path, tmp_path: Path) -> None:
    models = [saved(tmp_path / f"{n}.safetensors", n) for n in range(2)]
    out = tmp_path / "ens.yaml"
    done = cli("ensemble", "fit", *models, "--data", roads, "--out", out, "--json", "--device", "cpu")
    assert done.code == 0, done.err
    assert "does not say which pictures" in done.err
    figures = done.json()
    assert figures["nll"] <= min(figures["nll_equal"], *figures["nll_members"]) + 1e-9
    written = read_ensemble(out)
    assert written.combine == "weighted"
    assert [entry["model"] for entry in yaml.safe_load(out.read_text())["members"]] == [
        "0.safetensors",
        "1.safetensors",
    ]
    assert written.weights == pytest.approx(figures["weights"], abs=1e-6)
    sample = read_dataset(roads).of_split("val")[0]
    frame = Frame.from_rgb(read_picture(sample.image))
    one = Recipe((str(out),)).open({"planes"}).predict(frame)
    alone = [Recipe((model,)).open({"planes"}).predict(frame).planes for model in models]
    np.testing.assert_allclose(
        one.planes, sum(w * p for w, p in zip(figures["weights"], alone, strict=True)), atol=1e-5
    )
    scored = cli("evaluate", out, "--data", roads, "--json")
    assert scored.code == 0, scored.err
    again = cli("ensemble", "fit", *models, "--data", roads, "--out", out)
    assert again.code == 2
    assert "--overwrite" in again.err


def test_iou_weights_from_the_command(cli: Cli, roads: Path, tmp_path: Path) -> None:
    models = [saved(tmp_path / f"{n}.safetensors", n) for n in range(2)]
    out = tmp_path / "else" / "ens.yaml"
    done = cli("ensemble", "fit", *models, "--data", roads, "--out", out, "--criterion", "iou", "--json")
    assert done.code == 0, done.err
    assert done.json()["iou"] >= done.json()["iou_equal"]
    assert yaml.safe_load(out.read_text())["members"][0]["model"] == models[0]  # not below the file: absolute


def test_pictures_a_member_has_seen_are_refused(cli: Cli, roads: Path, tmp_path: Path) -> None:
    val = read_dataset(roads).of_split("val")
    fresh = saved(tmp_path / "fresh.safetensors", 0)
    seen = saved(tmp_path / "seen.safetensors", 1, trained_on=fingerprint(val[:2]))
    for method in ("weights", "blending"):
        done = cli("ensemble", "fit", fresh, seen, "--data", roads, "--method", method, "--out", tmp_path / "e.yaml")
        assert done.code == 2
        assert "seen.safetensors was trained on 66.7 % of the pictures" in done.err
        assert not (tmp_path / "e.yaml").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "magic"], "--method is weights, stacking, blending"),
        (["--criterion", "luck"], "--criterion must be nll or iou"),
        (["--method", "blending", "--inputs", "smell"], "--inputs are probabilities, entropy, picture"),
        (["--method", "blending", "--inputs", "picture"], "must include probabilities or entropy"),
        (["--method", "blending", "--context", "4"], "--context must be an odd number"),
        (["--method", "stacking"], "for other models use --method blending"),
    ],
)
def test_what_cannot_be_is_said(cli: Cli, roads: Path, tmp_path: Path, words: list[str], message: str) -> None:
    model = saved(tmp_path / "m.safetensors", 0)
    done = cli("ensemble", "fit", model, model, "--data", roads, "--out", tmp_path / "e.yaml", *words)
    assert done.code == 2
    assert message in done.err


def test_one_model_is_no_ensemble(cli: Cli, roads: Path, tmp_path: Path) -> None:
    done = cli("ensemble", "fit", saved(tmp_path / "m.safetensors", 0), "--data", roads, "--out", tmp_path / "e.yaml")
    assert done.code == 2
    assert "two models or more" in done.err


def test_joined_fingerprints_know_what_any_has_seen(tmp_path: Path) -> None:
    samples = []
    for number in range(1600):
        (tmp_path / f"{number}.png").write_bytes(b"x")
        samples.append(Sample(tmp_path / f"{number}.png", tmp_path / "m.png", "train", "g"))
    small = join_fingerprints([fingerprint(samples[:100]), fingerprint(samples[50:200])])
    assert share_seen(small, samples[:200]) == 1
    assert share_seen(small, samples[200:]) == 0
    large = join_fingerprints([fingerprint(samples[:100]), fingerprint(samples[100:1200])])
    assert share_seen(large, samples[:1200]) == 1
    assert share_seen(large, samples[1200:]) == 0
    assert join_fingerprints([fingerprint(samples[:3]), None]) is None


def test_other_classes_are_refused(cli: Cli, roads: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = ModelSpec("erfnet", {"width": 0.25}, label_map("comma10k"), Geometry((64, 32)))
    write_safetensors(tmp_path / "o.safetensors", build_network(spec).state_dict(), spec)
    model = saved(tmp_path / "m.safetensors", 0)
    done = cli("ensemble", "fit", model, tmp_path / "o.safetensors", "--data", roads, "--out", tmp_path / "e.yaml")
    assert done.code == 2
    assert "has the classes" in done.err
