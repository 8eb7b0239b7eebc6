"""Writes a LightGBM ranker as it is: `model.onnx`, one float32 input [rows, columns], and the columns' names in order."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

OPSET = 15
LARGEST = 300_000
CLOSE = 1e-5


def write(model: lightgbm.LGBMRanker, names: list[str], rows: NDArray[np.float32], folder: Path) -> None:
    """`rows` are asked of both the ranker and the written graph, which must agree."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    graph = convert_lightgbm(model.booster_, initial_types=[("input", FloatTensorType([None, len(names)]))], target_opset=OPSET)
    onnx.save(graph, str(path))
    if path.stat().st_size > LARGEST:
        raise SystemExit(f"{path} has {path.stat().st_size} bytes, want at most {LARGEST}")
    (folder / "columns.txt").write_text("\n".join(names) + "\n")
    (got,) = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"input": rows})
    apart = float(np.abs(got[:, 0] - model.predict(rows)).max())
    print(f"{path}: {path.stat().st_size} bytes, off by {apart:.2g}")
    if apart > CLOSE:
        raise SystemExit(f"{path} is off by {apart:.2g}, want at most {CLOSE}")
