"""The whole model as one module: from pictures of any size to class maps and probabilities at their own size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from lanecli.export.resample import Band, along, band, inside
from lanecli.geometry import PAD_COLOR, SNAP, Geometry, Side, Size
from lanecli.inference.backends.base import FALLBACK_SIZE
from lanecli.inference.backends.trim import SHOWN, inner_name
from lanecli.inference.member import CERTAIN_LOGIT
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.models.build import Network
from lanecli.uncertainty.maps import map_kind

_CERTAIN = 0.5


class WholeModel(nn.Module):
    """Crop, resize and pad; the network; probabilities and maps back at the picture's size; the class chosen there.

    What `lanecli predict` does with one model, in one graph (`lanecli.geometry`, `lanecli.labels.decide`).
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
            network: in eval mode.
            label_map: its classes.
            geometry: what is done to a picture first; where it names no size, the network sees `FALLBACK_SIZE`, as in
                `lanecli predict`.
            maps: names of the network's further outputs to give too.
            fixed: (width, height) of all pictures: what resizes them is then computed once, and constant in the graph.
        """
        super().__init__()
        self.network, self.label_map = network, label_map
        self.geometry = geometry if geometry.size else replace(geometry, size=FALLBACK_SIZE)
        self.maps = tuple(maps)
        if fixed is not None:
            for name, (places, weights) in self._bands(*fixed).items():
                self.register_buffer(f"{name}_places", places)
                self.register_buffer(f"{name}_weights", weights)
        self.fixed = fixed

    def _bands(self, width: Any, height: Any) -> dict[str, Band]:
        """What resizes pictures of one size to the network's, and planes of its size back, along either side."""
        if getattr(self, "fixed", None) is not None:
            names = ("columns", "rows", "columns_back", "rows_back")
            return {name: (getattr(self, f"{name}_places"), getattr(self, f"{name}_weights")) for name in names}
        across, down = self.geometry.side(0, width, height), self.geometry.side(1, height, width)
        found = {}
        for name, side, size in (("columns", across, width), ("rows", down, height)):
            frame, network = (side.start, side.length), (side.content_start, side.content_length)
            found[name] = band(frame, network, side.network)
            found[f"{name}_back"] = band(network, frame, size)
        return found

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives, in order; the last ones are inner values, for `predict` to cut at."""
        inner = (SHOWN, *(inner_name(name) for name in self.maps))
        return ("class_map", "probabilities", "logits", *self.maps, *inner)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The values of :attr:`outputs`.

        Args:
            pictures: (N, H, W, 3) uint8 RGB.

        Returns:
            ``class_map`` (N, H, W) uint8; ``probabilities`` (N, C, H, W) float32; ``logits`` (N, C, h, w) float32 at
            the network's size; each map (N, H, W) float32.
        """
        height, width = pictures.shape[1], pictures.shape[2]
        bands = self._bands(width, height)
        found, shown, within = self._asked(pictures, bands)
        logits = found["logits"].float()
        planes = self._placed(self._planes(logits), self._beyond((0.0, 1.0)), bands, within)
        maps = []
        for name in self.maps:
            plane = found[name].float()
            surest = (plane.amin if map_kind(name).sign > 0 else plane.amax)((1, 2), keepdim=True)
            grown = self._back(plane[:, None], bands, height, width)[:, 0]
            maps.append(torch.where(within, grown, surest) if any(self.geometry.crop) else grown)
        inner = [found[name].float() for name in self.maps]
        chosen, probabilities = chosen_classes(planes, self.label_map), all_probabilities(planes, self.label_map)
        return chosen, probabilities, logits, *maps, shown, *inner

    def scores(self, pictures: torch.Tensor, *, logits: bool = False) -> torch.Tensor:
        """(N, K, H, W) float32 at the pictures' size: probabilities, or logits scaled back as such.

        Args:
            pictures: (N, H, W, 3) uint8 RGB.
            logits: which; of two exclusive classes' logits it is the one plane of differences.
        """
        bands = self._bands(pictures.shape[2], pictures.shape[1])
        found, _, within = self._asked(pictures, bands)
        values = found["logits"].float()
        if not logits:
            return self._placed(self._planes(values), self._beyond((0.0, 1.0)), bands, within)
        if self.label_map.bernoulli and not self.label_map.multilabel:
            values = values[:, 1:] - values[:, :1]
        low = -CERTAIN_LOGIT if self.label_map.bernoulli else 0.0
        return self._placed(values, self._beyond((low, CERTAIN_LOGIT)), bands, within)

    def _asked(
        self, pictures: torch.Tensor, bands: Mapping[str, Any]
    ) -> tuple[dict[str, Any], torch.Tensor, torch.Tensor]:
        """What the network says, the pictures as it saw them, and (H, W) bool: which pixels it saw."""
        height, width = pictures.shape[1], pictures.shape[2]
        across, down = self.geometry.side(0, width, height), self.geometry.side(1, height, width)
        shown = self._shown(pictures, across, down, bands)
        within = inside((down.start, down.length), height)[:, None] & inside((across.start, across.length), width)
        return self.network(shown, ("logits", *self.maps)), shown, within

    def _placed(
        self, planes: torch.Tensor, beyond: torch.Tensor, bands: Mapping[str, Any], within: torch.Tensor
    ) -> torch.Tensor:
        """Planes at the picture's size, with `beyond` outside the crop."""
        planes = self._back(planes, bands, within.shape[0], within.shape[1])
        return torch.where(within, planes, beyond) if any(self.geometry.crop) else planes

    def _shown(self, pictures: torch.Tensor, across: Side, down: Side, bands: Mapping[str, Band]) -> torch.Tensor:
        """(N, H, W, 3) uint8 to (N, h, w, 3) float32 whole levels."""
        batch, height, width = pictures.shape[0], pictures.shape[1], pictures.shape[2]
        # plane by plane: runtimes transpose planes quickly and pixels of three bytes slowly
        values = pictures.permute(0, 3, 1, 2).reshape(batch * 3, height, width)
        values = along(values, bands["rows"], down.network).transpose(1, 2)
        values = along(values, bands["columns"], across.network).transpose(1, 2)
        if self.geometry.fit == "pad":
            filled = (
                inside((down.content_start, down.content_length), down.network)[:, None]
                & inside((across.content_start, across.content_length), across.network)[None]
            )
            values = torch.where(filled, values, torch.full((1,), float(PAD_COLOR)))
        values = torch.round(torch.round(values * SNAP) / SNAP).reshape(batch, 3, down.network, across.network)
        return values.permute(0, 2, 3, 1)

    def _back(self, planes: torch.Tensor, bands: Mapping[str, Band], height: Any, width: Any) -> torch.Tensor:
        """(N, K, h, w) at the network's size to (N, K, H, W) at the picture's; zero outside the crop."""
        batch, count, rows_in, columns_in = planes.shape
        values = planes.transpose(2, 3).reshape(batch * count, columns_in, rows_in)
        values = along(values, bands["columns_back"], width).transpose(
            1, 2
        )  # across first: the fewer rows the less to do
        return along(values, bands["rows_back"], height).reshape(batch, count, height, width)

    def _planes(self, logits: torch.Tensor) -> torch.Tensor:
        """One plane of probabilities for each of `LabelMap.plane_classes`."""
        if self.label_map.multilabel:
            return logits.sigmoid()
        return (logits[:, 1:] - logits[:, :1]).sigmoid() if self.label_map.bernoulli else logits.softmax(1)

    def _beyond(self, ends: tuple[float, float]) -> torch.Tensor:
        """(K, 1, 1): the planes outside the crop, where the background is certain; `ends`, of other classes and it."""
        values = [ends[number == self.label_map.background] for number in self.label_map.plane_classes]
        return torch.tensor(values, dtype=torch.float32)[:, None, None]


def all_probabilities(planes: torch.Tensor, label_map: LabelMap) -> torch.Tensor:
    """(N, K, H, W) planes of probabilities to (N, C, H, W): one for every class."""
    single = label_map.bernoulli and not label_map.multilabel
    return torch.cat([1 - planes, planes], 1) if single else planes


def chosen_classes(planes: torch.Tensor, label_map: LabelMap) -> torch.Tensor:
    """(N, K, H, W) planes of probabilities to (N, H, W) uint8 train ids (`lanecli.labels.decide`)."""
    if label_map.bernoulli and not label_map.multilabel:
        return (planes[:, 0] > _CERTAIN).to(torch.uint8)
    highest, best = planes.max(1)
    if label_map.multilabel:
        background = label_map.background
        none = IGNORE_ID if background is None else background
        best = torch.where(highest > _CERTAIN, best, torch.full((1,), none, dtype=best.dtype))
    return best.to(torch.uint8)
