"""Parameters that receive no gradient, such as encoder stages that a decoder does not use."""

from __future__ import annotations

import torch

from lanecli.models.build import Network


def freeze_idle(network: Network) -> list[str]:
    """Freeze the parameters that receive no gradient, and return their names.

    Processes that share gradients wait for every parameter that requires one. A backward pass on tensors without
    memory, in training mode with all auxiliary heads, finds the idle ones; nothing is computed, and `network` keeps its
    weights.
    """
    training = network.training
    shadows = {name: torch.empty_like(p, device="meta").requires_grad_() for name, p in network.named_parameters()}
    buffers = {name: torch.empty_like(buffer, device="meta") for name, buffer in network.named_buffers()}
    pictures = torch.empty((2, 64, 64, 3), dtype=torch.uint8, device="meta")
    try:
        network.train()
        outputs = torch.func.functional_call(network, shadows | buffers, (pictures, ("logits", "auxiliary")))
    finally:
        network.train(training)
    torch.stack([outputs["logits"], *outputs["auxiliary"]]).sum().backward()
    idle = [name for name, shadow in shadows.items() if shadow.grad is None]
    for name in idle:
        network.get_parameter(name).requires_grad_(False)
    return idle
