"""Test material: where the real data is, what a command did, a model to be worked out by hand, a small video."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map
from lanecli.modelfile import KEY, ModelSpec

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Real road data, where it is; tests that use it skip where it is not."""


SMALL_RUN = [
    "model.name=unet",
    "model.encoder=resnet18",
    "model.args={encoder_depth: 3, decoder_channels: [16, 8, 8]}",
    "data.geometry.size=[64, 32]",
    "data.workers=0",
    "train.batch=2",
    "train.precision=fp32",
    "train.epochs=2",
    "train.ema=null",
    "loss=ce+dice",
]
"""Overrides that make a training run one of seconds."""


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    def json(self) -> object:
        """Standard output as one JSON document."""
        return json.loads(self.out)


def loaded(code: str, wanted: tuple[str, ...]) -> set[str]:
    """Which modules of `wanted` a fresh interpreter has imported after running `code`, which must not fail."""
    script = f"import sys\ntry:\n    exec({code!r})\nexcept SystemExit as status:\n    assert not status.code\n"
    script += f"sys.stderr.write('LOADED ' + ' '.join(m for m in {wanted!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).resolve().parents[1]
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("LOADED")[2].split())


def run_line(*line: str) -> str:
    """Code that runs ``lanecli LINE``."""
    return f"sys.argv = ['lanecli', *{line!r}]\nimport runpy\nrunpy.run_module('lanecli', run_name='__main__')"


def brightness_model(path: Path, *, size: tuple[int, int] = (64, 32), level: float = 128.0) -> Path:
    """A model file that calls a pixel lane marking above a mean level: logits are +-(mean - level)."""
    weight = np.array([[-1 / 3] * 3, [1 / 3] * 3], np.float32)
    return linear_model(path, ModelSpec("brightness", {}, label_map("lane"), Geometry(size)), weight, [level, -level])


def linear_model(path: Path, spec: ModelSpec, weight: np.ndarray, bias: Sequence[float] | np.ndarray) -> Path:
    """A model file of format version 1, the network alone, whose logits are ``weight @ RGB + bias`` at each pixel.

    Args:
        path: of the .onnx file.
        spec: what its header says.
        weight: (C, 3), for levels 0 to 255.
        bias: (C,).
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["pictures"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weight", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        spec.architecture,
        [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["batch", "height", "width", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(weight), "height", "width"])],
        [
            numpy_helper.from_array(weight.astype(np.float32)[:, :, None, None], "weight"),
            numpy_helper.from_array(np.asarray(bias, np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps({**json.loads(spec.to_json()), "format_version": 1})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def write_video(path: Path, frames: int = 12, size: tuple[int, int] = (128, 64), rate: int | Fraction = 25) -> Path:
    """A video of a white stripe that moves two pixels to the right each frame, on black."""
    from lanecli.media import Frame, VideoSettings, VideoWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, VideoSettings(size, rate, crf=10)) as writer:
        for number in range(frames):
            picture = np.zeros((size[1], size[0], 3), np.uint8)
            picture[:, 20 + 2 * number : 36 + 2 * number] = 255
            writer.write(Frame.from_rgb(picture, number))
    return path
