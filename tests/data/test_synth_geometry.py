"""Camera, road and ground map of rendered scenes against one another and against plain trigonometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanecli.data.synth.camera import Camera
from lanecli.data.synth.road import RoadShape, RoadView

SIZE = (320, 180)


def rotated_pinhole(camera: Camera, point: np.ndarray) -> np.ndarray:
    """Textbook projection with rotation matrices, without distortion."""
    down = np.array([point[0], camera.height - point[1], point[2]])
    c, s = np.cos(camera.pitch), np.sin(camera.pitch)
    x, y, z = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ down
    c, s = np.cos(camera.roll), np.sin(camera.roll)
    image = np.array([[c, -s], [s, c]]) @ (camera.focal * np.array([x, y]) / z)
    return image + (np.array(camera.size) - 1) / 2


@given(
    st.floats(-0.15, 0.15),
    st.floats(-0.05, 0.05),
    st.floats(-15, 15),
    st.floats(0, 6),
    st.floats(3, 200),
)
@settings(max_examples=60, deadline=None)
def test_projection_is_the_textbook_one(pitch: float, roll: float, x: float, y: float, z: float) -> None:
    camera = Camera(SIZE, 280.0, 1.5, pitch, roll, 0.0)
    point = np.array([x, y, z])
    np.testing.assert_allclose(camera.project(point[None])[0], rotated_pinhole(camera, point), atol=1e-6)


@given(st.floats(0.0, 0.1), st.integers(0, 319), st.integers(0, 179), st.floats(-0.05, 0.05))
@settings(max_examples=60, deadline=None)
def test_projection_undoes_the_rays(distortion: float, column: int, row: int, roll: float) -> None:
    camera = Camera(SIZE, 280.0, 1.5, 0.02, roll, distortion)
    across, down = camera.rays()
    ray = np.array([across[row, column], down[row, column], camera.focal])
    c, s = np.cos(camera.pitch), np.sin(camera.pitch)
    x, y, z = np.array([[1, 0, 0], [0, c, s], [0, -s, c]]) @ ray
    point = np.array([x, camera.height - y, z]) * 0.05 + np.array([0, camera.height * 0.95, 0])
    np.testing.assert_allclose(camera.project(point[None])[0], [column, row], atol=2e-3)


@given(
    st.floats(-1 / 300, 1 / 300),
    st.floats(0, 0.04),
    st.floats(-0.04, 0.04),
    st.floats(-0.02, 0.02),
    st.floats(0, 0.06),
    st.floats(0, 500),
)
@settings(max_examples=25, deadline=None)
def test_ground_map_agrees_with_projecting_back(
    bend: float, hill: float, yaw: float, roll: float, distortion: float, s: float
) -> None:
    shape = RoadShape(bend, ((1 / 900, 400.0, 1.0),), ((hill, 350.0, 0.5),))
    camera = Camera(SIZE, 280.0, 1.4, 0.01, roll, distortion)
    view = RoadView(shape, camera, s, 0.4, yaw)
    ground = view.ground(*camera.rays())
    rows, columns = np.nonzero(ground.seen & (ground.z < 90) & (np.abs(ground.u) < 9))
    u, along = ground.u[rows, columns].astype(float), ground.s[rows, columns].astype(float)
    pixels = camera.project(view.to_world(along, u))
    error = np.hypot(pixels[:, 0] - columns, pixels[:, 1] - rows - ground.top)
    assert np.median(error) < 0.1
    assert np.percentile(error, 99) < 0.7


def test_bend_to_the_right_goes_right() -> None:
    camera = Camera(SIZE, 280.0, 1.5, 0.0, 0.0, 0.0)
    view = RoadView(RoadShape(1 / 200, (), ()), camera, 0.0, 0.0, 0.0)
    # a circle of radius 200 m after 60 m: 200 (1 - cos 0.3) to the right
    point = view.to_world(60.0, 0.0)[0]
    assert point[0] == pytest.approx(200 * (1 - np.cos(0.3)), abs=0.02)
    assert point[2] == pytest.approx(200 * np.sin(0.3), abs=0.02)


def test_what_lies_behind_a_crest_is_not_visible() -> None:
    camera = Camera(SIZE, 280.0, 1.5, 0.0, 0.0, 0.0)
    view = RoadView(RoadShape(0.0, (), ((0.05, 200.0, np.pi / 2),)), camera, 0.0, 0.0, 0.0)
    near, far = view.to_world(10.0, 0.0), view.to_world(90.0, 0.0)
    assert view.visible(near).all()
    # the grade falls from +5 % to -5 % over the first 100 m, so the road drops out of sight
    assert not view.visible(far).all()
