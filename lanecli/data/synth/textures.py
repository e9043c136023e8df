"""Tiles of noise and textures for surfaces, generated once from fixed seeds and cached."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

TILE = 512


@cache
def noise(kind: int, roughness: float, stretch: float = 1.0) -> NDArray[np.float32]:
    """Return a seamless (512, 512) tile of noise with mean 0 and standard deviation 1, clipped to ±3.

    Args:
        kind: number of the tile among those of the same roughness.
        roughness: spectral exponent: 0 for white noise, 1.5 for clouds.
        stretch: factor by which features are longer along the rows' axis.
    """
    rng = np.random.default_rng([kind, 77])
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
    fy, fx = np.fft.fftfreq(TILE)[:, None] * TILE, np.fft.rfftfreq(TILE)[None] * TILE
    frequency = np.hypot(fy * stretch, fx)
    frequency[0, 0] = 1.0
    spectrum /= frequency**roughness
    spectrum[0, 0] = 0.0
    tile = np.fft.irfft2(spectrum, s=(TILE, TILE))
    return np.clip(tile / tile.std(), -3, 3).astype(np.float32)


def sample(tile: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sample the tile at float coordinates in texels, bilinearly and periodically."""
    return cv2.remap(tile, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def sample_nearest(tile: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sample the tile at the texels under float coordinates, periodically; this is faster than `sample`."""
    index = y.astype(np.int32)
    index &= TILE - 1
    index *= TILE
    column = x.astype(np.int32)
    column &= TILE - 1
    index += column
    return tile.ravel().take(index)


def pyramid(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
    """Return the picture and its successive halvings down to about 4 pixels, for drawing it small without aliasing.

    Transparent pixels take the mean colour of the others, so that blending does not give a dark rim.
    """
    clear = picture[..., 3] == 0
    if clear.any() and not clear.all():
        picture = picture.copy()
        picture[clear, :3] = picture[~clear, :3].mean(axis=0)
    levels = [picture]
    while min(levels[-1].shape[:2]) > 7:
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    return tuple(levels)


def _opaque(colour: NDArray[np.floating]) -> NDArray[np.uint8]:
    alpha = np.full((*colour.shape[:2], 1), 255, np.uint8)
    return np.concatenate([np.clip(colour, 0, 255).astype(np.uint8), alpha], axis=2)


@cache
def tree(index: int) -> tuple[NDArray[np.uint8], ...]:
    """Return a tree that stands on the lower edge: an RGBA pyramid, 256 pixels high. Kinds repeat every 12 indices."""
    rng = np.random.default_rng([index, 78])
    size = 512  # drawn twice as large and halved, for soft edges
    picture = np.zeros((size, size, 4), np.uint8)
    kind = ("round", "round", "round", "round", "tall", "bush", "conifer", "round", "bare", "palm", "bush", "tall")[
        index % 12
    ]
    trunk = (rng.uniform(0.7, 1.2) * np.array([72, 60, 48])).tolist()
    green = np.array([rng.uniform(48, 88), rng.uniform(66, 96), rng.uniform(26, 48)])
    if kind == "bare":
        _branch(picture, rng, (size / 2, size - 1.0), -np.pi / 2, 112.0, 16.0, trunk)
        return pyramid(picture)[1:]
    if kind != "bush":
        foot = int(size * 0.5)
        cv2.line(picture, (foot, size - 1), (foot + int(rng.integers(-12, 13)), int(size * 0.4)), (*trunk, 255), 15)
    leaves = {"conifer": 3600, "palm": 900}.get(kind, 6000)
    t = rng.random(leaves)
    side = np.where(rng.random(leaves) < 0.5, -1, 1)
    if kind == "conifer":
        height = 0.10 + 0.88 * t
        reach = 0.28 * (1 - t) * rng.uniform(0.3, 1.0, leaves) * (0.75 + 0.25 * np.sin(t * 40))
    elif kind == "palm":
        frond, along = rng.integers(0, 11, leaves) / 10 * np.pi, rng.random(leaves)
        reach = 0.26 * along * np.abs(np.cos(frond)) + 0.01
        height = 0.82 + 0.16 * along * np.sin(frond) - 0.12 * along**2 + rng.normal(0, 0.008, leaves)
    else:
        wide = {"round": 0.43, "tall": 0.2, "bush": 0.42}[kind]
        low, high = {"round": (0.22, 0.97), "tall": (0.12, 0.97), "bush": (-0.2, 0.62)}[kind]
        # the crown consists of clumps, each a cloud of leaves
        clump = rng.integers(0, 26, leaves)
        angle, radius = rng.uniform(0, 2 * np.pi, 26), 0.8 * np.sqrt(rng.random(26))
        spread = rng.uniform(0.10, 0.2, 26)[clump]
        off = np.clip(rng.normal(0, 1, (2, leaves)), -1.7, 1.7) * spread
        x = wide * ((radius * np.cos(angle))[clump] + off[0])
        y = (low + high) / 2 + (high - low) / 2 * ((radius * np.sin(angle))[clump] + off[1])
        reach, side = np.minimum(np.abs(x), 0.49), np.sign(x)
        height = np.clip(y, 0.01, 0.985)
    order = rng.permutation(leaves)
    tone = 0.5 + 0.55 * height + 0.2 * side * reach + rng.uniform(-0.22, 0.22, leaves)
    if kind in ("round", "tall", "bush"):
        tone += rng.normal(0, 0.12, 26)[clump]
    for i in order:
        x, y = size * (0.5 + side[i] * reach[i]), size * (1 - height[i])
        colour = np.clip(green * tone[i], 0, 255).tolist()
        cv2.circle(picture, (int(x), int(y)), int(rng.integers(2, 6)), (*colour, 255), -1)
    return pyramid(picture)[1:]


def _branch(
    picture: NDArray[np.uint8],
    rng: np.random.Generator,
    at: tuple[float, float],
    angle: float,
    length: float,
    thick: float,
    colour: list[float],
) -> None:
    end = (at[0] + length * np.cos(angle), at[1] + length * np.sin(angle))
    start_px, end_px = (round(at[0]), round(at[1])), (round(end[0]), round(end[1]))
    cv2.line(picture, start_px, end_px, (*colour, 255), max(1, round(thick)), cv2.LINE_AA)
    if length < 14:
        return
    for _ in range(int(rng.integers(2, 4))):
        _branch(picture, rng, end, angle + rng.normal(0, 0.45), length * rng.uniform(0.6, 0.85), thick * 0.62, colour)


@cache
def foliage(index: int) -> tuple[NDArray[np.uint8], ...]:
    """Return a piece of hedge or wood with a ragged top, seen from the side: an RGBA pyramid, 256 x 128."""
    rng = np.random.default_rng([index, 79])
    rough = noise(40 + index, 1.1)[:128, :256]
    fine = noise(50 + index, 0.5)[:128, :256]
    ramp = np.linspace(1.1, 0.5, 128, dtype=np.float32)[:, None]
    green = np.array([rng.uniform(50, 92), rng.uniform(66, 92), rng.uniform(30, 50)], np.float32)
    picture = _opaque((green * (ramp + 0.16 * rough + 0.14 * fine)[..., None]).astype(np.float32))
    columns = np.arange(256)
    edge = 22 + 9 * noise(60 + index, 1.2)[0, :256] + 4 * noise(70 + index, 0.4)[0, :256]
    edge *= np.minimum(1, np.minimum(columns, 255 - columns) / 30 + 0.6)
    picture[..., 3] = np.where(np.arange(128)[:, None] + 6 * fine > edge, 255, 0)
    return pyramid(picture)


@cache
def facade(index: int) -> tuple[NDArray[np.uint8], ...]:
    """Return the front of a house with windows on 4 floors: an RGBA pyramid, 192 x 192."""
    rng = np.random.default_rng([index, 80])
    walls = ((176, 164, 146), (142, 84, 66), (196, 192, 186), (120, 116, 112), (168, 140, 104), (100, 116, 130))
    wall = np.array(walls[index % len(walls)], np.float32) * rng.uniform(0.75, 1.1)
    grain = noise(80, 0.4)[:192, :192, None] * 0.05 + noise(81, 1.2)[:192, :192, None] * 0.07
    picture = np.tile(wall, (192, 192, 1)) * (1 + grain)
    glass = np.array([52, 60, 70], np.float32)
    across = int(rng.integers(3, 7))
    pitch = 192 / across
    wide, tall = pitch * rng.uniform(0.35, 0.7), 48 * rng.uniform(0.4, 0.62)
    for floor in range(4):
        shop = floor == 3 and index % 2 == 0
        for column in range(across):
            x0 = int(column * pitch + (pitch - wide) / 2)
            y0 = int(floor * 48 + (48 - tall) / 2)
            shade = rng.uniform(0.6, 1.7)
            if shop:
                sign = rng.uniform(40, 210, 3)
                picture[150:160, int(column * pitch) + 2 : int((column + 1) * pitch) - 2] = sign
                picture[162:188, int(column * pitch) + 3 : int((column + 1) * pitch) - 3] = glass * shade
                continue
            picture[y0 - 2 : y0 + int(tall) + 2, x0 - 2 : x0 + int(wide) + 2] = wall * 1.15
            picture[y0 : y0 + int(tall), x0 : x0 + int(wide)] = glass * shade
        if index % 3 == 0:
            picture[floor * 48 : floor * 48 + 3] = wall * 0.7
    return pyramid(_opaque(picture.astype(np.float32)))


@cache
def surface(name: str) -> tuple[NDArray[np.uint8], ...]:
    """Return the texture of a wall or bank as an RGBA pyramid, 256 x 128.

    Its names are concrete, rail, fence, earth, grass, rock and parapet.
    """
    colours = {
        "concrete": (158, 152, 142),
        "parapet": (126, 122, 116),
        "rail": (150, 152, 154),
        "fence": (148, 150, 150),
        "earth": (170, 140, 96),
        "grass": (98, 110, 54),
        "rock": (150, 134, 112),
    }
    kind = list(colours).index(name)
    rough = {"rock": 0.36, "earth": 0.13, "grass": 0.2}.get(name, 0.05)
    grain = rough * (noise(90 + kind, 1.0)[:128, :256] + 0.6 * noise(91 + kind, 0.3)[:128, :256])
    picture = np.array(colours[name], np.float32) * (1 + grain[..., None])
    if name in ("concrete", "parapet"):
        picture[:, ::64] *= 0.6
        picture[:10] *= 1.12
        picture[110:] *= 0.8
    result = _opaque(picture)
    if name == "rail":
        result[:, :, 3] = 0
        result[6:52, :, 3] = 255
        result[24:34, :, :3] = (result[24:34, :, :3] * 0.55).astype(np.uint8)
        result[6:12, :, :3] = np.minimum(result[6:12, :, :3] * 1.25, 255).astype(np.uint8)
        result[:, 0::64, 3] = result[:, 1::64, 3] = result[:, 2::64, 3] = 255
    if name == "fence":
        result[:, :, 3] = 0
        for start in range(0, 256, 16):
            result[8:, start : start + 5, 3] = 255
        result[8:20, :, 3] = result[100:110, :, 3] = 255
    if name in ("earth", "grass", "rock"):
        edge = 10 + 8 * noise(95 + kind, 1.3)[0, :256] * np.hanning(256)
        result[..., 3] = np.where(np.arange(128)[:, None] > edge, 255, 0)
    return pyramid(result)
