"""Parameters no loss can reach, such as encoder stages a decoder does not use."""

from __future__ import annotations

import torch

from lanecli.models.build import Network


def freeze_idle(network: Network) -> list[str]:
    """Stop asking for gradients of parameters that get none, and return their names.

    Several processes that share gradients wait for every parameter that asks for one. A backward pass over shapes
    alone, in training mode with all auxiliary heads, finds them; nothing is computed, and `network` keeps its weights.
    """
    training = network.training
    shadows = {name: torch.empty_like(p, device="meta").requires_grad_() for name, p in network.named_parameters()}
    buffers = {name: torch.empty_like(buffer, device="meta") for name, buffer in network.named_buffers()}
    pictures = torch.empty((2, 64, 64, 3), dtype=torch.uint8, device="meta")
    try:
        network.train()
        found = torch.func.functional_call(network, shadows | buffers, (pictures, ("logits", "auxiliary")))
    finally:
        network.train(training)
    torch.stack([found["logits"], *found["auxiliary"]]).sum().backward()
    idle = [name for name, shadow in shadows.items() if shadow.grad is None]
    for name in idle:
        network.get_parameter(name).requires_grad_(False)
    return idle
