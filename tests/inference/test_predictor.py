"""The predictor with backends of which every answer is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.inference.backends.base import Backend
from lanecli.inference.predictor import Predictor, class_map_of
from lanecli.labels import LabelClass, LabelMap
from lanecli.media.frame import Frame
from lanecli.modelfile import ModelSpec


def classes(count: int, background: int | None = 0, multilabel: bool = False) -> LabelMap:
    names = tuple(LabelClass(f"c{i}", (i, i, i)) for i in range(count))
    return LabelMap("m", names, background=background, multilabel=multilabel)


class Fake(Backend):
    """Gives probabilities made from the picture; at most `depth` answers may be under way, as in OpenVINO."""

    name = precision = device = "fake"

    def __init__(  # the arguments of a real one make no sense here
        self,
        make: Callable[[np.ndarray], np.ndarray],
        label_map: LabelMap,
        *,
        size: tuple[int, int] = (16, 8),
        depth: int = 1,
        geometry: Geometry | None = None,
    ) -> None:
        self.spec = ModelSpec("fake", {}, label_map, geometry or Geometry(size))
        self.size, self.depth, self.make = size, depth, make
        self.under_way = self.most = self.submitted = 0

    def submit(self, picture: np.ndarray) -> _Answer:
        assert picture.shape == (self.size[1], self.size[0], 3)
        self.under_way += 1
        self.submitted += 1
        self.most = max(self.most, self.under_way)
        if self.under_way > self.depth:
            raise RuntimeError("too many")
        return _Answer(self, self.make(picture.copy()))


class _Answer:
    def __init__(self, backend: Fake, probabilities: np.ndarray) -> None:
        self.backend, self.probabilities = backend, probabilities

    def result(self) -> np.ndarray:
        self.backend.under_way -= 1
        return self.probabilities


def fixed(probabilities: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda _picture: probabilities


def positive(values: np.ndarray) -> np.ndarray:
    """(2, h, w) from class 1's probabilities."""
    values = np.asarray(values, np.float32)
    return np.stack([1 - values, values])


def by_brightness(picture: np.ndarray) -> np.ndarray:
    return positive(picture.mean(-1) / 255)


def frames(count: int, size: tuple[int, int] = (32, 16)) -> list[Frame]:
    return [Frame.from_rgb(np.full((size[1], size[0], 3), 10 * i, np.uint8), i) for i in range(count)]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(0))
    return (powers / powers.sum(0)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 25])
@pytest.mark.parametrize("depth", [1, 2, 5, 40])
def test_every_frame_comes_out_once_and_in_order(count: int, depth: int) -> None:
    backend = Fake(by_brightness, classes(2), depth=depth)
    given_frames = frames(count)
    predictions = list(Predictor([backend]).stream(iter(given_frames)))
    assert [p.frame for p in predictions] == given_frames
    assert [bool(p.class_map.all()) for p in predictions] == [10 * i > 127.5 for i in range(count)]
    assert all((p.class_map.shape, p.class_map.dtype) == ((16, 32), np.uint8) for p in predictions)
    assert backend.most == min(count, depth)
    assert backend.under_way == 0


def test_the_shallowest_member_sets_the_depth() -> None:
    deep, shallow = Fake(by_brightness, classes(2), depth=9), Fake(by_brightness, classes(2), depth=2)
    list(Predictor([deep, shallow]).stream(frames(12)))
    assert (deep.most, shallow.most) == (2, 2)


def test_frames_are_fetched_only_as_far_as_they_are_under_way() -> None:
    fetched = 0

    def source() -> Iterator[Frame]:
        nonlocal fetched
        for frame in frames(20):
            fetched += 1
            yield frame

    stream = Predictor([Fake(by_brightness, classes(2), depth=3)]).stream(source())
    for taken in range(1, 10):
        next(stream)
        assert fetched <= taken + 3


@pytest.mark.parametrize("how", ["source fails", "consumer stops"])
def test_a_stream_cut_short_leaves_the_backend_free(how: str) -> None:
    """A backend with a fixed number of requests would be out of them at the next source."""
    backend = Fake(by_brightness, classes(2), depth=3)
    predictor = Predictor([backend])

    def broken() -> Iterator[Frame]:
        yield from frames(5)
        raise InputError("broken")

    if how == "source fails":
        with pytest.raises(InputError, match="broken"):
            list(predictor.stream(broken()))
    else:
        stream = predictor.stream(frames(9))
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    assert backend.under_way == 0
    assert len(list(predictor.stream(frames(6)))) == 6


@settings(deadline=None, max_examples=40)
@given(
    arrays(np.float32, (8, 16), elements=st.floats(0, 1, width=32)),
    st.sampled_from([(32, 16), (16, 8), (37, 21), (9, 7)]),
    st.sampled_from([0, 1, None]),
    st.sampled_from(["stretch", "pad"]),
    st.booleans(),
)
def test_the_short_way_of_two_classes_is_the_long_way(
    values: np.ndarray, size: tuple[int, int], background: int | None, fit: str, cropped: bool
) -> None:
    geometry = Geometry((16, 8), (1, 2, 0, 1) if cropped else (0, 0, 0, 0), fit)
    backend = Fake(fixed(positive(values)), classes(2, background), geometry=geometry)
    frame = Frame.from_rgb(np.zeros((size[1], size[0], 3), np.uint8))
    short = Predictor([backend]).predict(frame)
    full = Predictor([backend], keep_probabilities=True).predict(frame)
    assert short.probabilities is None
    assert full.probabilities is not None
    assert full.probabilities.shape == (2, size[1], size[0])
    outside = background or 0
    placed = geometry.place(size)
    cut = np.zeros(size[::-1], bool)
    cut[placed.box[1] : placed.box[3], placed.box[0] : placed.box[2]] = True
    clear = ~cut | (np.abs(full.probabilities[1] - 0.5) > 1e-5)  # at a half, rounding decides
    assert np.array_equal(short.class_map[clear], full.class_map[clear])
    assert np.array_equal(full.class_map, full.probabilities.argmax(0))
    assert (short.class_map[~cut] == outside).all()


def test_the_class_is_chosen_at_the_frames_size() -> None:
    """Between a sure 1 and an unsure 0 the border lies off the middle; choosing first would put it in the middle."""
    values = np.repeat([[1.0] * 8 + [0.4] * 8], 8, axis=0)
    backend = Fake(fixed(positive(values)), classes(2))
    frame = Frame.from_rgb(np.zeros((80, 160, 3), np.uint8))
    column = Predictor([backend]).predict(frame).class_map[40]
    border = int(column.sum())
    at = np.clip((np.arange(160) + 0.5) / 10 - 0.5, 0, 15)
    assert border == int((np.interp(at, np.arange(16), values[0]) > 0.5).sum())
    assert border > 82


def test_members_average_probabilities_not_logits() -> None:
    """One is sure of class 1, the other that it is not, by a logit that would outweigh the first."""
    logits = [np.tile(np.array(v)[:, None, None], (1, 8, 16)) for v in ([0.0, 8, 0.1], [0.0, -20, 0.1])]
    members = [Fake(fixed(softmax(v)), classes(3)) for v in logits]
    mean = np.mean([softmax(v)[:, 0, 0] for v in logits], axis=0)
    assert np.argmax(np.mean(logits, axis=0)[:, 0, 0]) != mean.argmax()
    prediction = Predictor(members, keep_probabilities=True).predict(frames(1)[0])
    assert (prediction.class_map == mean.argmax()).all()
    assert prediction.probabilities is not None
    assert prediction.probabilities == pytest.approx(np.broadcast_to(mean[:, None, None], (3, 16, 32)), abs=1e-6)


@pytest.mark.parametrize("keep", [False, True])
def test_members_average_probabilities_not_votes(keep: bool) -> None:
    values = [0.95, 0.4, 0.4]
    members = [Fake(fixed(positive(np.full((8, 16), v))), classes(2)) for v in values]
    assert Predictor(members, keep_probabilities=keep).predict(frames(1)[0]).class_map.all()
    assert not Predictor(members[1:], keep_probabilities=keep).predict(frames(1)[0]).class_map.any()


@pytest.mark.parametrize("keep", [False, True])
def test_members_meet_at_the_frames_size_whatever_their_own(keep: bool) -> None:
    """One member sees a crop at another size: outside it, it votes for the background."""
    wide = Fake(fixed(positive(np.full((8, 16), 0.7))), classes(2))
    low = Fake(
        fixed(positive(np.full((4, 10), 0.7))), classes(2), size=(10, 4), geometry=Geometry((10, 4), (0, 6, 0, 0))
    )
    prediction = Predictor([wide, low], keep_probabilities=keep).predict(frames(1)[0])
    assert not prediction.class_map[:6].any()  # 0.35
    assert prediction.class_map[6:].all()
    if keep:
        assert prediction.probabilities is not None
        assert prediction.probabilities[1, :6] == pytest.approx(0.35)
        assert prediction.probabilities[:, 10, 5] == pytest.approx([0.3, 0.7])


def test_members_of_other_classes_are_refused() -> None:
    one, other = Fake(by_brightness, classes(2)), Fake(by_brightness, classes(3))
    with pytest.raises(InputError, match=r"share their classes: one has c0, c1, another c0, c1, c2"):
        Predictor([one, other])
    other.spec = replace(other.spec, label_map=classes(2, None, multilabel=True))
    with pytest.raises(InputError, match="share their classes"):
        Predictor([one, other])


def test_a_frame_without_change_of_size_goes_through_unharmed() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (8, 16, 3), np.uint8)
    before = picture.copy()
    predictor = Predictor([Fake(by_brightness, classes(2))])
    class_map = predictor.predict(Frame.from_rgb(picture)).class_map
    assert np.array_equal(class_map, picture.mean(-1) > 127.5)
    assert np.array_equal(picture, before)


@settings(deadline=None, max_examples=50)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 7)),
        elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1, width=32),
    )
)
def test_the_class_map_is_the_argmax(probabilities: np.ndarray) -> None:
    before = probabilities.copy()
    class_map = class_map_of(probabilities, classes(6))
    assert class_map.dtype == np.uint8
    assert np.array_equal(class_map, np.argmax(probabilities, 0))
    assert np.array_equal(probabilities, before)


def test_of_several_labels_the_most_probable_above_a_half_is_drawn() -> None:
    probabilities = np.array([[[0.1, 0.9, 0.2]], [[0.6, 0.95, 0.5]], [[0.7, 0.2, 0.1]]], np.float32)
    assert class_map_of(probabilities, classes(3, 0, multilabel=True)).tolist() == [[2, 1, 0]]
    assert class_map_of(probabilities, classes(3, None, multilabel=True)).tolist() == [[2, 1, 1]]
