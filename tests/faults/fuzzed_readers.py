"""The readers of foreign data, each with small files it reads."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from fuzzing import Made, Reader
from samples import brightness_model, write_video

_BODY = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)


def _pictures(folder: Path) -> Made:
    from lanecli.media import read_picture

    paths = []
    for suffix in (".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm"):
        path = folder / f"picture{suffix}"
        cv2.imwrite(str(path), _BODY)
        paths.append(path)
    return paths, lambda: [read_picture(path) for path in paths]


def _masks(folder: Path) -> Made:
    from lanecli.media.pictures import read_mask

    path = folder / "mask.png"
    cv2.imwrite(str(path), _BODY[..., 0])
    return [path], lambda: read_mask(path)


def _video(folder: Path) -> Made:
    from lanecli.media import Source, open_video

    path = write_video(folder / "clip.mp4", frames=6, size=(64, 32))

    def read() -> None:
        with open_video(Source("video", str(path), Path(), "clip")) as reader:
            for _ in reader:
                pass

    return [path], read


def _config(folder: Path) -> Made:
    from lanecli.config import Config, load_config

    path = folder / "config.yaml"
    path.write_text(Config().to_yaml() + "\nstages: [{train: {epochs: 2}}, {loss: dice}]\n")
    return [path], lambda: load_config(path)


def _sweep(folder: Path) -> Made:
    from lanecli.training.sweep_file import read_sweep

    path = folder / "sweep.yaml"
    path.write_text("base: {train: {epochs: 2}}\nvariants:\n  one: [loss=ce]\n  two: [loss=dice, optim.lr=0.1]\n")
    return [path], lambda: read_sweep(path, [])


def _ensemble(folder: Path) -> Made:
    from lanecli.inference.ensemble import read_ensemble

    path = folder / "ensemble.yaml"
    path.write_text(
        "members:\n- {model: runs/a, weight: 2}\n- {model: lane, weight: 1}\ncombine: weighted\ntta: flip\n"
    )
    return [path], lambda: read_ensemble(path)


def _label_map(folder: Path) -> Made:
    import yaml

    from lanecli.labelmaps import label_map, resolve_label_map

    path = folder / "map.yaml"
    path.write_text(yaml.safe_dump(label_map("lane").to_dict()))
    return [path], lambda: resolve_label_map(str(path), "folder")


def _dataset(folder: Path) -> Made:
    from lanecli.data.manifest import read_dataset
    from lanecli.data.synthesise import synthesise

    synthesise(folder / "set", count=3, size=(64, 32), workers=1)
    paths = [folder / "set" / name for name in ("dataset.yaml", "manifest.csv")]
    return paths, lambda: read_dataset(folder / "set")


def _network(folder: Path, suffix: str) -> Path:
    import torch

    from lanecli.geometry import Geometry
    from lanecli.labelmaps import label_map
    from lanecli.modelfile import ModelSpec, write_safetensors
    from lanecli.models.build import build_network

    torch.manual_seed(0)
    arguments = {"encoder": "timm-mobilenetv3_small_minimal_100", "encoder_depth": 3, "decoder_channels": [8, 8, 8]}
    spec = ModelSpec("unet", arguments, label_map("lane"), Geometry((64, 32)), provenance={"note": "a"})
    path = folder / f"model{suffix}"
    write_safetensors(path, build_network(spec).state_dict(), spec)
    return path


def _header(folder: Path) -> Made:
    from lanecli.modelfile import ModelSpec, read_spec

    whole = brightness_model(folder / "bright.onnx")
    header = folder / "header.json"
    header.write_text(read_spec(whole).to_json())
    return [header], lambda: ModelSpec.from_json(header.read_text("utf-8", "replace"), str(header))


def _tensors(folder: Path) -> Made:
    import torch

    from lanecli.geometry import Geometry
    from lanecli.labelmaps import label_map
    from lanecli.modelfile import ModelSpec, read_spec, read_weights, write_safetensors

    path = folder / "model.safetensors"
    state = {"a.weight": torch.zeros(2, 3), "half": torch.zeros(2, dtype=torch.float16), "n": torch.tensor(3)}
    write_safetensors(path, state, ModelSpec("unet", {}, label_map("lane"), Geometry((64, 32))))

    def read() -> None:
        read_spec(path)
        read_weights(path)

    return [path], read


def _onnx(folder: Path) -> Made:
    from lanecli.modelfile import read_spec, read_weights

    path = brightness_model(folder / "model.onnx")

    def read() -> None:
        read_spec(path)
        read_weights(path)

    return [path], read


def _backend(name: str) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        from lanecli.inference.backends import BACKENDS, Load

        path = brightness_model(folder / "model.onnx")
        picture = np.zeros((1, 32, 64, 3), np.uint8)

        def read() -> None:
            backend = BACKENDS.get(name)(Load(path, ("planes",)))
            if backend.size == (64, 32):
                backend.submit(picture).result()

        return [path], read

    return make


def _built(folder: Path) -> Made:
    """A network built from a damaged header before its weights, which stay whole."""
    import struct

    from lanecli.models.build import network_from_file

    path = _network(folder, ".safetensors")
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    head, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    spec = folder / "spec.json"
    spec.write_text(head["__metadata__"]["lanecli"])

    def read() -> None:
        head["__metadata__"]["lanecli"] = spec.read_text("utf-8", "replace")
        text = json.dumps(head).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + body)
        network_from_file(path)

    return [spec], read


def _state(folder: Path) -> Made:
    import torch

    from lanecli.training.checkpoint import load_state, save_state

    state = {"step": 3, "epoch": 1, "best": 0.5, "random": [1, 2], "network": {"a": torch.zeros(2, 2), 0: [None, "x"]}}
    save_state(folder / "last", state)
    paths = [folder / "last" / name for name in ("state.json", "state.safetensors")]
    return paths, lambda: load_state(folder / "last")


def _log(folder: Path) -> Made:
    from lanecli.training.log import RunLog

    log = RunLog(folder)
    for epoch in (1, 2):
        log.event(event="step", step=epoch, loss=0.5)
        log.epoch({"epoch": epoch, "step": epoch, "train/loss": 0.5, "val/miou": 0.1})
    log.close()
    paths = [folder / "metrics.csv", folder / "log.jsonl"]
    whole = {path: path.read_bytes() for path in paths}

    def read() -> None:
        damaged = {path: path.read_bytes() for path in paths}
        try:
            RunLog(folder, (1, 1), writes=False)
            RunLog(folder, (1, 1)).close()
        finally:
            for board in (folder / "tensorboard").iterdir():
                board.unlink()
            for path in paths:
                path.write_bytes(whole[path] if damaged[path] != whole[path] else damaged[path])

    return paths, read


def _record(folder: Path) -> Made:
    from lanecli.inference.record import RECORD, JobRecord
    from lanecli.media import Source

    picture = folder / "a.png"
    picture.write_bytes(b"")
    source = Source("image", str(picture), Path(), "a")
    job = {"models": ["lane"]}
    record = JobRecord(folder, job)
    record.begin(source)
    record.done(source, {"outputs": [str(picture)], "frames": 1})

    def read() -> None:
        again = JobRecord(folder, job)
        again.earlier_report(source)
        again.was_begun(source)

    return [folder / RECORD], read


def _scenes(folder: Path) -> Made:
    from lanecli.data.scene_record import RECORD, SceneRecord, scene_files

    settings = {"count": 3, "size": [64, 32]}
    record = SceneRecord(folder, settings)
    record.begin()
    for number in range(3):
        for path in scene_files(folder, number):
            path.parent.mkdir(exist_ok=True)
            path.touch()
        record.add((json.dumps({"image": f"images/{number:06d}.jpg", "lanes": []}), [2000, 48]))
    return [folder / RECORD], lambda: SceneRecord(folder, settings).scenes


def _zip(folder: Path) -> Made:
    from lanecli.data.archive import unpack

    path = folder / "labels.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.txt", "hello " * 100)
        archive.writestr("ä.json", "{}")
    return [path], lambda: unpack(path, folder / "out")


def _lock(folder: Path) -> Made:
    from lanecli.ownership import LOCK, owned

    (folder / LOCK).write_text('{"pid": 1, "command": "lanecli synth x"}')
    content = folder / "content"
    content.write_bytes((folder / LOCK).read_bytes())

    def read() -> None:
        with owned(folder):
            (folder / LOCK).write_bytes(content.read_bytes())
            with owned(folder):
                pass

    def tolerant() -> None:
        from lanecli.ownership import FolderInUseError

        try:
            read()
        except FolderInUseError:
            return

    return [content], tolerant


READERS = (
    Reader("pictures", _pictures),
    Reader("masks", _masks),
    Reader("video", _video),
    Reader("configuration", _config),
    Reader("sweep file", _sweep),
    Reader("ensemble file", _ensemble),
    Reader("label map", _label_map),
    Reader("dataset", _dataset),
    Reader("model header", _header),
    Reader("safetensors", _tensors),
    Reader("onnx", _onnx),
    Reader("built network", _built),
    Reader("onnxruntime", _backend("onnxruntime")),
    Reader("openvino", _backend("openvino")),
    Reader("training state", _state),
    Reader("training log", _log),
    Reader("job record", _record),
    Reader("scene record", _scenes),
    Reader("zip", _zip),
    Reader("lock", _lock),
)
