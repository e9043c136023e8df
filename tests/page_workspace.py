"""A folder in which every command of the pages finds what it names, in miniature."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from miniature_files import as_json, block, ids, picture, text
from miniatures import camvid_tree, comma_tree, competition_tree, culane_tree, cvat_mask_export, tusimple_tree
from plain_roads import plain_roads
from samples import write_video
from walks import blocks

from lanecli.data.synthesise import synthesise
from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.build import build_network
from lanecli.shipped import configs_folder, find_model

VIDEOS = ("drive.mp4", "video.mp4", "drives/monday.mp4", "assets/road.mp4")
PICTURES = ("photos/town/a.png", "photos/b.png", "roads/a.png", "roads/b.png", "data/roads/a.png", "data/roads/b.png")
DATASETS = ("camvid", "tusimple", "apollo", "apolloscape", "comma10k", "mine", "synthetic")
RUNS = ("train", "tusimple", "large", "mine", "a", "b", "c", "bag-1", "bag-2", "repainted", "self-training", "teacher")
MEMBERS = ("runs/five/member-1", "runs/five/member-2")
ENSEMBLES = ("ens.yaml", "runs/five/ensemble.yaml", "runs/bags/ensemble.yaml")
LABELS = ("hedge", "car", "solid lane", "dashed lane", "unsure")
"""Those of the label map in docs/formats.md."""
SIZE = (64, 32)


def make_workspace(root: Path) -> Path:
    """Write the folder: videos, pictures, public layouts, exports of annotation tools, datasets, models."""
    _write_pictures(root)
    _write_layouts(root)
    _write_annotations(root)
    _write_models(root)
    for name in DATASETS:
        plain_roads(root / "data" / name, train=4, val=2)
    synthesise(root / "data" / "synth", count=3, size=(128, 72), seed=3, val=0.4, workers=1)
    _write_lane_lines(root)
    shutil.copytree(configs_folder(), root / "configs")
    return root


def open_workspace(workspace: Path, target: Path) -> Path:
    """Make the folder `target` that shows what the workspace holds, and may be written to."""
    for name in (".", "runs", "data"):
        (target / name).mkdir(parents=True)
        for path in (workspace / name).iterdir():
            if path.name not in ("runs", "data", "predict"):
                (target / name / path.name).symlink_to(path)
    shutil.copytree(workspace / "runs/predict", target / "runs/predict")
    return target


def own(path: Path) -> None:
    """Make a run that is shown a copy, which a command may rewrite."""
    if path.is_symlink() and path.parent.name == "runs":
        original = path.resolve()
        path.unlink()
        shutil.copytree(original, path)


def make_room(path: Path) -> None:
    """Remove what is shown where a command writes."""
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def _write_pictures(root: Path) -> None:
    write_video(root / VIDEOS[0], frames=6)
    for name in VIDEOS[1:]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / VIDEOS[0], root / name)
    for name in PICTURES:
        picture(root / name, (64, 48))
    for clip in ("clips/1", "clips/2"):
        picture(root / clip / "20.jpg", (128, 72))
    for name in ("a", "b"):
        picture(root / "frames" / f"{name}.jpg", (164, 59))
    for masks in ("runs/predict/drive.masks", "video.masks"):
        for frame in range(6):
            ids(root / masks / f"{frame:06}.png", block((128, 64), 1, 40, 0, 56, 64))
    text(root / "video.lanes.jsonl", "")


def _write_layouts(root: Path) -> None:
    camvid_tree(root / "CamVid")
    comma_tree(root / "comma10k")
    competition_tree(root / "ApolloScape")
    tusimple_tree(root / "TUSimple")
    layouts = root / "layouts"
    competition_tree(layouts / "apolloscape", size=(338, 1710))  # as tall as the set's own, for --crop-top
    culane_tree(layouts / "culane")
    for name, source in (("camvid", "CamVid"), ("comma10k", "comma10k"), ("tusimple", "TUSimple")):
        shutil.copytree(root / source, layouts / name)


def _write_annotations(root: Path) -> None:
    """What CVAT, LabelMe and COCO tools export, and plain masks."""
    export = cvat_mask_export(root / "FOLDER")
    shutil.make_archive(str(root / "job"), "zip", export)
    shutil.copytree(export / "JPEGImages", root / "pictures")
    coco = {"categories": [{"id": 1, "name": "lane marking"}], "images": [], "annotations": []}
    for number, name in enumerate(("a", "b", "c"), 1):
        picture(root / "labelled" / f"{name}.png")
        shapes = [
            {"label": label, "shape_type": "polygon", "points": [[4, 0], [8, 0], [8, 8], [4, 8]]} for label in LABELS
        ]
        document = {"imagePath": f"{name}.png", "imageWidth": 16, "imageHeight": 8, "shapes": shapes}
        as_json(root / "labelled" / f"{name}.json", document)
        picture(root / "folder" / "images" / f"{name}.png")
        ids(root / "folder" / "masks" / f"{name}.png", block((16, 8), 1, 4, 0, 8, 8))
        coco["images"].append({"id": number, "file_name": f"images/{name}.png", "width": 16, "height": 8})
        annotation = {"id": number, "image_id": number, "category_id": 1, "segmentation": [[4, 0, 8, 0, 8, 8, 4, 8]]}
        coco["annotations"].append(annotation)
    as_json(root / "folder" / "annotations.json", coco)
    (own_classes,) = blocks("formats.md", "yaml")
    text(root / "classes.yaml", own_classes)
    shutil.make_archive(str(root / "export"), "zip", root / "folder")


def _write_models(root: Path) -> None:
    spec = ModelSpec("erfnet", {"width": 0.25}, label_map("lane"), Geometry(SIZE))
    for seed, folder in enumerate((*(f"runs/{name}" for name in RUNS), *MEMBERS)):
        torch.manual_seed(seed)
        (root / folder).mkdir(parents=True)
        write_safetensors(root / folder / "model.safetensors", build_network(spec).state_dict(), spec)
    for name in ENSEMBLES:
        members = [os.path.relpath(root / member, (root / name).parent) for member in MEMBERS]
        as_json(root / name, {"members": members})
    for name in ("lanes.onnx", "mine.onnx"):
        shutil.copyfile(find_model("lane"), root / name)


def _write_lane_lines(root: Path) -> None:
    """Truth and predictions in the benchmarks' own layouts."""
    rows = list(range(240, 440, 10))
    entry = json.dumps({"raw_file": "a", "lanes": [[600] * 20], "h_samples": rows, "run_time": 10})
    for name in ("test_label.json", "predictions.json"):
        text(root / name, entry + "\n")
    line = "400 580 420 400 450 300\n"
    for folder in ("GT_DIR", "PRED_DIR", "CULane", "predictions"):
        text(root / folder / "a.lines.txt", line)
    for name in ("LIST", "CULane/list/test_split/test0_normal.txt"):
        text(root / name, "/a.jpg\n")
    for folder in ("annotations", "results"):
        uv = [[500, 560, 700], [1200, 1000, 700]]
        as_json(root / folder / "a.json", {"lane_lines": [{"category": 1, "uv": uv}]})
    text(root / "test_list.txt", "a.json\n")
    marker = {
        "pixel_start": {"x": "400", "y": "600"},
        "pixel_end": {"x": "440", "y": "400"},
        "world_start": {"x": "0", "y": "1", "z": "10"},
        "world_end": {"x": "0", "y": "1", "z": "30"},
    }
    lanes = [{"lane_id": "l0", "markers": [marker, marker]}]
    as_json(root / "labels/valid/run/1.json", {"projection_matrix": np.eye(3).tolist(), "lanes": lanes})
    text(root / "predictions/run/1.lines.txt", "400 600 440 400\n")
    for folder in ("truth", "labels/lane/masks/val", "predictions"):
        ids(root / folder / "a.png", np.zeros((8, 8)))
