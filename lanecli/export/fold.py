"""Constants of an exported graph that not every runtime computes alike."""

from __future__ import annotations

from typing import Any


def fold_cubic_resizes(model: Any) -> None:
    """Replace cubic Resize nodes of constants by their values.

    Vision transformers scale their position embedding to the network's size with a cubic, antialiased Resize, which
    OpenVINO computes differently from ONNX Runtime and torch. The size is fixed in the graph, and so is the result.

    Args:
        model: an onnx ModelProto; it is changed in place.
    """
    made_by = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        mode = next((attribute.s for attribute in node.attribute if attribute.name == "mode"), b"")
        if node.op_type == "Resize" and mode == b"cubic":
            _fold(model, node, made_by)


def _fold(model: Any, node: Any, made_by: dict[str, Any]) -> None:
    """Turn `node` into a Constant, if it depends on nothing but weights and constants."""
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    weights = {weight.name for weight in model.graph.initializer}
    waiting, used = [node.output[0]], set()
    while waiting:
        name = waiting.pop()
        if name in used or not name:
            continue
        used.add(name)
        if name in made_by:
            waiting += made_by[name].input
        elif name not in weights:  # the user's pictures
            return
    graph = helper.make_graph(
        [other for other in model.graph.node if used.intersection(other.output)],
        "constant",
        [],
        [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)],
        [weight for weight in model.graph.initializer if weight.name in used],
    )
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    session = ort.InferenceSession(alone.SerializeToString(), providers=["CPUExecutionProvider"])
    value = numpy_helper.from_array(session.run(None, {})[0])
    node.CopyFrom(helper.make_node("Constant", [], list(node.output), name=node.name, value=value))
