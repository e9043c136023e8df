"""Model files: what goes in comes out, and damaged or strange ones end in one line."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import brightness_model

from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labels import LabelClass, LabelMap
from lanecli.modelfile import KEY, ModelSpec, Normalisation, read_spec, read_weights, write_safetensors

SPEC = ModelSpec(
    "unet",
    {"encoder": "tu-x", "widths": [8, 16], "rate": 0.1, "on": True, "none": None},
    LabelMap("Straße", (LabelClass("Fläche", (0, 0, 0), (0,)), LabelClass("車線", (0, 255, 0), (1, 2), decode=2))),
    Geometry((64, 32), (0, 690, 0.25, 0), "pad"),
    Normalisation((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
    1.7,
    {"steps": 12, "note": 'a "quoted" word\nand a line'},
)
STATE = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "half": torch.tensor([1.5, -2.25], dtype=torch.float16),
    "brain": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(3),
    "empty": torch.zeros(0, 4),
}
calm = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models mit Ümlaut")


@pytest.fixture(scope="module")
def tensors(folder: Path) -> Path:
    path = folder / "model.safetensors"
    write_safetensors(path, STATE, SPEC)
    return path


@pytest.fixture(scope="module")
def onnx_file(folder: Path) -> Path:
    return brightness_model(folder / "model.onnx")


def test_safetensors_give_back_what_was_written(tensors: Path) -> None:
    assert read_spec(tensors) == SPEC
    weights = read_weights(tensors)
    assert sorted(weights) == sorted(STATE)
    for name, value in STATE.items():
        assert torch.equal(weights[name], value.float() if value.is_floating_point() else value)
    assert {weights[n].dtype for n in ("half", "brain", "a.weight")} == {torch.float32}
    assert weights["count"].dtype == torch.int64
    assert not list(tensors.parent.glob("*.part"))


def test_weights_keep_their_type_in_the_file(tensors: Path) -> None:
    from safetensors import safe_open

    with safe_open(tensors, "pt") as file:
        assert file.get_tensor("half").dtype == torch.float16
        assert file.get_tensor("brain").dtype == torch.bfloat16
        assert json.loads(file.metadata()[KEY])["format_version"] == 2


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.safetensors"
    write_safetensors(path, {"a": torch.zeros(1)}, SPEC)
    write_safetensors(path, {"a": torch.ones(1)}, replace(SPEC, temperature=2.0))
    assert read_weights(path)["a"].item() == 1
    assert read_spec(path).temperature == 2.0


def test_onnx_gives_back_what_was_written(onnx_file: Path) -> None:
    import onnx

    spec = read_spec(onnx_file)
    assert (spec.architecture, spec.geometry, spec.label_map.name) == ("brightness", Geometry((64, 32)), "lane")
    weights = read_weights(onnx_file)
    assert weights["weight"].shape == (2, 3, 1, 1)
    assert weights["bias"].tolist() == [128, -128]

    model = onnx.load(onnx_file)
    model.metadata_props[0].value = SPEC.to_json()
    other = model.metadata_props.add()
    other.key, other.value = "author", "none"
    for weight in model.graph.initializer:
        half = onnx.numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(onnx.numpy_helper.from_array(half, weight.name))
    path = onnx_file.with_name("half.ONNX")
    onnx.save(model, path, format="protobuf")
    assert read_spec(path) == SPEC
    assert read_weights(path.rename(path.with_suffix(".onnx")))["bias"].dtype == torch.float32


def test_json_is_one_line_and_equal_again() -> None:
    text = SPEC.to_json()
    assert "\n" not in text
    assert ModelSpec.from_json(text) == SPEC
    assert SPEC.task == "multiclass"
    assert replace(SPEC, label_map=replace(SPEC.label_map, multilabel=True)).task == "multilabel"
    # statistics may be of any number of pixels; what takes memory may not
    counted = replace(SPEC, outputs={"log_density": {"groups": 2, "components": 8, "pixels": [2_683_249, 10**10]}})
    assert ModelSpec.from_json(counted.to_json()) == counted
    with pytest.raises(InputError, match=r"outputs\.log_density\.components 1e\+10 is too large"):
        ModelSpec.from_json(replace(SPEC, outputs={"log_density": {"groups": 2, "components": 10**10}}).to_json())


def _read(path: Path, weights: bool = True) -> None:
    """Read all of a file; nothing but an InputError of one line that names it may come of it."""
    for read in (read_spec, read_weights) if weights else (read_spec,):
        message = str(path)
        try:
            read(path)
        except InputError as error:
            message = str(error)
        assert str(path) in message
        assert "\n" not in message or read is read_weights


@pytest.mark.parametrize("kind", ["tensors", "onnx_file"])
def test_a_file_cut_short_is_always_refused(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    whole = request.getfixturevalue(kind)
    data = whole.read_bytes()
    path = tmp_path / f"cut{whole.suffix}"
    for end in sorted({*range(0, 40), *range(40, len(data), max(1, len(data) // 150)), len(data) - 1}):
        path.write_bytes(data[:end])
        with pytest.raises(InputError, match="cut short|not a safetensors|no lanecli header"):
            read_spec(path)
        if end % 5 == 0 and kind == "tensors":
            with pytest.raises(InputError, match="cannot be read"):
                read_weights(path)
    path.write_bytes(data)
    read_spec(path)


@pytest.mark.parametrize("kind", ["tensors", "onnx_file"])
@calm
@given(data=st.data())
def test_flipped_bytes_give_one_clear_line_or_a_model(
    kind: str, data: st.DataObject, request: pytest.FixtureRequest
) -> None:
    whole = request.getfixturevalue(kind)
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(200, len(content) - 1)))] = data.draw(st.integers(0, 255))
    path = whole.with_name(f"flipped{whole.suffix}")
    path.write_bytes(content)
    _read(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
@calm
@given(content=st.binary(max_size=300))
def test_random_bytes_are_refused(suffix: str, content: bytes, folder: Path) -> None:
    path = folder / f"random{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="random"):
        read_spec(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_empty_text_missing_and_folders(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"m{suffix}"
    with pytest.raises(InputError, match="no such model file"):
        read_spec(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="cut short"):
        read_spec(path)
    with pytest.raises(InputError, match="cannot be read|cut short"):
        read_weights(path) if suffix == ".safetensors" else read_spec(path)
    path.write_text("This is a note about a model, not a model.\n" * 20)
    with pytest.raises(InputError, match="not a"):
        read_spec(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_weights(path)
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(InputError, match="no such model file"):
        read_spec(tmp_path / f"folder{suffix}")


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"x")
    with pytest.raises(InputError, match=r"ends in \.safetensors or \.onnx"):
        read_spec(tmp_path / "m.pt")


def _safetensors(path: Path, header: object, body: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


@pytest.mark.parametrize(
    "header",
    [
        [],
        3,
        None,
        {"a": 3},
        {"a": {"data_offsets": 3}},
        {"a": {"data_offsets": [0]}},
        {"a": {"data_offsets": [0, None]}},
        b'{"a": {"data_offsets": [0, Infinity]}}',
        {"__metadata__": 3},
        {"__metadata__": ["ab"]},
        b"[" * 100_000,
        b"\xff\xfe",
        {"a": {"data_offsets": [0, 1 << 60]}},
    ],
)
def test_strange_headers_are_refused(tmp_path: Path, header: object) -> None:
    with pytest.raises(InputError, match=r"m\.safetensors"):
        read_spec(_safetensors(tmp_path / "m.safetensors", header))


def test_a_header_larger_than_the_file_is_never_allocated(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    with pytest.raises(InputError, match="not a safetensors file, or cut short"):
        read_spec(path)
    onnx_path = tmp_path / "m.onnx"
    onnx_path.write_bytes(b"\x3a" + b"\xff" * 8 + b"\x7f")  # a graph of 2 ** 63 bytes
    with pytest.raises(InputError, match="not an ONNX model, or cut short"):
        read_spec(onnx_path)


def test_files_of_others_are_refused(tmp_path: Path, onnx_file: Path) -> None:
    import onnx
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "plain.safetensors")
    model = onnx.load(onnx_file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "plain.onnx")
    for name in ("plain.safetensors", "plain.onnx"):
        with pytest.raises(InputError, match=f"{name}: it has no lanecli header"):
            read_spec(tmp_path / name)


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    data = json.loads(SPEC.to_json()) | {"format_version": 3}
    path = _safetensors(tmp_path / "m.safetensors", {"__metadata__": {KEY: json.dumps(data)}})
    with pytest.raises(InputError, match=r"m\.safetensors: written by a newer lanecli \(format 3\); update lanecli$"):
        read_spec(path)


@pytest.mark.parametrize(
    "change",
    [
        {"label_map": []},
        {"label_map": {"name": "m"}},
        {"geometry": []},
        {"geometry": {"size": [-1, 2]}},
        {"geometry": {"size": [10**12, 10**12]}},
        {"geometry": {"crop": [float("nan")] * 4}},
        {"normalisation": {}},
        {"normalisation": {"mean": [0, 0, 0], "std": [1, 1]}},
        {"normalisation": {"mean": [0, 0, 0], "std": [1, 0, 1]}},
        {"arguments": 3},
        {"temperature": 0},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"format_version": "one"},
        {"format_version": float("inf")},
        {"provenance": 3},
    ],
)
def test_a_damaged_spec_names_the_file(change: dict[str, Any], tmp_path: Path) -> None:
    text = json.dumps(json.loads(SPEC.to_json()) | change)
    path = _safetensors(tmp_path / "m.safetensors", {"__metadata__": {KEY: text}})
    with pytest.raises(InputError, match=r"m\.safetensors: ") as caught:
        read_spec(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "null", "3", "[]", '"a"', "{}", "[" * 100_000])
def test_what_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="^here: "):
        ModelSpec.from_json(text, "here")


def test_weights_kept_in_another_file_are_not_followed(onnx_file: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(onnx_file)
    (tmp_path / "secret").write_bytes(b"\0" * 64)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "secret"
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"m\.onnx: keeps its weights in other files"):
        read_weights(path)
