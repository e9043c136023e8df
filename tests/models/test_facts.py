"""facts.json says of every registered architecture what counting it again says; counting agrees with other ways."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from lanecli.errors import InputError
from lanecli.models.build import build_network
from lanecli.models.counting import count, specification
from lanecli.models.facts import SIZE, facts_text, read_facts
from lanecli.models.registry import MODELS

AGAIN = "lanecli bench --architectures all --measure counts,export --out lanecli/models/facts.json"


def test_shipped_facts_are_those_of_the_code() -> None:
    models = read_facts()["models"]
    assert set(models) == set(MODELS), f"facts.json names other models than there are; run: {AGAIN}"
    stale = {}
    for name, entry in models.items():
        counts = count(name)
        if {key: entry.get(key) for key in counts} != counts or not isinstance(entry.get("onnx"), bool):
            stale[name] = counts
    assert not stale, f"facts.json is out of date; run: {AGAIN}\n{stale}"


def multiply_adds_of_layers(network: nn.Module) -> int:
    """Of every convolution and linear layer of one forward pass, by hooks and the shapes they see."""
    total = 0

    def add(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.ConvTranspose2d):  # each input value is spread over a kernel
            total += inputs[0].numel() * layer.out_channels // layer.groups * math.prod(layer.kernel_size)
        elif isinstance(layer, nn.Conv2d):
            total += output.numel() * layer.in_channels // layer.groups * math.prod(layer.kernel_size)
        elif isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features

    for layer in network.modules():
        layer.register_forward_hook(add)
    with torch.inference_mode():
        network.eval()(torch.zeros((1, SIZE[1], SIZE[0], 3), dtype=torch.uint8))
    return total


@pytest.mark.parametrize("name", ["erfnet", "linknet"])
def test_convolutions_are_counted_layer_by_layer(name: str) -> None:
    assert count(name)["macs"] == multiply_adds_of_layers(build_network(specification(name)))


def test_attention_is_counted() -> None:
    network = build_network(specification("setr_naive"))
    encoder = network.architecture.encoder
    tokens = SIZE[0] // 16 * (SIZE[1] // 16) + 1
    # queries by keys, and weights by values: tokens x tokens x width each, in every block
    attention = 2 * tokens**2 * encoder.embed_dim * len(encoder.blocks)
    assert count("setr_naive")["macs"] == pytest.approx(multiply_adds_of_layers(network) + attention, rel=1e-3)


@pytest.mark.parametrize("name", ["bisenetv2", "pspnet"])
def test_parameters_are_those_a_prediction_depends_on(name: str) -> None:
    """bisenetv2 has heads for training only, pspnet stages of its encoder that nothing reads."""
    torch.manual_seed(0)
    network = build_network(specification(name)).eval()
    network.logits(torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)).square().sum().backward()
    used = sum(p.numel() for p in network.parameters() if p.grad is not None)
    assert count(name)["parameters"] == used
    assert used <= sum(p.numel() for p in network.parameters())


def test_facts_files(tmp_path: Path) -> None:
    assert read_facts(tmp_path / "none.json")["models"] == {}
    document = read_facts() | {"machine": {"processor": "Ü"}}
    (tmp_path / "f.json").write_text(facts_text(document), encoding="utf-8")
    assert read_facts(tmp_path / "f.json") == document
    assert len((tmp_path / "f.json").read_text().splitlines()) == len(document["models"]) + 7
    for text in ("", "[]", '{"models": [1]}', '{"models": {"unet": 3}}', json.dumps({})):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match=r"bad\.json"):
            read_facts(tmp_path / "bad.json")
