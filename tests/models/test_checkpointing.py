"""Gradient checkpointing: which blocks, what is kept, and that layers which learn from a forward pass learn once."""

from __future__ import annotations

import pytest
import torch
from small_models import build_small, noise
from torch import nn

from lanecli.models.build import Network


@pytest.mark.parametrize(
    ("name", "encoder", "blocks"),
    [
        ("linknet", "resnet18", 8),
        ("linknet", "tu-resnet18", 8),
        ("linknet", "tu-efficientnet_lite0", 16),  # of its 16 inverted residuals
        ("unet", "mit_b0", 8),
        ("linknet", "densenet121", 58),
        ("upernet", "tu-convnext_atto", 12),
        ("dpt", "tu-test_vit", 6),
    ],
)
def test_blocks_are_the_encoders_smallest_repeated_parts(name: str, encoder: str, blocks: int) -> None:
    with torch.device("cpu" if encoder == "mit_b0" else "meta"):
        assert build_small(name, encoder=encoder).architecture.checkpoint_gradients() == blocks


def kept(network: Network, pictures: torch.Tensor) -> int:
    """Bytes of different tensors the forward pass keeps for the backward pass."""
    storages: dict[int, int] = {}
    held = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        held.append(tensor)  # or its address would be used again
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network.architecture.encoders()[0](network._prepared(pictures))
    return sum(storages.values())


@pytest.mark.parametrize("name", ["linknet", "fcn8s", "erfnet", "bisenetv2", "setr_naive"])
def test_less_is_kept(name: str) -> None:
    network, pictures = build_small(name).train(), noise(2, 128, 128)
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    before = kept(network, pictures)
    network.checkpoint_gradients()
    assert kept(network, pictures) < before / 2 + weights


def test_timms_own_batch_norm_learns_once() -> None:
    results = []
    for checkpoint in (False, True):
        network = build_small("linknet", encoder="tu-efficientnet_lite0").train()
        if checkpoint:
            network.checkpoint_gradients()
        network.logits(noise(2, 64, 64)).square().mean().backward()
        results.append(network)
    plain, again = results
    counts = {key: int(buffer) for key, buffer in again.named_buffers() if key.endswith("num_batches_tracked")}
    assert counts
    assert set(counts.values()) == {1}
    for (key, ours), theirs in zip(plain.named_buffers(), again.buffers(), strict=True):
        assert torch.equal(ours, theirs), key
    for (key, ours), theirs in zip(plain.named_parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, ours.grad, rtol=1e-4, atol=1e-6, msg=key)


def test_without_gradients_nothing_is_computed_twice() -> None:
    network, calls = build_small("fcn8s").eval(), []
    network.checkpoint_gradients()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda *_: calls.append(1))
    network.logits(noise(1, 64, 64)).sum().backward()
    once = len(calls)
    with torch.inference_mode():
        network.train()(noise(1, 64, 64))
    assert once == len(calls) - once
