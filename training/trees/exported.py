"""Writes a LightGBM ranker as it is: `model.onnx`, one float32 input [rows, columns], and `nearline.yaml` with the columns' names."""

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


def typical(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of nobody: the quartiles of each column, to three digits."""
    quartiles = np.quantile(rows, [0.25, 0.5, 0.75], axis=0)
    return np.array([[float(f"{value:.3g}") for value in row] for row in quartiles], np.float32)


def write(model: lightgbm.LGBMRanker, names: list[str], rows: NDArray[np.float32], folder: Path) -> None:
    """`rows` are asked of both the ranker and the written graph, which must agree."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    graph = convert_lightgbm(model.booster_, initial_types=[("input", FloatTensorType([None, len(names)]))], target_opset=OPSET)
    onnx.save(graph, str(path))
    if path.stat().st_size > LARGEST:
        raise SystemExit(f"{path} has {path.stat().st_size} bytes, want at most {LARGEST}")
    (got,) = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"input": rows})
    apart = float(np.abs(got[:, 0] - model.predict(rows)).max())
    print(f"{path}: {path.stat().st_size} bytes, off by {apart:.2g}")
    golden = [
        f"  - columns: {{{', '.join(f'{name}: {value:g}' for name, value in zip(names, row, strict=True))}}}\n"
        f"    expect: {{{folder.parent.name}: {score:.6f}}}\n"
        for row, score in zip(typical(rows), model.predict(typical(rows)), strict=True)
    ]
    (folder / "nearline.yaml").write_text(f"inputs: {{input: [{', '.join(names)}]}}\ntolerance: 0.001\ngolden:\n{''.join(golden)}")
    if apart > CLOSE:
        raise SystemExit(f"{path} is off by {apart:.2g}, want at most {CLOSE}")
