"""The predictor with backends of which every answer is known."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from fakes import Fake, by_brightness, classes, fixed, frames, positive, predictor, softmax
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lanecli.errors import InputError, LaneError
from lanecli.geometry import Geometry
from lanecli.inference.steps import StepContext
from lanecli.inference.steps.smooth import Smooth
from lanecli.inference.views import View
from lanecli.labels import IGNORE_ID, decide
from lanecli.media.frame import Frame


@pytest.mark.parametrize("count", [0, 1, 2, 3, 25])
@pytest.mark.parametrize("depth", [1, 2, 5, 40])
def test_every_frame_comes_out_once_and_in_order(count: int, depth: int) -> None:
    backend = Fake(by_brightness, classes(2), depth=depth)
    given_frames = frames(count)
    predictions = list(predictor([backend]).stream(iter(given_frames)))
    assert [p.frame for p in predictions] == given_frames
    assert [bool(p.class_map.all()) for p in predictions] == [10 * i > 127.5 for i in range(count)]
    assert all((p.class_map.shape, p.class_map.dtype) == ((16, 32), np.uint8) for p in predictions)
    assert backend.most == min(count, depth)
    assert backend.under_way == 0


def test_no_member_is_asked_more_than_it_takes_and_all_no_more_than_the_deepest() -> None:
    deep, shallow = Fake(by_brightness, classes(2), depth=4), Fake(by_brightness, classes(2), depth=2)
    most = []
    for backend in (deep, shallow):
        ask = backend.submit

        def noted(pictures: np.ndarray, seed: int | None = None, ask: Any = ask) -> Any:
            answer = ask(pictures, seed)
            most.append(deep.under_way + shallow.under_way)
            return answer

        backend.submit = noted  # type: ignore[method-assign]
    assert len(list(predictor([deep, shallow]).stream(frames(12)))) == 12
    assert shallow.most <= 2
    assert max(most) <= 4


@pytest.mark.parametrize("views", [1, 2, 6])
def test_several_questions_a_frame_keep_within_the_requests_of_a_backend(views: int) -> None:
    """Six views of a frame are six questions: a backend of three requests was asked all at once."""
    backend = Fake(by_brightness, classes(2), depth=3)
    asker = predictor([backend], views=[View(mirror=bool(i % 2)) for i in range(views)])
    given_frames = frames(7)
    assert [p.frame for p in asker.stream(given_frames)] == given_frames
    assert (backend.most, backend.submitted) == (3, 7 * views)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 9])
def test_batches_give_what_single_frames_give_and_the_last_is_not_lost(batch: int) -> None:
    backend = Fake(by_brightness, classes(2), depth=2)
    whole = list(predictor([backend], keep=True, batch=batch).stream(frames(7)))
    assert [p.frame.index for p in whole] == list(range(7))
    assert backend.submitted == -(-7 // batch)
    for got, alone in zip(whole, predictor([backend], keep=True).stream(frames(7)), strict=True):
        assert np.array_equal(got.planes, alone.planes)


def test_frames_are_fetched_only_as_far_as_they_are_under_way() -> None:
    fetched = 0

    def source() -> Iterator[Frame]:
        nonlocal fetched
        for frame in frames(20):
            fetched += 1
            yield frame

    stream = predictor([Fake(by_brightness, classes(2), depth=3)]).stream(source())
    for taken in range(1, 10):
        next(stream)
        assert fetched <= taken + 3


@pytest.mark.parametrize("how", ["source fails", "consumer stops"])
def test_a_stream_cut_short_leaves_the_backend_free(how: str) -> None:
    """A backend with a fixed number of requests would be out of them at the next source."""
    backend = Fake(by_brightness, classes(2), depth=3)
    asker = predictor([backend])

    def broken() -> Iterator[Frame]:
        yield from frames(5)
        raise InputError("broken")

    if how == "source fails":
        with pytest.raises(InputError, match="broken"):
            list(asker.stream(broken()))
    else:
        stream = asker.stream(frames(9))
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    assert backend.under_way == 0
    assert len(list(asker.stream(frames(6)))) == 6


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
    short = predictor([backend]).predict(frame)
    full = predictor([backend], keep=True).predict(frame)
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
    column = predictor([backend]).predict(frame).class_map[40]
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
    prediction = predictor(members, keep=True).predict(frames(1)[0])
    assert (prediction.class_map == mean.argmax()).all()
    assert prediction.probabilities is not None
    assert prediction.probabilities == pytest.approx(np.broadcast_to(mean[:, None, None], (3, 16, 32)), abs=1e-6)


@pytest.mark.parametrize("keep", [False, True])
def test_members_average_probabilities_not_votes(keep: bool) -> None:
    values = [0.95, 0.4, 0.4]
    members = [Fake(fixed(positive(np.full((8, 16), v))), classes(2)) for v in values]
    assert predictor(members, keep=keep).predict(frames(1)[0]).class_map.all()
    assert not predictor(members[1:], keep=keep).predict(frames(1)[0]).class_map.any()


@pytest.mark.parametrize("keep", [False, True])
def test_members_meet_at_the_frames_size_whatever_their_own(keep: bool) -> None:
    """One member sees a crop at another size: outside it, it votes for the background."""
    wide = Fake(fixed(positive(np.full((8, 16), 0.7))), classes(2))
    low = Fake(
        fixed(positive(np.full((4, 10), 0.7))), classes(2), size=(10, 4), geometry=Geometry((10, 4), (0, 6, 0, 0))
    )
    prediction = predictor([wide, low], keep=keep).predict(frames(1)[0])
    assert not prediction.class_map[:6].any()  # 0.35
    assert prediction.class_map[6:].all()
    if keep:
        assert prediction.probabilities is not None
        assert prediction.probabilities[1, :6] == pytest.approx(0.35)
        assert prediction.probabilities[:, 10, 5] == pytest.approx([0.3, 0.7])


def test_members_of_other_classes_are_refused() -> None:
    one, other = Fake(by_brightness, classes(2)), Fake(by_brightness, classes(3))
    with pytest.raises(InputError, match=r"must have the same classes: one has c0, c1, another c0, c1, c2"):
        predictor([one, other])
    other = Fake(by_brightness, classes(2, None, multilabel=True))
    with pytest.raises(InputError, match="must have the same classes"):
        predictor([one, other])


def test_a_frame_without_change_of_size_goes_through_unharmed() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (8, 16, 3), np.uint8)
    before = picture.copy()
    asker = predictor([Fake(by_brightness, classes(2))])
    class_map = asker.predict(Frame.from_rgb(picture)).class_map
    assert np.array_equal(class_map, picture.mean(-1) > 127.5)
    assert np.array_equal(picture, before)


@settings(deadline=None, max_examples=50)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(3, 6), st.integers(1, 7), st.integers(1, 7)),
        elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1, width=32),
    )
)
def test_the_class_map_is_the_argmax(probabilities: np.ndarray) -> None:
    before = probabilities.copy()
    class_map = decide(probabilities, classes(len(probabilities))).class_map
    assert class_map.dtype == np.uint8
    assert np.array_equal(class_map, np.argmax(probabilities, 0))
    assert np.array_equal(probabilities, before)


def test_of_several_labels_the_most_probable_above_a_half_is_drawn() -> None:
    probabilities = np.array([[[0.1, 0.9, 0.2]], [[0.6, 0.95, 0.5]], [[0.7, 0.2, 0.1]]], np.float32)
    assert decide(probabilities, classes(3, 0, multilabel=True)).class_map.tolist() == [[2, 1, 0]]
    assert decide(probabilities, classes(3, None, multilabel=True)).class_map.tolist() == [[2, 1, IGNORE_ID]]
    assert decide(probabilities, classes(3, None, multilabel=True)).labels.tolist() == [[6, 3, 0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_answer_that_is_not_finite_is_an_error_not_an_empty_mask(bad: float) -> None:
    values = positive(np.full((8, 16), 0.2))
    values[1, 3, 4] = bad
    asker = predictor([Fake(fixed(values), classes(2))])
    with pytest.raises(LaneError, match="not finite"):
        asker.predict(frames(1)[0])


def test_a_short_type_that_overflows_is_asked_again_in_fp32_and_said() -> None:
    broken = positive(np.full((8, 16), np.nan))
    narrow = Fake(fixed(broken), classes(2), precision="fp16", depth=2)
    wide = Fake(fixed(positive(np.full((8, 16), 0.9))), classes(2), depth=2)
    narrow.in_precision = lambda precision: wide  # type: ignore[method-assign]
    asker = predictor([narrow])
    predictions = list(asker.stream(frames(5)))
    assert all(p.class_map.all() for p in predictions)
    assert narrow.submitted <= 3  # those under way when the first was taken
    assert asker.compute["precision"] == "fp32"
    [line] = asker.take_warnings()
    assert "fp16 gave values that are not finite" in line
    assert asker.take_warnings() == []


def test_a_crop_made_for_another_frame_size_is_scaled_and_said() -> None:
    """A crop of 8 rows of 16 leaves half of a frame of 8 rows, not nothing of it."""
    geometry = Geometry((16, 8), (0, 8, 0, 0), frame=(32, 16))
    asker = predictor([Fake(fixed(positive(np.ones((8, 16)))), classes(2), geometry=geometry)])
    small = asker.predict(frames(1, (16, 8))[0])
    assert small.class_map.sum(1).tolist() == [0] * 4 + [16] * 4
    [line] = asker.take_warnings()
    assert "made for frames of 32x16" in line
    assert asker.predict(frames(1)[0]).class_map.sum(1).tolist() == [0] * 8 + [32] * 8
    assert asker.take_warnings() == []


def test_smoothing_has_the_half_life_it_says_and_leaves_pictures_alone() -> None:
    def flashing(picture: np.ndarray) -> np.ndarray:
        return positive(np.full((8, 16), 1.0 if picture.max() else 0.0))

    shown = [Frame.from_rgb(np.full((16, 32, 3), 255 * (i == 0), np.uint8), i, i, Fraction(1, 10)) for i in range(6)]
    asker = predictor([Fake(flashing, classes(2))], steps=[Smooth(0.2)])
    video = StepContext(classes(2), is_video=True, frame_rate=10)
    seen = [float(p.planes[0, 0, 0]) for p in asker.stream(shown, video)]
    assert seen == pytest.approx([2 ** (-i / 2) for i in range(6)], abs=1e-6)
    assert float(asker.predict(shown[1]).planes[0, 0, 0]) == 0
    with pytest.raises(InputError, match="half-life"):
        Smooth(-1)
