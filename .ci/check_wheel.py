"""The wheel carries the shipped model and the configurations, and nothing it should not."""

import sys
import zipfile

names = zipfile.ZipFile(sys.argv[1]).namelist()
for wanted in ("lanecli/assets/models/lane.onnx", "lanecli/configs/default.yaml", "lanecli/cli/predict.py"):
    if wanted not in names:
        sys.exit(f"{wanted} is not in the wheel")
strangers = [n for n in names if n.startswith("tests/") or n.endswith((".pyc", ".mp4"))]
if strangers:
    sys.exit(f"the wheel should not hold {strangers[:3]}")
print(f"{len(names)} files in the wheel")
