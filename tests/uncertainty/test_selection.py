from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanecli.uncertainty.selection import SCORES, SPREADS, choose_frames, describe_frame, frame_scores


def test_scores_of_a_frame():
    doubt = np.zeros((100, 100), np.float32)
    doubt[:5] = 1.0  # one twentieth
    found = frame_scores(doubt)
    assert set(found) == set(SCORES)
    assert found["mean"] == pytest.approx(0.05)
    assert found["tail"] == 1.0
    assert found["peak"] == 1.0
    assert frame_scores(np.array([[0.3]]))["tail"] == pytest.approx(0.3)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_tail_and_peak_are_numpys_percentiles(seed):
    doubt = np.random.default_rng(seed).random((60, 70))
    found = frame_scores(doubt)
    ordered = np.sort(doubt.ravel())
    assert found["tail"] == pytest.approx(ordered[-210:].mean())
    assert found["peak"] == pytest.approx(np.percentile(doubt, 99.9), abs=2e-3)


def test_a_description_knows_left_from_right():
    features = np.zeros((2, 6, 9))
    features[0, :, :3] = 1.0
    found = describe_frame(features)
    assert found.shape == (12,)
    assert found.tolist() == [1, 0, 0, 0, *[0] * 8]
    assert describe_frame(np.ones((2, 3, 2))).shape == (8,)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 35), st.sampled_from(SPREADS))
def test_as_many_different_frames_as_asked(seed, number, count, spread):
    rng = np.random.default_rng(seed)
    scores, places = rng.random(number), rng.integers(0, 3, (number, 4)).astype(float)
    chosen = choose_frames(scores, places, count, spread)
    assert len(chosen) == len(set(chosen)) == min(count, number)
    assert all(0 <= i < number for i in chosen)
    assert chosen[0] == scores.argmax()


@pytest.mark.parametrize("spread", ["greedy", "clusters"])
def test_neighbours_are_not_chosen_twice(spread):
    rng = np.random.default_rng(0)
    # five scenes of ten frames that are nearly alike; the most doubtful scene is so in all its frames
    places = np.repeat(rng.standard_normal((5, 6)) * 10, 10, axis=0) + 0.01 * rng.standard_normal((50, 6))
    scores = np.concatenate([np.full(10, 0.9), np.full(40, 0.5)]) + 0.01 * rng.random(50)
    assert {i // 10 for i in choose_frames(scores, places, 5, spread)} == {0, 1, 2, 3, 4}
    assert {i // 10 for i in choose_frames(scores, places, 5, "none")} == {0}


def test_of_alike_scenes_the_doubtful_frames_are_taken():
    rng = np.random.default_rng(1)
    places = np.repeat(rng.standard_normal((4, 3)) * 10, 5, axis=0) + 1e-3 * rng.standard_normal((20, 3))
    scores = rng.random(20)
    wanted = {5 * scene + int(scores[5 * scene : 5 * scene + 5].argmax()) for scene in range(4)}
    assert set(choose_frames(scores, places, 4, "clusters")) == wanted


def test_unknown_rule():
    with pytest.raises(ValueError, match="there is no spread 'random'"):
        choose_frames(np.zeros(3), np.zeros((3, 1)), 2, "random")
