"""Model files that ask for too much, or promise what they do not hold."""

from __future__ import annotations

import json
import resource
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from samples import Outcome, brightness_model

from lanecli.errors import InputError, LaneError
from lanecli.geometry import MAX_PIXELS, Geometry
from lanecli.inference.backends import BACKENDS, Load
from lanecli.labelmaps import label_map
from lanecli.modelfile import KEY, ModelSpec, read_spec, write_safetensors
from lanecli.models.build import network_from_file

Command = Callable[..., Outcome]
SPEC = ModelSpec("unet", {"encoder": "resnet18"}, label_map("lane"), Geometry((64, 32)))


def with_header(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The brightness model with another header."""
    brightness_model(path)
    model = onnx.load(path)
    header = json.loads(model.metadata_props[0].value)
    change(header)
    model.metadata_props[0].value = json.dumps(header)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda h: h["geometry"].update(size=[16384, 16384]), f"more than {MAX_PIXELS} pixels"),
        (lambda h: h["arguments"].update(width=1e9), "arguments.width 1e+09 is too large"),
        (lambda h: h["arguments"].update(widths=[8, {"a": 10**30}]), "arguments.widths.1.a 1e+30 is too large"),
        (lambda h: h["normalisation"].update(mean=[0, 0, float("nan")]), "header cannot be read"),
        (lambda h: h["normalisation"].update(std=[1, 1, float("inf")]), "header cannot be read"),
        (lambda h: h["label_map"].update(background=0.5), "0.5 is not a whole number"),
        (lambda h: h["label_map"].update(background=True), "True is not a whole number"),
        (lambda h: h["label_map"]["classes"][1].update(color=[0, 0.5, 0]), "0.5 is not a whole number"),
        (lambda h: h["label_map"]["classes"][1].update(sources=["x"]), "label map cannot be read"),
        (lambda h: h.update(temperature=float("nan")), "header cannot be read"),
    ],
)
def test_a_header_that_lies_is_refused_when_it_is_read(
    change: Callable[[dict[str, Any]], object], said: str, tmp_path: Path, cli: Command
) -> None:
    path = with_header(tmp_path / "m.onnx", change)
    with pytest.raises(InputError) as refused:
        read_spec(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)
    assert cli("show", path).code == 2


def test_numbers_that_are_none_do_not_cost_a_header_what_they_describe(tmp_path: Path, cli: Command) -> None:
    """A figure of a run that diverged: NaN in what the model was made from is told as null."""
    path = with_header(tmp_path / "m.onnx", lambda h: h["provenance"].update(loss=float("nan")))
    shown = cli("show", path, "--json")
    assert shown.code == 0
    assert shown.json()["provenance"] == {"loss": None}  # type: ignore[index]


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("unet_classic", {"width": 900_000}),
        ("unet", {"encoder": "resnet18", "decoder_channels": [900_000] * 5}),
        ("swin_upernet", {"depths": [100_000, 2, 2, 2]}),
        ("setr_naive", {"depth": 100_000}),
        ("erfnet", {"depth": 10**9}),
    ],
)
def test_a_header_larger_than_its_weights_is_not_built(
    architecture: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    write_safetensors(path, {"a": torch.zeros(1)}, replace(SPEC, architecture=architecture, arguments=arguments))
    before, since = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(InputError, match="m.safetensors"):
        network_from_file(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # kilobytes
    assert time.process_time() - since < 10


def _fields(count: int) -> bytes:
    return b"\x08\x01" * count


@pytest.mark.parametrize(
    "data",
    [
        _fields(3 << 20),
        b"\x3a\x00" + b"\x72\x00" * (3 << 20),
        b"\x3a\x00\x72" + b"\x80\x80\x80\x03" + _fields(3 << 20),
    ],
    ids=["model", "empty metadata", "one entry"],
)
def test_an_onnx_file_of_two_byte_fields_is_refused_at_once(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    since = time.process_time()
    with pytest.raises(InputError, match=r"m\.onnx: not an ONNX model|m\.onnx: it has no lanecli header"):
        read_spec(path)
    assert time.process_time() - since < 1


def _graph(path: Path, shape: list[Any], kind: int = TensorProto.FLOAT, size: tuple[int, int] = (64, 32)) -> Path:
    """A model file of two classes whose logits come in another shape or kind than its header promises."""
    numbers = [
        side if isinstance(side, int) else {"batch": 1, "height": size[1], "width": size[0]}[side] for side in shape
    ]
    nodes = [
        helper.make_node("Shape", ["pictures"], ["whatever"]),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("Cast", ["zeros"], ["logits"], to=kind),
    ]
    declared = [f"d{number}" for number in range(len(shape))]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["batch", "height", "width", 3])],
        [helper.make_tensor_value_info("logits", kind, declared)],
        [helper.make_tensor("shape", TensorProto.INT64, [len(shape)], numbers)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    entry = model.metadata_props.add()
    header = json.loads(replace(SPEC, architecture="zeros", arguments={}).to_json())
    entry.key, entry.value = KEY, json.dumps(header | {"format_version": 1})  # the network alone
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ([1, 3, "height", "width"], TensorProto.FLOAT),
        ([1, 2, "height"], TensorProto.FLOAT),
        ([1, 2, 7, 7], TensorProto.FLOAT),
        ([2, 2, "height", "width"], TensorProto.FLOAT),
        ([], TensorProto.FLOAT),
        ([1, 2, "height", "width"], TensorProto.INT64),
        ([1, 2, "height", "width"], TensorProto.BOOL),
    ],
)
def test_a_graph_that_gives_other_than_its_header_promises(
    backend: str, shape: list[Any], kind: int, tmp_path: Path
) -> None:
    path = _graph(tmp_path / "m.onnx", shape, kind)

    def run() -> None:
        found = BACKENDS.get(backend)(Load(path, ("planes",)))
        found.submit(np.zeros((1, 32, 64, 3), np.uint8)).result()

    if backend == "openvino" and kind != TensorProto.FLOAT:
        pytest.skip("OpenVINO computes in its own precision and converts")
    with pytest.raises(LaneError, match=r"m\.onnx"):
        run()


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_graph_that_keeps_its_promise_runs(backend: str, tmp_path: Path) -> None:
    path = _graph(tmp_path / "m.onnx", [1, 2, "height", "width"])
    found = BACKENDS.get(backend)(Load(path, ("planes",)))
    planes = found.submit(np.zeros((1, 32, 64, 3), np.uint8)).result()["planes"]
    assert planes.shape == (1, 1, 32, 64)
    assert (planes == 0.5).all()


@pytest.mark.parametrize("count", [1, 3])
def test_other_channels_than_the_header_has_classes(count: int, tmp_path: Path) -> None:
    """Weights of three channels under a header of two classes."""
    from lanecli.models.build import build_network

    wide = label_map("camvid-11")
    state = build_network(replace(SPEC, label_map=replace(wide, classes=wide.classes[:count]))).state_dict()
    path = tmp_path / "m.safetensors"
    write_safetensors(path, state, SPEC)
    with pytest.raises(InputError, match=rf"m\.safetensors: weight '.*' should be \(2, .*the file has \({count}, "):
        network_from_file(path)


def test_a_half_surrogate_in_a_name_is_kept(tmp_path: Path, cli: Command) -> None:
    path = with_header(tmp_path / "m.onnx", lambda h: h["label_map"]["classes"][1].update(name="bad \udc80\x1b[31m\n"))
    spec = read_spec(path)
    assert ModelSpec.from_json(spec.to_json()) == spec
    shown = cli("show", path, "--json")
    assert shown.json()["label_map"]["classes"][1]["name"] == "bad \udc80\x1b[31m\n"  # type: ignore[index]
    assert "bad \\x80\\x1b[31m\\n" in cli("show", path).out


def test_lengths_of_the_header_are_checked_first(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for length in (1 << 62, (16 << 20) + 1):
        with path.open("wb") as file:
            file.write(struct.pack("<Q", length))
            file.truncate(32 << 20)
        with pytest.raises(InputError, match="not a safetensors file, or cut short"):
            read_spec(path)
