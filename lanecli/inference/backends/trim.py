"""Cuts an exported file down to its network, whose input and outputs have the network's size."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

NETWORK_INPUT = "network_pictures"
"""Name, in the graph, of the network's pictures: (N, h, w, 3) float32 levels."""
WHOLE_SINCE = 2
"""First format version whose files hold the whole model; older files hold only the network."""

ENSEMBLE = "ensemble"
"""Stands in place of the architecture in the header of a file that holds several models and their combination rule."""


def inner_name(output: str) -> str:
    """Return the name, in the graph, of an output at the network's size."""
    return output if output in ("logits", "features") else f"{output}.network"


def trim_to_network(model: Any, wanted: Collection[str], batch: str = "batch") -> Any:
    """Return an onnx ModelProto with only the nodes from :data:`NETWORK_INPUT` (taken as uint8) to `wanted`.

    Args:
        model: an exported file's ModelProto; it is not changed.
        wanted: names of values.
        batch: name of the batch dimension.

    Raises:
        KeyError: the file has no such value.
    """
    from onnx import TensorProto, helper

    made_by = {name: node for node in model.graph.node for name in node.output}
    kept: set[int] = set()
    waiting = list(wanted)
    for name in wanted:
        made_by[name]  # raises KeyError for a value that does not exist
    while waiting:
        name = waiting.pop()
        node = made_by.get(name)
        if name == NETWORK_INPUT or node is None or id(node) in kept:
            continue
        kept.add(id(node))
        waiting += [used for used in node.input if used]
    nodes = [node for node in model.graph.node if id(node) in kept]
    used = {name for node in nodes for name in node.input}
    shown = helper.make_tensor_value_info("pictures", TensorProto.UINT8, [batch, "height", "width", 3])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in wanted]
    graph = helper.make_graph(
        [helper.make_node("Cast", ["pictures"], [NETWORK_INPUT], to=TensorProto.FLOAT), *nodes],
        "network",
        [shown],
        outputs,
        [weight for weight in model.graph.initializer if weight.name in used],
    )
    small = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    small.functions.extend(model.functions)
    return small
