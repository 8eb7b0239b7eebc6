"""int8 weights for an exported graph: the constant matrix products, the word embeddings and the positions."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

WORDS = "model.words.weight"
POSITIONS = "model.positions.weight"


def quantized(source: Path, reduce_range: bool = True, exact: Sequence[str] = ()) -> onnx.ModelProto:
    """The graph at `source` with int8 weights; activations are quantized while it runs.

    Matrix products take signed weights, one scale per output channel. With `reduce_range` the
    weights have 7 bits: on processors without VNNI the kernel adds pairs of products in 16 bits,
    which 8-bit weights overflow and 7-bit weights cannot, so that every processor gets one answer.

    The products of layers named in `exact`, such as `layers.5/down`, keep 8-bit weights that become float when the graph is
    loaded: as small in the file, slower, and without the error of quantized activations. The heads stay float: they are small
    and read one vector.
    """
    kept = [node.name for node in onnx.load(str(source)).graph.node if any(part in node.name for part in exact)]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        quantize_dynamic(
            str(source),
            str(target),
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=kept + heads(onnx.load(str(source)).graph),
            per_channel=True,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        model = onnx.load(str(target))
    quantize_words(model.graph)
    store_as_int8(model.graph, POSITIONS, axis=1)
    for node in list(model.graph.node):
        if node.op_type == "MatMul" and node.name in kept:
            store_as_int8(model.graph, node.input[1], axis=0)
    return model


def heads(graph: onnx.GraphProto) -> list[str]:
    """The names of the products on whole texts, which torch writes as Gemm; the layers' are MatMul."""
    return [node.name for node in graph.node if node.op_type == "Gemm"]


def levels_of(values: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 levels, and scales that are shared along `axis`."""
    scales = np.maximum(np.abs(values).max(axis=axis, keepdims=True), 1e-8).astype(np.float32) / 127
    return np.rint(values / scales).astype(np.int8), scales


def take(graph: onnx.GraphProto, name: str) -> NDArray[np.float32]:
    """Removes a table from the graph and returns its values."""
    table = next(tensor for tensor in graph.initializer if tensor.name == name)
    graph.initializer.remove(table)
    return numpy_helper.to_array(table)


def store_as_int8(graph: onnx.GraphProto, name: str, axis: int) -> None:
    """Keeps a constant as int8 in the file. ONNX Runtime computes the float one when it loads the graph."""
    levels, scales = levels_of(take(graph, name), axis)
    graph.initializer.append(numpy_helper.from_array(levels, f"{name}.levels"))
    graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scales"))
    graph.node.insert(0, helper.make_node("Mul", [f"{name}.float", f"{name}.scales"], [name]))
    graph.node.insert(0, helper.make_node("Cast", [f"{name}.levels"], [f"{name}.float"], to=TensorProto.FLOAT))


def quantize_words(graph: onnx.GraphProto) -> None:
    """Replaces the float table [vocabulary, hidden] by int8 rows and a float scale per row.

    Both are gathered by id, so a token's vector depends on that token alone.
    """
    rows, scales = levels_of(take(graph, WORDS), axis=1)
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
