"""Combination rules against a float64 reference written from their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import Fake, classes, fixed, frames, predictor, softmax
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lanecli.inference.combiners import COMBINERS
from lanecli.inference.member import Member
from lanecli.inference.predictor import Predictor
from lanecli.inference.views import View, views_of
from lanecli.labels import LabelClass, LabelMap
from lanecli.media.frame import Frame

SIZE = (6, 4)
RULES = [name for name in COMBINERS if not COMBINERS.entry(name).facts.get("meta")]  # the others are learnt
LOGITS = st.integers(-12, 12).map(
    lambda quarters: quarters / 4
)  # equal, or well apart: float32 and float64 agree on both


def reference(rule: str, logits: np.ndarray, weights: np.ndarray, several: bool) -> tuple[np.ndarray, np.ndarray]:
    """(M, C, …) float64 logits to probabilities, and to what decides between equal ones."""
    logits, weights = logits.astype(np.float64), weights.astype(np.float64) / weights.sum()
    own = 1 / (1 + np.exp(-logits)) if several else np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    shares = weights.reshape(-1, *[1] * (logits.ndim - 1))
    mean = (shares * own).sum(0)
    if rule in ("mean", "weighted"):
        return mean, mean
    if rule == "logit_mean":
        z = (shares * logits).sum(0)
        joined = 1 / (1 + np.exp(-z)) if several else np.exp(z) / np.exp(z).sum(0)
        return joined, joined
    if rule == "geometric":
        product = np.prod(own**shares, 0)
        other = np.prod((1 - own) ** shares, 0) if several else 0
        joined = product / (product + other) if several else product / product.sum(0)
        return joined, joined
    if several:
        votes = (shares * (own > 0.5)).sum(0)
    else:
        votes = (
            shares * (own == own.max(1, keepdims=True)) * (np.cumsum(own == own.max(1, keepdims=True), 1) == 1)
        ).sum(0)
    return votes, mean


@settings(deadline=None, max_examples=40)
@given(
    st.data(),
    st.sampled_from(RULES),
    st.integers(1, 4),
    st.integers(2, 4),
    st.booleans(),
)
def test_rules_equal_their_definitions(data: st.DataObject, rule: str, members: int, count: int, several: bool) -> None:
    label_map = classes(count, None, multilabel=several)
    logits = data.draw(arrays(np.float32, (members, count, SIZE[1], SIZE[0]), elements=LOGITS))
    weights = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.0, 0.3]), min_size=members, max_size=members)))
    if not weights.any() or rule == "mean":
        weights = np.ones(members)
    backends = []
    for each in logits:
        own = 1 / (1 + np.exp(-each)) if several else softmax(each)
        backends.append(Fake(fixed(own.astype(np.float32)), label_map, size=SIZE, logits=fixed(each)))
    asked = predictor(backends, True, rule, list(weights / weights.sum()))
    prediction = asked.predict(frames(1, SIZE)[0])
    expected, ties = reference(rule, logits, weights, several)
    assert prediction.probabilities is not None
    # two logits to 3: the probability of "no" is as small as 1/400, known to 6e-8, its logarithm to 2.4e-5
    np.testing.assert_allclose(prediction.probabilities, expected, atol=6e-6)
    if several:
        # of equal shares of yes and no the mean probability decides
        equal = np.abs(expected - 0.5) < 1e-6
        wanted = np.where(equal, ties > 0.5, expected > 0.5)
        clear = (np.abs(ties - 0.5) > 1e-5) & (equal | (np.abs(expected - 0.5) > 1e-5))
        bits = [(prediction.labels >> number & 1) == wanted[number] for number in range(count)]
        assert np.stack(bits)[clear].all()
        return
    order = np.sort(np.where(np.abs(expected - expected.max(0)) < 1e-5, ties, -1), 0)
    clear = order[-1] - order[-2] > 1e-5
    wanted = np.where(np.abs(expected - expected.max(0)) < 1e-5, ties, -1).argmax(0)
    assert np.array_equal(prediction.class_map[clear], wanted[clear])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("count", [2, 3])
def test_zero_weights_are_as_if_not_there(rule: str, several: bool, count: int) -> None:
    rng = np.random.default_rng(3)
    label_map = classes(count, None, multilabel=several)
    logits = rng.normal(size=(3, count, SIZE[1], SIZE[0])).astype(np.float32)
    own = [1 / (1 + np.exp(-z)) if several else softmax(z) for z in logits]
    backends = [
        Fake(fixed(p.astype(np.float32)), label_map, size=SIZE, logits=fixed(z))
        for p, z in zip(own, logits, strict=True)
    ]
    frame = frames(1, SIZE)[0]
    three = predictor(backends, True, rule, [0.5, 0.0, 0.5]).predict(frame)
    two = predictor([backends[0], backends[2]], True, rule, [0.5, 0.5]).predict(frame)
    assert np.array_equal(three.planes, two.planes)
    assert np.array_equal(three.class_map, two.class_map)


@settings(deadline=None, max_examples=30)
@given(arrays(np.float32, (3, 3, SIZE[1], SIZE[0]), elements=LOGITS), st.booleans())
def test_logit_mean_and_geometric_are_equal_on_one_grid(logits: np.ndarray, several: bool) -> None:
    label_map = classes(3, None, multilabel=several)
    own = [1 / (1 + np.exp(-z)) if several else softmax(z) for z in logits]
    backends = [
        Fake(fixed(p.astype(np.float32)), label_map, size=SIZE, logits=fixed(z))
        for p, z in zip(own, logits, strict=True)
    ]
    frame = frames(1, SIZE)[0]
    one, other = (predictor(backends, True, rule).predict(frame).planes for rule in ("logit_mean", "geometric"))
    np.testing.assert_allclose(one, other, atol=6e-6)  # as above


def test_an_ensemble_of_one_is_the_model_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    values = softmax(rng.normal(size=(3, 8, 16)))
    backend = Fake(fixed(values), classes(3))
    frame = frames(1)[0]
    alone = predictor([backend], True).predict(frame)
    for weights in ([1.0], [1.0, 0.0]):
        others = [backend] * len(weights)
        again = predictor(others, True, "weighted", weights).predict(frame)
        assert np.array_equal(again.planes, alone.planes)
        assert np.array_equal(again.class_map, alone.class_map)


@pytest.mark.parametrize("several", [False, True])
def test_classes_in_another_order_are_put_in_the_firsts(several: bool) -> None:
    names = ("road", "line", "kerb")
    rng = np.random.default_rng(1)
    values = rng.uniform(size=(3, 8, 16)).astype(np.float32)
    values /= 1 if several else values.sum(0)

    def of(order: tuple[int, ...]) -> LabelMap:
        chosen = tuple(LabelClass(names[i], (i, i, i)) for i in order)
        return LabelMap("m", chosen, background=order.index(0), multilabel=several)

    first, second = Fake(fixed(values), of((0, 1, 2))), Fake(fixed(values[[2, 0, 1]]), of((2, 0, 1)))
    frame = frames(1)[0]
    both = predictor([first, second], True).predict(frame)
    np.testing.assert_allclose(both.planes, predictor([first], True).predict(frame).planes, atol=1e-7)


def test_two_classes_in_the_other_order() -> None:
    values = np.random.default_rng(2).uniform(size=(8, 16)).astype(np.float32)
    names = LabelMap("m", (LabelClass("line", (1, 1, 1)), LabelClass("road", (0, 0, 0))), background=1)
    usual = LabelMap("m", (LabelClass("road", (0, 0, 0)), LabelClass("line", (1, 1, 1))), background=0)
    logits = np.stack([np.zeros_like(values), np.log(values / (1 - values))])
    first = Fake(fixed(np.stack([1 - values, values])), usual, logits=fixed(logits))
    second = Fake(fixed(np.stack([values, 1 - values])), names, logits=fixed(logits[::-1].copy()))
    frame = frames(1)[0]
    for rule in RULES:
        alone = predictor([first], True, rule if rule == "logit_mean" else "mean").predict(frame)
        both = predictor([first, second], True, rule, [0.5, 0.5]).predict(frame)
        if rule == "vote":
            assert np.array_equal(both.class_map, alone.class_map)
        else:
            np.testing.assert_allclose(both.planes, alone.planes, atol=1e-5)


def _textured(seed: int, size: tuple[int, int] = (48, 40)) -> Frame:
    return Frame.from_rgb(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def test_two_models_flipped_at_three_scales_are_the_sum_by_hand() -> None:
    """Each of twelve members asked alone, and their mean taken in float64, classes that swap sides included."""
    names = tuple(LabelClass(n, (9, 9, 9)) for n in ("road", "left", "right"))
    label_map = LabelMap("sides", names, swaps=((1, 2),))

    def sided(gain: float) -> Fake:
        def make(picture: np.ndarray) -> np.ndarray:
            level = picture.mean(-1) / 255 * gain
            ramp = np.linspace(-1, 1, picture.shape[1], dtype=np.float32)[None]
            return softmax(np.stack([np.zeros_like(level), level - ramp, level + ramp]))

        return Fake(make, label_map, size=(32, 32), depth=2)

    frame = _textured(5)
    backends, total = [sided(1.0), sided(2.5)], np.zeros((3, 40, 48))
    members = []
    for backend in backends:
        for view in views_of("multiscale"):
            size = (round(32 * view.scale / 8) * 8,) * 2
            seen = backend if size == backend.size else backend.at_size(size)
            geometry = backend.spec.geometry
            members.append(Member(seen, geometry, label_map, view, 1 / 12))
            plain = Member(seen, geometry, label_map)
            shown = Frame.from_rgb(frame.rgb()[:, ::-1].copy()) if view.mirror else frame
            answer = Predictor([plain], COMBINERS.get("mean")(), keep=("planes",)).predict(shown).planes
            if view.mirror:
                answer = answer[[0, 2, 1], :, ::-1]
            total += answer.astype(np.float64) / 12
    assert len(members) == 12
    got = Predictor(members, COMBINERS.get("mean")(), keep=("planes",)).predict(frame)
    np.testing.assert_allclose(got.planes, total, atol=2e-6)
    assert np.array_equal(got.class_map[np.sort(total, 0)[-1] - np.sort(total, 0)[-2] > 1e-5],
                          total.argmax(0)[np.sort(total, 0)[-1] - np.sort(total, 0)[-2] > 1e-5])  # fmt: skip


def test_views_multiply() -> None:
    assert views_of("none") == [View()]
    assert views_of("flip") == [View(), View(mirror=True)]
    assert len(views_of("multiscale")) == 6
    assert set(views_of("flip+multiscale")) == set(views_of("multiscale"))


def test_what_is_held_does_not_grow_with_members() -> None:
    """Folds, waiting questions and planes at the frame's size: as many for ten members as for two."""
    peaks = []
    for count in (2, 10):
        held = _Held()
        backends = [Fake(held.planes, classes(3), depth=3) for _ in range(count)]
        for _ in predictor(backends, True).stream(frames(6)):
            held.look(backends)
        peaks.append(held.most)
    assert peaks[0] == peaks[1] <= 3


class _Held:
    def __init__(self) -> None:
        self.backends: list[Fake] = []
        self.most = 0

    def planes(self, picture: np.ndarray) -> np.ndarray:
        return np.full((3, 8, 16), 1 / 3, np.float32)

    def look(self, backends: list[Fake]) -> None:
        self.most = max(self.most, sum(backend.under_way for backend in backends))
