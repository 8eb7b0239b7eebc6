"""Graphs for the tests of what the tiny models do not show. Needs PyPI's onnx; the same bytes on every run.

    python make.py FOLDER

| graph | what it is for |
| --- | --- |
| inputs.onnx | four int32 inputs; outputs in float16, in int64, and of a shape that is not stated |
| halves.onnx | a float16 output of shape [batch, tokens, 2]: the id, and twice the id |
| nan.onnx | logits that are not a number when a text has a token past 50 |
| unmasked.onnx | does not heed the attention mask, so that padding moves its answers |
| external.onnx | weights in a file beside it, external.bin |
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BATCH = ["batch", "tokens"]


def save(folder, name, nodes, inputs, outputs, weights=None, **how):
    graph = helper.make_graph(
        nodes, name, inputs, outputs, [numpy_helper.from_array(v, k) for k, v in (weights or {}).items()]
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="make", producer_version="1"
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / f"{name}.onnx"), **how)


def matrix(name, kind=TensorProto.INT64):
    return helper.make_tensor_value_info(name, kind, BATCH)


def inputs(folder):
    node = helper.make_node
    save(
        folder,
        "inputs",
        [
            node("Mul", ["input_ids", "attention_mask"], ["kept"]),
            node("Add", ["token_type_ids", "position_ids"], ["places"]),
            node("Mul", ["places", "attention_mask"], ["kept_places"]),
            node("ReduceSum", ["kept", "axis"], ["ids_sum"], keepdims=1),
            node("ReduceSum", ["kept_places", "axis"], ["places_sum"], keepdims=1),
            node("Concat", ["ids_sum", "places_sum"], ["sums"], axis=1),
            node("Cast", ["sums"], ["half"], to=TensorProto.FLOAT16),
            node("Cast", ["kept"], ["open"], to=TensorProto.FLOAT),
            node("Squeeze", ["ids_sum", "axis"], ["flat"]),
            node("Cast", ["flat"], ["long"], to=TensorProto.INT64),
        ],
        [matrix(n, TensorProto.INT32) for n in ("input_ids", "attention_mask", "token_type_ids", "position_ids")],
        [
            helper.make_tensor_value_info("half", TensorProto.FLOAT16, ["batch", 2]),
            helper.make_tensor_value_info("open", TensorProto.FLOAT, BATCH),
            helper.make_tensor_value_info("long", TensorProto.INT64, ["batch"]),
        ],
        {"axis": np.array([1])},
    )


LOGITS = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])]
SIGNS = {"signs": np.array([[1, -1]], dtype=np.float32), "axis": np.array([1])}


def nan(folder):
    node = helper.make_node
    save(
        folder,
        "nan",
        [
            node("Mul", ["input_ids", "attention_mask"], ["kept"]),
            node("ReduceMax", ["kept"], ["most"], axes=[1], keepdims=1),
            node("Sub", ["fifty", "most"], ["left"]),
            node("Cast", ["left"], ["left_float"], to=TensorProto.FLOAT),
            node("Sqrt", ["left_float"], ["root"]),
            node("Mul", ["root", "signs"], ["logits"]),
        ],
        [matrix("input_ids"), matrix("attention_mask")],
        LOGITS,
        {"fifty": np.array([50]), "signs": SIGNS["signs"]},
    )


def unmasked(folder):
    node = helper.make_node
    save(
        folder,
        "unmasked",
        [
            node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
            node("ReduceMean", ["ids"], ["mean"], axes=[1], keepdims=1),
            node("Mul", ["mean", "signs"], ["logits"]),
        ],
        [matrix("input_ids"), matrix("attention_mask")],
        LOGITS,
        {"signs": SIGNS["signs"]},
    )


def halves(folder):
    node = helper.make_node
    save(
        folder,
        "halves",
        [
            node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT16),
            node("Unsqueeze", ["ids", "last"], ["ids_3d"]),
            node("Mul", ["ids_3d", "factors"], ["vectors"]),
        ],
        [matrix("input_ids")],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT16, [*BATCH, 2])],
        {"last": np.array([2]), "factors": np.array([1, 2], dtype=np.float16)},
    )


def external(folder):
    node = helper.make_node
    table = np.arange(256, dtype=np.float32).reshape(128, 2)
    save(
        folder,
        "external",
        [node("Gather", ["table", "input_ids"], ["vectors"]), node("ReduceSum", ["vectors", "axis"], ["logits"], keepdims=0)],
        [matrix("input_ids")],
        LOGITS,
        {"table": table, "axis": SIGNS["axis"]},
        save_as_external_data=True,
        location="external.bin",
        size_threshold=1000,
    )


if len(sys.argv) != 2:
    sys.exit("usage: make.py FOLDER")
for make in (inputs, halves, nan, unmasked, external):
    make(Path(sys.argv[1]))
