"""int8 weights for an exported graph: the constant matrix products, and the word embeddings."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

WORDS = "words.weight"


def quantized(source: Path, reduce_range: bool = True) -> onnx.ModelProto:
    """The graph at `source` with int8 weights; activations are quantized while it runs.

    Matrix products take signed weights, one scale per output channel. With `reduce_range` the
    weights have 7 bits: on processors without VNNI the kernel adds pairs of products in 16 bits,
    which 8-bit weights overflow and 7-bit weights cannot, so that every processor gets one answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        quantize_dynamic(
            str(source),
            str(target),
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        model = onnx.load(str(target))
    quantize_words(model.graph)
    return model


def quantize_words(graph: onnx.GraphProto) -> None:
    """Replaces the float table [vocabulary, hidden] by int8 rows and a float scale per row.

    Both are gathered by id, so a token's vector depends on that token alone.
    """
    table = next(tensor for tensor in graph.initializer if tensor.name == WORDS)
    values = numpy_helper.to_array(table)
    scales = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-8).astype(np.float32) / 127
    rows = np.rint(values / scales).astype(np.int8)
    graph.initializer.remove(table)
    graph.initializer.append(numpy_helper.from_array(rows, f"{WORDS}.rows"))
    graph.initializer.append(numpy_helper.from_array(scales, f"{WORDS}.scales"))

    index, gather = next((i, node) for i, node in enumerate(graph.node) if WORDS in node.input)
    ids, output = gather.input[1], gather.output[0]
    graph.node.remove(gather)
    replacements = [
        helper.make_node("Gather", [f"{WORDS}.rows", ids], ["words.rows"], axis=0),
        helper.make_node("Cast", ["words.rows"], ["words.levels"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{WORDS}.scales", ids], ["words.scales"], axis=0),
        helper.make_node("Mul", ["words.levels", "words.scales"], [output]),
    ]
    for offset, node in enumerate(replacements):
        graph.node.insert(index + offset, node)
