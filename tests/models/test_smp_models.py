"""What is particular to smp's models: encoders and their weights, arguments, dropout, and the heads added to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labels import LabelClass, LabelMap
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.build import build_network, load_weights

THREE = LabelMap("three", tuple(LabelClass(name, (0, 0, i)) for i, name in enumerate("abc")))


def spec_of(name: str, **more: Any) -> ModelSpec:
    """A three-class specification with a small encoder."""
    return ModelSpec(name, {"encoder": "resnet18"} | more, THREE, Geometry((64, 64)))


def test_normalisation_is_in_the_network() -> None:
    network = build_network(spec_of("linknet")).eval()
    seen: list[torch.Tensor] = []
    network.architecture.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].detach()))
    network.logits(torch.full((1, 32, 32, 3), 255, dtype=torch.uint8))
    expected = [(1 - mean) / std for mean, std in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    torch.testing.assert_close(seen[0][0, :, 5, 7], torch.tensor(expected))


def test_encoder_weights_from_a_file_by_name_and_in_order(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(1)
    donor = build_network(spec_of("linknet")).architecture.model.encoder.state_dict()
    save_file(
        {k: v.clone(memory_format=torch.contiguous_format) for k, v in donor.items()}, tmp_path / "named.safetensors"
    )
    torch.save({f"other.{i}": v for i, v in enumerate(donor.values())}, tmp_path / "ordered.pth")
    torch.save({k: v for k, v in donor.items() if not k.endswith("num_batches_tracked")}, tmp_path / "older.pth")
    for file in ("named.safetensors", "ordered.pth", "older.pth"):
        torch.manual_seed(2)
        network = build_network(spec_of("linknet"), str(tmp_path / file))
        for key, value in network.architecture.model.encoder.state_dict().items():
            assert torch.equal(value, donor[key]), key


def test_encoder_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match="does not fit the encoder"):
        build_network(spec_of("linknet"), str(tmp_path / "odd.safetensors"))
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(InputError, match="not readable"):
        build_network(spec_of("linknet"), str(tmp_path / "text.pth"))


def test_weights_with_code_in_them_are_refused(tmp_path: Path) -> None:
    import os

    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"conv1.weight": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(InputError, match="not readable"):
        build_network(spec_of("linknet"), str(tmp_path / "harmful.pth"))
    assert not (tmp_path / "harm").exists()


def test_unknown_arguments_name_the_nearest() -> None:
    spec = ModelSpec("unet", {"encoder": "resnet18", "decoder_chanels": [1]}, THREE, Geometry((64, 64)))
    with pytest.raises(InputError, match="decoder_channels"):
        build_network(spec)


def test_starting_from_another_set_of_classes_keeps_all_but_the_head(tmp_path: Path) -> None:
    two = LabelMap("two", THREE.classes[:2])
    spec = ModelSpec("linknet", {"encoder": "resnet18"}, two, Geometry((64, 64)))
    torch.manual_seed(5)
    donor = build_network(spec)
    write_safetensors(tmp_path / "two.safetensors", donor.state_dict(), spec)
    network = build_network(spec_of("linknet"))
    with pytest.raises(InputError, match="segmentation_head"):
        load_weights(network, tmp_path / "two.safetensors")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    load_weights(network, tmp_path / "two.safetensors", (2, 3))
    theirs = donor.state_dict()
    fresh = [name for name, tensor in network.state_dict().items() if tensor.shape != theirs[name].shape]
    assert fresh
    assert all("segmentation_head" in name for name in fresh)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name] if name in fresh else theirs[name]), name


def test_a_file_without_a_weight_of_the_network_is_refused(tmp_path: Path) -> None:
    from samples import brightness_model

    with pytest.raises(InputError, match="holds no weight"):
        load_weights(build_network(spec_of("linknet")), brightness_model(tmp_path / "b.onnx"))


@pytest.mark.parametrize(
    ("name", "own"),
    [("pspnet", 0.2), ("fpn", 0.2), ("deeplabv3", 0.5), ("deeplabv3plus", 0.5), ("dpt", 0.1), ("linknet", 0.0)],
)
def test_dropout_is_smps_unless_said(name: str, own: float) -> None:
    encoder = "tu-test_vit" if name == "dpt" else "tu-test_resnet"

    def rates(**more: Any) -> set[float]:
        network = build_network(spec_of(name, encoder=encoder, **more))
        kinds = (torch.nn.Dropout, torch.nn.Dropout2d)
        layers = {key: layer for key, layer in network.named_modules() if isinstance(layer, kinds)}
        return {layer.p for key, layer in layers.items() if ".encoder." not in key} - {0.0}

    assert rates() == {own} - {0.0}
    assert rates(dropout=0.35) == {0.35}


def test_one_rate_is_said_once() -> None:
    with pytest.raises(InputError, match=r"model\.dropout and model\.args\.psp_dropout .* give only one"):
        build_network(spec_of("pspnet", dropout=0.1, psp_dropout=0.2))


@pytest.mark.parametrize("argument", ["activation", "aux_params", "in_channels", "upsampling"])
def test_arguments_that_would_break_the_logits_are_refused(argument: str) -> None:
    with pytest.raises(InputError, match=f"takes no argument '{argument}'"):
        build_network(spec_of("fpn", **{argument: None}))


@pytest.mark.parametrize(("more", "stride"), [({}, 8), ({"encoder_depth": 3}, 8), ({"encoder_depth": 2}, 4)])
def test_pspnets_map_is_at_an_eighth_as_in_its_paper(more: dict[str, int], stride: int) -> None:
    network = build_network(spec_of("pspnet", **more)).eval()
    with torch.inference_mode():
        maps = network.architecture.model.encoder(torch.zeros(1, 3, 64, 64))
        assert len(maps) == more.get("encoder_depth", 5) + 1
        assert maps[-1].shape[-1] == 64 // stride
        assert network.feature_stride == stride
        assert network.logits(torch.zeros(1, 61, 50, 3, dtype=torch.uint8)).shape == (1, 3, 61, 50)


def test_pspnets_head_stands_behind_stage_four() -> None:
    network = build_network(spec_of("pspnet")).eval()
    maps = network.architecture.extract_features(torch.zeros(1, 3, 64, 64))[1]
    assert maps[0].shape[1:] == (256, 8, 8)  # ResNet-18's third block of layers, dilated
    assert network.architecture.auxiliary[0][0].weight.shape == (256, 256, 3, 3)


def test_dpt_computes_what_smp_computes() -> None:
    network = build_network(spec_of("dpt", encoder="tu-test_vit")).eval().architecture
    pictures = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network(pictures)["logits"], network.model(pictures))
