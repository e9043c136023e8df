"""Augments training pictures and masks: repainted lines, one projective warp, levels, blur, noise and cut-outs."""

from __future__ import annotations

import cv2
import numpy as np

from lanecli.data.repaint import repaint
from lanecli.errors import InputError
from lanecli.geometry import Placement
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.sections import AugmentConfig


def _translation(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], float)


def _scaling(x: float, y: float) -> np.ndarray:
    return np.diag([x, y, 1.0])


def placement_matrix(placement: Placement) -> np.ndarray:
    """Return the (3, 3) matrix from pixel-centre coordinates of the frame to those of the network's input.

    It does the same as `Placement.points`.
    """
    origin, unit_x, unit_y = placement.points(np.array([[0, 0], [1, 0], [0, 1]], float))
    return np.array([[*(unit_x - origin)[:1], 0, origin[0]], [0, (unit_y - origin)[1], origin[1]], [0, 0, 1]])


def random_matrix(config: AugmentConfig, size: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Draw a random zoom, stretch, rotation, shift, perspective and mirroring about the picture's centre.

    Args:
        config: the ranges to draw from.
        size: (width, height) of the picture.
        rng: the random stream.

    Returns:
        The (3, 3) matrix on pixel-centre coordinates, and whether it mirrors left to right.
    """
    width, height = size
    zoom = np.exp(rng.uniform(*np.log(config.scale)))
    stretch = np.exp(rng.uniform(-config.aspect, config.aspect))
    angle = np.deg2rad(rng.uniform(-config.rotate, config.rotate))
    flip = bool(rng.random() < config.flip)
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    scaling = _scaling(zoom * stretch * (-1 if flip else 1), zoom / stretch)
    tilt = np.eye(3)
    if config.perspective:
        tilt[2, :2] = rng.uniform(-config.perspective, config.perspective, 2) / (width, height)
    # a magnified picture may move up to its border, and by `config.shift` beyond it
    free = max(0.0, (zoom - 1) / 2)
    shift = rng.uniform(-1, 1, 2) * (free + config.shift) * (width, height)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    return _translation(*(centre + shift)) @ tilt @ rotation @ scaling @ _translation(*-centre), flip


def warp(
    picture: np.ndarray, mask: np.ndarray, matrix: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Warp a picture and its mask by one projective matrix: bilinear without aliasing, and by the nearest pixel.

    Args:
        picture: (H, W, 3) uint8.
        mask: (H', W') uint8 train ids of the same view, which may have another size.
        matrix: (3, 3) from pixel-centre coordinates of the picture to those of the result.
        size: (width, height) of the result.

    Returns:
        (height, width, 3) uint8 and (height, width) uint8. Pixels outside the picture are grey, and ignored in the
        mask.
    """
    to_mask = _resize_matrix(picture.shape, mask.shape)
    shrink = 1 / np.sqrt(max(abs(np.linalg.det(matrix[:2, :2])), 1e-9))
    while shrink >= 2:  # halve first, since the warp would skip pixels
        half = cv2.resize(picture, (picture.shape[1] // 2, picture.shape[0] // 2), interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.linalg.inv(_resize_matrix(picture.shape, half.shape))
        to_mask = to_mask @ np.linalg.inv(_resize_matrix(picture.shape, half.shape))
        picture, shrink = half, shrink / 2
    warped = cv2.warpPerspective(
        picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(114, 114, 114)
    )
    warped_mask = cv2.warpPerspective(
        mask,
        matrix @ np.linalg.inv(to_mask),
        size,
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=IGNORE_ID,
    )
    return warped, warped_mask


def _resize_matrix(source: tuple[int, ...], target: tuple[int, ...]) -> np.ndarray:
    """Return the (3, 3) matrix on pixel-centre coordinates for resizing one shape (H, W, …) to another."""
    x, y = target[1] / source[1], target[0] / source[0]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def swap_classes(mask: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """Exchange the classes of a mirrored mask that the label map lists as left and right counterparts."""
    if not label_map.swaps:
        return mask
    table: np.ndarray = np.arange(256, dtype=np.uint8)
    for left, right in label_map.swaps:
        if label_map.multilabel:  # a mask holds one bit per class
            others = table & np.uint8(255 - (1 << left | 1 << right))
            table = (others | (table >> left & 1) << right | (table >> right & 1) << left).astype(np.uint8)
        else:
            table[[left, right]] = right, left
    table[IGNORE_ID] = IGNORE_ID
    return table[mask]


def change_levels(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Change white balance, saturation, contrast, gamma and brightness of (H, W, 3) uint8 RGB at random."""
    balance = np.exp(rng.normal(0, 0.25 * strength, 3))
    saturation = max(0.0, 1 + rng.normal(0, strength))
    contrast, gamma = np.exp(rng.normal(0, 0.6 * strength)), np.exp(rng.normal(0, 0.7 * strength))
    brightness = rng.normal(0, 0.25 * strength)
    ramp = np.linspace(0, 1, 256)[:, None] ** gamma * balance
    table = np.clip((ramp - 0.45) * contrast + 0.45 + brightness, 0, 1)
    levelled = cv2.LUT(picture, np.rint(table * 255).astype(np.uint8)[None])
    grey = cv2.cvtColor(cv2.cvtColor(levelled, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(levelled, saturation, grey, 1 - saturation, 0)


def blur(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply defocus blur, motion blur, or scaling down and up again, at random."""
    kind = rng.integers(3)
    height, width = picture.shape[:2]
    if kind == 0:
        return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.6))
    if kind == 1:
        length = 2 * int(rng.integers(1, 5)) + 1  # odd, since an even kernel would shift the picture
        kernel = np.zeros((length, length), np.float32)
        end = (int(length // 2 * (1 + np.cos(a := rng.uniform(0, np.pi)))), int(length // 2 * (1 + np.sin(a))))
        cv2.line(kernel, (length - 1 - end[0], length - 1 - end[1]), end, 1)
        kernel += kernel[::-1, ::-1].copy()  # OpenCV's lines are not symmetric
        return cv2.filter2D(picture, -1, kernel / kernel.sum())
    factor = rng.uniform(0.4, 0.9)
    small = cv2.resize(
        picture, (max(1, int(width * factor)), max(1, int(height * factor))), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def add_noise(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add sensor noise or the artefacts of strong JPEG compression."""
    if rng.random() < 0.5:
        noise = rng.standard_normal(picture.shape, np.float32) * rng.uniform(2, 14)
        return np.clip(picture + noise, 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 75))])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED))


def cut_out(picture: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> None:
    """Cover a random rectangle, in place, and ignore its pixels (cutout, DeVries & Taylor, arXiv 1708.04552)."""
    height, width = mask.shape
    h, w = int(height * rng.uniform(0.05, 0.3)), int(width * rng.uniform(0.05, 0.3))
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    picture[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    mask[y : y + h, x : x + w] = IGNORE_ID


def paint_classes(label_map: LabelMap) -> tuple[int, int]:
    """Return the train ids of lane paint and of the background. Raises InputError if there are other classes."""
    background = label_map.background
    if label_map.multilabel or len(label_map.classes) != 2 or background is None:
        raise InputError(
            f"data.augment.repaint needs two classes, a background and lane paint; label map '{label_map.name}' has "
            f"{', '.join(label_map.names)}"
        )
    return 1 - background, background


def augment_geometry(
    picture: np.ndarray,
    mask: np.ndarray,
    placement: Placement,
    config: AugmentConfig,
    label_map: LabelMap,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Repaint and warp a training pair at random. This is the first half of :func:`augment`, with its arguments."""
    if config.repaint and rng.random() < config.repaint:
        paint, background = paint_classes(label_map)
        picture, mask = repaint(picture, mask, rng, paint=paint, background=background)
    change, flipped = random_matrix(config, placement.network, rng)
    picture, mask = warp(picture, mask, change @ placement_matrix(placement), placement.network)
    return picture, swap_classes(mask, label_map) if flipped else mask


def augment_appearance(
    picture: np.ndarray, mask: np.ndarray, config: AugmentConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Change levels, blur, noise and cut-outs at random. This is the second half of :func:`augment`.

    Args:
        picture: (h, w, 3) uint8 RGB; it is not modified.
        mask: (h, w) uint8 train ids; it is not modified.
        config: what may change and how much.
        rng: the sample's own random stream.

    Returns:
        The picture and the mask.
    """
    if config.color:
        picture = change_levels(picture, config.color, rng)
    if rng.random() < config.blur:
        picture = blur(picture, rng)
    if rng.random() < config.noise:
        picture = add_noise(picture, rng)
    if rng.random() < config.cutout:
        picture, mask = picture.copy(), mask.copy()
        cut_out(picture, mask, rng)
    return picture, mask


def augment(
    picture: np.ndarray,
    mask: np.ndarray,
    placement: Placement,
    config: AugmentConfig,
    label_map: LabelMap,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Bring a training pair to the network's size, with random changes.

    Args:
        picture: (H, W, 3) uint8 RGB of the placement's frame size.
        mask: (H', W') uint8 train ids of the same view.
        placement: the geometry for this picture; the random warp is composed with it, so pixels are sampled once.
        config: what may change and how much.
        label_map: the classes, some of which may swap when a picture is mirrored.
        rng: the sample's own random stream.

    Returns:
        (h, w, 3) uint8 RGB and (h, w) uint8 train ids at the network's size.
    """
    return augment_appearance(*augment_geometry(picture, mask, placement, config, label_map, rng), config, rng)
