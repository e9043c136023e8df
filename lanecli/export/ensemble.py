"""Exports an ensemble file as one .onnx file: every member with its own preprocessing, and the rule, in one graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn

from lanecli import atomic
from lanecli.data.fingerprint import join_fingerprints
from lanecli.errors import InputError
from lanecli.export.combine import RULES, MemberScores, Rule, Stacked, break_ties
from lanecli.export.onnx import COMPARED, clean_graph, round_weights, session_function, store_half, traced_graph
from lanecli.export.parity import Parity, compare
from lanecli.export.whole import WholeModel, all_probabilities, chosen_classes
from lanecli.geometry import Geometry
from lanecli.inference.backends.base import FALLBACK_SIZE
from lanecli.inference.backends.trim import ENSEMBLE
from lanecli.inference.combiners import COMBINERS
from lanecli.inference.ensemble import read_ensemble
from lanecli.inference.member import class_order
from lanecli.inference.meta import MetaModel
from lanecli.labels import LabelMap
from lanecli.modelfile import KEY, ModelSpec
from lanecli.models.build import Network, network_from_file
from lanecli.models.spectral import spec_without_spectral_norm, without_spectral_norm
from lanecli.shipped import find_model


@dataclass(frozen=True)
class MemberRole:
    """A member's role in the ensemble.

    Attributes:
        order: the member's own train id of each of the ensemble's classes.
        share: share of the member's answer; the shares of all members sum to one.
        learner: number of its learner.
    """

    order: tuple[int, ...]
    share: float
    learner: int


class WholeEnsemble(nn.Module):
    """Runs every member's whole model, combines their scores at the picture's own size, and chooses the class there."""

    maps: tuple[str, ...] = ()
    outputs = ("class_map", "probabilities")

    def __init__(
        self, parts: Sequence[WholeModel], roles: Sequence[MemberRole], rule: Rule, *, logits: bool, label_map: LabelMap
    ) -> None:
        """Set up.

        Args:
            parts: the members' whole models, in eval mode.
            roles: their roles, in the same order.
            rule: the combination rule.
            logits: whether the rule takes logits instead of probabilities.
            label_map: the classes of the ensemble.
        """
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.roles, self.rule, self.logits, self.label_map = tuple(roles), rule, logits, label_map

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the values of `outputs`.

        Args:
            pictures: (N, H, W, 3) uint8 RGB.

        Returns:
            ``class_map`` (N, H, W) uint8; ``probabilities`` (N, C, H, W) float32.
        """
        answers = []
        for part, role in zip(self.parts, self.roles, strict=True):
            scores = part.scores(pictures, logits=self.logits)  # type: ignore[operator]
            answers.append(MemberScores(self._ordered(scores, role.order), role.share, role.learner))
        planes, ties = self.rule(answers, pictures, self.label_map)
        decided = planes if ties is None else break_ties(planes, ties, self.label_map)
        return chosen_classes(decided, self.label_map), all_probabilities(planes, self.label_map)

    def _ordered(self, scores: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
        if order == tuple(range(len(order))):
            return scores
        if scores.shape[1] == 1:  # the model has the two classes in the other order
            return -scores if self.logits else 1 - scores
        return scores[:, list(order)]


def export_ensemble(
    path: Path, out: Path, *, precision: str = "fp32", static: bool = False
) -> tuple[Parity, ModelSpec]:
    """Write an ensemble file as one graph and compare it with torch; a file that disagrees is deleted.

    The graph takes ``pictures`` (N, H, W, 3) uint8 RGB of any size. Its outputs are ``class_map`` (N, H, W) uint8 and
    ``probabilities`` (N, C, H, W) float32 at the same size.

    Args:
        path: the ensemble file.
        out: the .onnx file to write.
        precision: ``"fp32"``, or ``"fp16"`` to store the weights in half precision.
        static: fix the batch to 1 and the size to that of the first member's frames, or else to its network's.

    Raises:
        InputError: the ensemble has views, or its members do not go together.
        LaneError: the exporter fails, or the file disagrees by more than the tolerance.
    """
    whole, spec, size = _whole(path, static)
    halved = set()
    if precision == "fp16":
        for number, part in enumerate(whole.parts):
            halved |= {f"parts.{number}.network.{name}" for name in round_weights(cast(Network, part.network))}
    model = traced_graph(whole, str(path), size if static else None)
    clean_graph(model, whole, static)
    if halved:
        store_half(model, halved)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, spec.to_json()
    atomic.prepare_target(out)
    with atomic.file(out) as temporary:
        temporary.write_bytes(model.SerializeToString())
        parity = compare(whole, session_function(temporary), [(1, size)] if static else [(1, size), (2, COMPARED)])
        near_ties = spec.arguments["combine"] == "vote" or any(
            cast(Network, p.network).architecture.pools_by_index for p in whole.parts
        )
        parity.check(near_ties)
    return parity, spec


def _whole(path: Path, static: bool) -> tuple[WholeEnsemble, ModelSpec, tuple[int, int]]:
    ensemble = read_ensemble(path)
    if ensemble.tta != "none":
        raise InputError(f"{path}: has tta '{ensemble.tta}', which an exported ensemble cannot have: remove tta")
    name = COMBINERS.canonical(ensemble.combine or ("weighted" if ensemble.weights else "mean"))
    fitted = bool(COMBINERS.entry(name).facts.get("meta"))
    weights = ensemble.weights or (1.0,) * len(ensemble.models)
    if not (all(weight >= 0 for weight in weights) and sum(weights) > 0):
        raise InputError(f"{path}: weights must be numbers from 0 up, and not all 0")
    opened = [network_from_file(find_model(model, prefer=".safetensors")) for model in ensemble.models]
    nets = [(without_spectral_norm(network), spec_without_spectral_norm(spec)) for network, spec in opened]
    first = nets[0][1]
    size = (first.geometry.frame if static else None) or first.geometry.size or FALLBACK_SIZE
    parts, roles = [], []
    for (network, spec), weight, learner in zip(nets, weights, ensemble.learners, strict=True):
        if weight or fitted:  # a member without weight is left out
            parts.append(WholeModel(network, spec.label_map, spec.geometry, (), size if static else None))
            roles.append(MemberRole(class_order(first.label_map, spec.label_map), weight / sum(weights), learner))
    rule: Rule = RULES[name] if name in RULES else _stacked(path, ensemble.meta, roles, first.label_map)
    whole = WholeEnsemble(parts, roles, rule, logits=name == "logit_mean", label_map=first.label_map).eval()
    provenance = {
        "members": [Path(model).name for model in ensemble.models],
        "trained_on": join_fingerprints([spec.provenance.get("trained_on") for _, spec in nets]),
    }
    arguments = {"combine": name, "members": len(parts)}
    return whole, ModelSpec(ENSEMBLE, arguments, first.label_map, Geometry(), provenance=provenance), size


def _stacked(path: Path, file: Path | None, roles: Sequence[MemberRole], label_map: LabelMap) -> Stacked:
    if file is None:
        raise InputError(f"{path}: has no meta-model; 'lanecli ensemble fit' writes one")
    meta = MetaModel.read(file)
    if meta.classes != label_map.names or meta.planes != len(label_map.plane_classes):
        raise InputError(
            f"{file}: was fitted for the classes {', '.join(meta.classes)}, not {', '.join(label_map.names)}"
        )
    if {role.learner for role in roles} != set(range(meta.learners)):
        raise InputError(f"{path}: {file.name} was fitted to {meta.learners} learners, numbered from 0")
    if meta.context % 2 == 0:
        raise InputError(f"{file}: a context of {meta.context} pixels has no middle, so it cannot be exported")
    return Stacked(meta)
