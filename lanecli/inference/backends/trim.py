"""An exported file cut down to its network: pictures as Geometry leaves them in, values at the network's size out."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

SHOWN = "network_pictures"
"""Name inside the graph of the pictures as the network takes them: (N, h, w, 3) float32 levels."""
WHOLE_SINCE = 2
"""Format version since which a file holds the whole model; older ones hold the network alone."""

ENSEMBLE = "ensemble"
"""What stands for an architecture in the header of a file that holds several models and the rule between them."""


def inner_name(output: str) -> str:
    """The value of an output at the network's size."""
    return output if output in ("logits", "features") else f"{output}.network"


def trimmed(model: Any, wanted: Collection[str], batch: str = "batch") -> Any:
    """An onnx ModelProto with the nodes between :data:`SHOWN`, as uint8, and the values `wanted`.

    Args:
        model: of an exported file; left as it is.
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
        made_by[name]  # a KeyError names what is not there
    while waiting:
        name = waiting.pop()
        node = made_by.get(name)
        if name == SHOWN or node is None or id(node) in kept:
            continue
        kept.add(id(node))
        waiting += [used for used in node.input if used]
    nodes = [node for node in model.graph.node if id(node) in kept]
    used = {name for node in nodes for name in node.input}
    shown = helper.make_tensor_value_info("pictures", TensorProto.UINT8, [batch, "height", "width", 3])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in wanted]
    graph = helper.make_graph(
        [helper.make_node("Cast", ["pictures"], [SHOWN], to=TensorProto.FLOAT), *nodes],
        "network",
        [shown],
        outputs,
        [weight for weight in model.graph.initializer if weight.name in used],
    )
    small = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    small.functions.extend(model.functions)
    return small
