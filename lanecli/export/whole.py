"""The whole model as one module: from pictures of any size to class maps and probabilities of the same size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from lanecli.export.resample import Band, filled_outputs, resize_along, resize_band
from lanecli.geometry import PAD_COLOR, SNAP, Geometry, Side, Size
from lanecli.inference.backends.base import FALLBACK_SIZE
from lanecli.inference.backends.trim import NETWORK_INPUT, inner_name
from lanecli.inference.member import CERTAIN_LOGIT
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.models.build import Network
from lanecli.uncertainty.maps import map_kind

_CERTAIN = 0.5


class WholeModel(nn.Module):
    """Does what `lanecli predict` does with one model, in one graph (`lanecli.geometry`, `lanecli.labels.decide`).

    It crops, resizes and pads pictures, runs the network, scales probabilities and maps back to the pictures' size, and
    chooses the class there.
    """

    def __init__(
        self,
        network: Network,
        label_map: LabelMap,
        geometry: Geometry,
        maps: Sequence[str] = (),
        fixed: Size | None = None,
    ) -> None:
        """Set up.

        Args:
            network: the network, in eval mode.
            label_map: its classes.
            geometry: what is done to a picture first; without a size, the network sees `FALLBACK_SIZE`, as in `lanecli
                predict`.
            maps: names of the network's further outputs to compute too.
            fixed: (width, height) of all pictures: the resizing weights are then computed once and constant in the
                graph.
        """
        super().__init__()
        self.network, self.label_map = network, label_map
        self.geometry = geometry if geometry.size else replace(geometry, size=FALLBACK_SIZE)
        self.maps = tuple(maps)
        if fixed is not None:
            for name, (indices, weights) in self._bands(*fixed).items():
                self.register_buffer(f"{name}_places", indices)
                self.register_buffer(f"{name}_weights", weights)
        self.fixed = fixed

    def _bands(self, width: Any, height: Any) -> dict[str, Band]:
        """Return the bands that resize pictures to the network's size, and planes back, along either side."""
        if getattr(self, "fixed", None) is not None:
            names = ("columns", "rows", "columns_back", "rows_back")
            return {name: (getattr(self, f"{name}_places"), getattr(self, f"{name}_weights")) for name in names}
        across, down = self.geometry.side(0, width, height), self.geometry.side(1, height, width)
        bands = {}
        for name, side, size in (("columns", across, width), ("rows", down, height)):
            frame, network = (side.start, side.length), (side.content_start, side.content_length)
            bands[name] = resize_band(frame, network, side.network)
            bands[f"{name}_back"] = resize_band(network, frame, size)
        return bands

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` returns, in order; `predict` cuts the graph at the last, inner ones."""
        inner = (NETWORK_INPUT, *(inner_name(name) for name in self.maps))
        return ("class_map", "probabilities", "logits", *self.maps, *inner)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the values of :attr:`outputs`.

        Args:
            pictures: (N, H, W, 3) uint8 RGB.

        Returns:
            ``class_map`` (N, H, W) uint8; ``probabilities`` (N, C, H, W) float32; ``logits`` (N, C, h, w) float32 at
            the network's size; each map (N, H, W) float32.
        """
        height, width = pictures.shape[1], pictures.shape[2]
        bands = self._bands(width, height)
        outputs, shown, within = self._run_network(pictures, bands)
        logits = outputs["logits"].float()
        planes = self._at_picture_size(self._planes(logits), self._outside((0.0, 1.0)), bands, within)
        maps = []
        for name in self.maps:
            plane = outputs[name].float()
            surest = (plane.amin if map_kind(name).sign > 0 else plane.amax)((1, 2), keepdim=True)
            grown = self._back(plane[:, None], bands, height, width)[:, 0]
            maps.append(torch.where(within, grown, surest) if any(self.geometry.crop) else grown)
        inner = [outputs[name].float() for name in self.maps]
        chosen, probabilities = chosen_classes(planes, self.label_map), all_probabilities(planes, self.label_map)
        return chosen, probabilities, logits, *maps, shown, *inner

    def scores(self, pictures: torch.Tensor, *, logits: bool = False) -> torch.Tensor:
        """Return (N, K, H, W) float32 at the pictures' size: probabilities, or logits that were scaled as logits.

        Args:
            pictures: (N, H, W, 3) uint8 RGB.
            logits: whether to return logits; for two exclusive classes, the one plane of their difference.
        """
        bands = self._bands(pictures.shape[2], pictures.shape[1])
        outputs, _, within = self._run_network(pictures, bands)
        values = outputs["logits"].float()
        if not logits:
            return self._at_picture_size(self._planes(values), self._outside((0.0, 1.0)), bands, within)
        if self.label_map.bernoulli and not self.label_map.multilabel:
            values = values[:, 1:] - values[:, :1]
        low = -CERTAIN_LOGIT if self.label_map.bernoulli else 0.0
        return self._at_picture_size(values, self._outside((low, CERTAIN_LOGIT)), bands, within)

    def _run_network(
        self, pictures: torch.Tensor, bands: Mapping[str, Any]
    ) -> tuple[dict[str, Any], torch.Tensor, torch.Tensor]:
        """Return the network's outputs, the pictures it saw, and which pixels of the input it saw, (H, W) bool."""
        height, width = pictures.shape[1], pictures.shape[2]
        across, down = self.geometry.side(0, width, height), self.geometry.side(1, height, width)
        shown = self._shown(pictures, across, down, bands)
        rows = filled_outputs((down.start, down.length), height)[:, None]
        within = rows & filled_outputs((across.start, across.length), width)
        return self.network(shown, ("logits", *self.maps)), shown, within

    def _at_picture_size(
        self, planes: torch.Tensor, outside: torch.Tensor, bands: Mapping[str, Any], within: torch.Tensor
    ) -> torch.Tensor:
        """Return planes at the picture's size, with the value `outside` outside the crop."""
        planes = self._back(planes, bands, within.shape[0], within.shape[1])
        return torch.where(within, planes, outside) if any(self.geometry.crop) else planes

    def _shown(self, pictures: torch.Tensor, across: Side, down: Side, bands: Mapping[str, Band]) -> torch.Tensor:
        """Crop, resize and pad (N, H, W, 3) uint8 to (N, h, w, 3) float32 of whole levels."""
        batch, height, width = pictures.shape[0], pictures.shape[1], pictures.shape[2]
        # plane by plane: runtimes transpose planes fast, but pixels of three bytes slowly
        values = pictures.permute(0, 3, 1, 2).reshape(batch * 3, height, width)
        values = resize_along(values, bands["rows"], down.network).transpose(1, 2)
        values = resize_along(values, bands["columns"], across.network).transpose(1, 2)
        if self.geometry.fit == "pad":
            filled = (
                filled_outputs((down.content_start, down.content_length), down.network)[:, None]
                & filled_outputs((across.content_start, across.content_length), across.network)[None]
            )
            values = torch.where(filled, values, torch.full((1,), float(PAD_COLOR)))
        values = torch.round(torch.round(values * SNAP) / SNAP).reshape(batch, 3, down.network, across.network)
        return values.permute(0, 2, 3, 1)

    def _back(self, planes: torch.Tensor, bands: Mapping[str, Band], height: Any, width: Any) -> torch.Tensor:
        """Scale (N, K, h, w) of the network's size to (N, K, H, W) of the picture's; zero outside the crop."""
        batch, count, rows_in, columns_in = planes.shape
        values = planes.transpose(2, 3).reshape(batch * count, columns_in, rows_in)
        # columns first, while there are few rows
        values = resize_along(values, bands["columns_back"], width).transpose(1, 2)
        return resize_along(values, bands["rows_back"], height).reshape(batch, count, height, width)

    def _planes(self, logits: torch.Tensor) -> torch.Tensor:
        """Return one plane of probabilities for each of `LabelMap.plane_classes`."""
        if self.label_map.multilabel:
            return logits.sigmoid()
        return (logits[:, 1:] - logits[:, :1]).sigmoid() if self.label_map.bernoulli else logits.softmax(1)

    def _outside(self, ends: tuple[float, float]) -> torch.Tensor:
        """Return the planes' values outside the crop, (K, 1, 1), from those of other classes and background."""
        values = [ends[number == self.label_map.background] for number in self.label_map.plane_classes]
        return torch.tensor(values, dtype=torch.float32)[:, None, None]


def all_probabilities(planes: torch.Tensor, label_map: LabelMap) -> torch.Tensor:
    """Expand (N, K, H, W) planes of probabilities to (N, C, H, W), one for every class."""
    single = label_map.bernoulli and not label_map.multilabel
    return torch.cat([1 - planes, planes], 1) if single else planes


def chosen_classes(planes: torch.Tensor, label_map: LabelMap) -> torch.Tensor:
    """Choose (N, H, W) uint8 train ids from (N, K, H, W) planes of probabilities (`lanecli.labels.decide`)."""
    if label_map.bernoulli and not label_map.multilabel:
        return (planes[:, 0] > _CERTAIN).to(torch.uint8)
    highest, best = planes.max(1)
    if label_map.multilabel:
        background = label_map.background
        none = IGNORE_ID if background is None else background
        best = torch.where(highest > _CERTAIN, best, torch.full((1,), none, dtype=best.dtype))
    return best.to(torch.uint8)
