"""Derives a float16 folder, for GPUs, from a folder whose weights are int8.

    python fp16.py --model models/zoo/sentiment/1 --out .cache/fp16/sentiment/1

The int8 weights and embeddings become float16, and nothing is quantized while the graph runs any more, so that rows may
share a batch. Token ids stay int64, and what comes after the encoder's last layer normalisation (the pooling, the heads,
a linear part beside the encoder) stays float32, as do the outputs.

Golden answers are computed anew, since the int8 ones have the rounding of their activations in them. The script says how
far they moved, and fails where a clear answer changed its label. `--texts FILE` (a text a line) with `--against GRAPH`
compares with another graph, such as the float one of a training run.
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, Iterable, Sequence

import numpy as np
import onnx
import onnxruntime
import yaml
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

Array = NDArray[Any]

# An answer with a probability above this may not change its label.
CLEAR = 0.7
# Kinds of GPU differ in how they round and add float16; a wrong graph is off by far more. Not measured on one.
TOLERANCE = 0.03
LARGEST = float(np.finfo(np.float16).max)


class Refused(Exception):
    """A graph that this script does not know how to convert."""


class Graph:
    """A graph with what is needed to rewrite it: who makes a tensor, and who reads it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes: list[NodeProto] = []
        self.values: dict[str, Array] = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        for node in model.graph.node:
            if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute):
                raise Refused(f"node {node.name or node.op_type} holds a graph of its own: export without {node.op_type}")
            if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value":
                self.values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            else:
                self.nodes.append(node)
        self.outputs = [output.name for output in model.graph.output]
        self.index()

    def index(self) -> None:
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def made_by(self, name: str, op: str) -> NodeProto | None:
        node = self.maker.get(name)
        return node if node is not None and node.op_type == op else None

    def only_reader(self, name: str, op: str) -> NodeProto | None:
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and readers[0].op_type == op and name not in self.outputs else None

    def replace(self, old: NodeProto, new: NodeProto) -> None:
        self.nodes[next(i for i, node in enumerate(self.nodes) if node is old)] = new
        self.index()

    def prune(self) -> None:
        """Drops what no output needs, and the values that nobody reads."""
        needed, kept = set(self.outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        self.nodes = kept[::-1]
        self.values = {name: value for name, value in self.values.items() if name in needed}
        self.index()

    def made(self) -> onnx.ModelProto:
        graph = self.model.graph
        made = onnx.ModelProto()
        made.CopyFrom(self.model)
        del made.graph.node[:], made.graph.initializer[:], made.graph.value_info[:]
        for index, node in enumerate(self.nodes):
            node.name = node.name or f"{node.op_type}_{index}"
        made.graph.node.extend(self.nodes)
        made.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in self.values.items())
        names = {tensor.name for tensor in graph.initializer}  # files of old lists them among the inputs
        inputs = [i for i in graph.input if i.name not in names]
        del made.graph.input[:]
        made.graph.input.extend(inputs)
        made.producer_name, made.producer_version = "nearline fp16", "1"
        return made


def levels(graph: Graph, name: str, scale: Array, zero: str, axis: int) -> Array:
    """The float values behind quantized ones."""
    values = graph.values[name].astype(np.float32)
    offset = graph.values[zero].astype(np.float32) if zero else np.float32(0)

    def spread(per: Array) -> Array:
        per = np.asarray(per, dtype=np.float32)
        if per.size == 1:
            return per.reshape(())
        shape = [1] * values.ndim
        shape[axis] = per.size
        return per.reshape(shape)

    return (values - spread(offset)) * spread(scale)


def optional(node: NodeProto, index: int) -> str:
    return node.input[index] if len(node.input) > index else ""


def dequantized(graph: Graph) -> Counter[str]:
    """Replaces everything quantized by floats, and says what was found how often."""
    done: Counter[str] = Counter()
    for node in list(graph.nodes):
        if node.op_type == "MatMulInteger":
            product(graph, node)
            done["matrix products"] += 1
        elif node.op_type == "DequantizeLinear":
            done[dequantize(graph, node)] += 1
        elif node.op_type == "Gather" and node.input[0] in graph.values:
            done["tables"] += table(graph, node)
    graph.prune()
    left = {n.op_type for n in graph.nodes if "Integer" in n.op_type or "Quantize" in n.op_type or n.op_type.startswith("QLinear")}
    if left := left | {n.op_type for n in graph.nodes if n.op_type in ("QAttention", "QGemm", "MatMulNBits")}:
        raise Refused(f"{', '.join(sorted(left))} cannot be turned back: start from the graph before it was quantized")
    return done


def product(graph: Graph, node: NodeProto) -> None:
    """DynamicQuantizeLinear, MatMulInteger, Cast, Mul by both scales: one MatMul."""
    quantize = graph.made_by(node.input[0], "DynamicQuantizeLinear")
    cast = graph.only_reader(node.output[0], "Cast")
    scaled = graph.only_reader(cast.output[0], "Mul") if cast is not None else None
    if quantize is None or scaled is None or node.input[1] not in graph.values:
        raise Refused(f"{node.name}: MatMulInteger without DynamicQuantizeLinear before it, or Cast and Mul behind it")
    other = next(name for name in scaled.input if name != cast.output[0])
    scales = graph.made_by(other, "Mul")
    if scales is None or quantize.output[1] not in scales.input:
        raise Refused(f"{node.name}: its scale is not that of the activations times that of the weights")
    weight_scale = next(name for name in scales.input if name != quantize.output[1])
    if weight_scale not in graph.values:
        raise Refused(f"{node.name}: the scale of its weights is computed while it runs")
    axis = graph.values[node.input[1]].ndim - 1  # of the products' columns
    weight = f"{node.input[1]}.float"
    graph.values[weight] = levels(graph, node.input[1], graph.values[weight_scale], optional(node, 3), axis)
    graph.replace(scaled, helper.make_node("MatMul", [quantize.input[0], weight], list(scaled.output), name=node.name))


def dequantize(graph: Graph, node: NodeProto) -> str:
    """DequantizeLinear of weights becomes weights; of activations just quantized, nothing."""
    source, scale, zero = node.input[0], node.input[1], optional(node, 2)
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    if source in graph.values and scale in graph.values:
        graph.values[node.output[0]] = levels(graph, source, graph.values[scale], zero, axis)
        graph.nodes = [n for n in graph.nodes if n is not node]
        graph.index()
        return "weights"
    quantize = graph.made_by(source, "QuantizeLinear")
    if quantize is None:
        raise Refused(f"{node.name}: DequantizeLinear of what is neither a weight nor just quantized")
    graph.replace(node, helper.make_node("Identity", [quantize.input[0]], list(node.output), name=node.name))
    return "activations"


def table(graph: Graph, node: NodeProto) -> int:
    """Gather of int8 rows, Cast, Mul by a scale that is constant or gathered by the same ids: Gather of floats."""
    rows = graph.values[node.input[0]]
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    cast = graph.only_reader(node.output[0], "Cast")
    scaled = graph.only_reader(cast.output[0], "Mul") if cast is not None else None
    if rows.dtype not in (np.int8, np.uint8) or axis != 0 or scaled is None:
        return 0
    other = next(name for name in scaled.input if name != cast.output[0])
    beside = graph.made_by(other, "Gather")
    if beside is not None and beside.input[0] in graph.values and beside.input[1] == node.input[1]:
        scale = graph.values[beside.input[0]]
        if scale.shape not in ((rows.shape[0], 1), rows.shape):
            return 0
    elif other in graph.values:
        scale = graph.values[other]
        if scale.size not in (1, rows.shape[-1]) or scale.ndim > rows.ndim:
            return 0
    else:
        return 0
    name = f"{node.input[0]}.float"
    graph.values[name] = rows.astype(np.float32) * scale.astype(np.float32)
    graph.replace(scaled, helper.make_node("Gather", [name, node.input[1]], list(scaled.output), name=node.name, axis=0))
    return 1


def after_the_encoder(graph: Graph) -> set[int]:
    """The nodes from which no way backwards is left but through a layer normalisation; by identity."""
    found: set[int] = set()
    names = list(graph.outputs)
    while names:
        node = graph.maker.get(names.pop())
        if node is None or id(node) in found or node.op_type == "LayerNormalization":
            continue
        found.add(id(node))
        names.extend(node.input)
    return found


def halved(graph: Graph) -> None:
    """Turns float32 into float16, but for what comes after the encoder."""
    types = tensor_types(graph)
    full = after_the_encoder(graph)
    if all(id(node) in full for node in graph.nodes):
        raise Refused("the graph has no LayerNormalization (opset 17): export with that opset, or there is nothing to halve")
    is_float = lambda name: types.get(name) == TensorProto.FLOAT  # noqa: E731
    halves: dict[str, str] = {}  # tensor or value: its name in float16
    widened: dict[str, str] = {}
    nodes: list[NodeProto] = []
    for node in graph.nodes:
        if id(node) in full:
            for index, name in enumerate(node.input):
                if name in halves and name not in graph.values:
                    if name not in widened:
                        widened[name] = f"{name}.float"
                        nodes.append(helper.make_node("Cast", [halves[name]], [widened[name]], to=TensorProto.FLOAT))
                    node.input[index] = widened[name]
            nodes.append(node)
            continue
        for index, name in enumerate(node.input):
            if not is_float(name):
                continue
            if name not in halves:
                halves[name] = f"{name}.half"
                if name in graph.values:
                    graph.values[halves[name]] = np.clip(graph.values[name], -LARGEST, LARGEST).astype(np.float16)
                else:  # an input, or from after the encoder
                    nodes.append(helper.make_node("Cast", [name], [halves[name]], to=TensorProto.FLOAT16))
            node.input[index] = halves[name]
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            elif attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float16)))
        for index, name in enumerate(node.output):
            if is_float(name):
                halves[name] = f"{name}.half"
                node.output[index] = halves[name]
        nodes.append(node)
    graph.nodes = nodes
    graph.index()
    graph.prune()


def tensor_types(graph: Graph) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(graph.made(), strict_mode=True).graph
    types = {info.name: info.type.tensor_type.elem_type for info in (*inferred.input, *inferred.value_info, *inferred.output)}
    types |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
    unknown = [name for node in graph.nodes for name in node.output if name and name not in types]
    if unknown:
        raise Refused(f"the type of {', '.join(unknown[:3])} is not known: an operator that is not of ONNX itself?")
    return types


def converted(path: Path) -> tuple[onnx.ModelProto, Counter[str]]:
    graph = Graph(onnx.load(str(path)))
    found = dequantized(graph)
    halved(graph)
    model = graph.made()
    onnx.checker.check_model(model, full_check=True)
    return model, found


class Answers:
    """A graph's answers, one text at a time, by the heads of nearline.yaml."""

    def __init__(self, graph: Path, folder: Path, description: dict[str, Any]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.heads = description["heads"]
        for head in self.heads:
            if head.get("kind") not in ("classification", "score"):
                raise Refused(f"head {head.get('name')}: only kinds classification and score, written out in nearline.yaml")
        self.inputs = [i.name for i in self.session.get_inputs()]
        self.limit = description.get("max_tokens")

    def logits(self, text: str) -> list[Array]:
        encoded = self.tokenizer.encode(text)
        ids = np.array([encoded.ids], dtype=np.int64)
        feeds = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.array([encoded.type_ids], dtype=np.int64),
            "position_ids": np.arange(ids.shape[1], dtype=np.int64)[None],
        }
        names = [head.get("output", head["name"]) for head in self.heads]
        return self.session.run(names, {name: feeds[name] for name in self.inputs})

    def of(self, text: str) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        for head, logits in zip(self.heads, self.logits(text)):
            row = np.asarray(logits, dtype=np.float64).reshape(-1)
            if head["kind"] == "classification":
                scores = np.exp(row - row.max())
                scores /= scores.sum()
                best = int(scores.argmax())
                answer[head["name"]] = {"label": head["labels"][best], "score": round(float(scores[best]), 4)}
            else:
                value = float(row[0])
                answer[head["name"]] = round(1 / (1 + float(np.exp(-value))) if head.get("activation") == "sigmoid" else value, 4)
        return answer


def differences(pairs: Iterable[tuple[dict[str, Any], dict[str, Any]]]) -> tuple[int, int, float, list[int]]:
    """How many labels, how many of them equal, the largest distance of scores, and where a clear label changed."""
    labels = equal = 0
    furthest, changed = 0.0, []
    for index, (old, new) in enumerate(pairs):
        for name in old.keys() & new.keys():
            before, after = old[name], new[name]
            if not isinstance(before, dict):
                furthest = max(furthest, abs(before - after))
                continue
            labels += 1
            same = before["label"] == after["label"]
            equal += same
            score = after["score"] if same else 1 - after["score"]
            furthest = max(furthest, abs(before["score"] - score))
            if not same and before["score"] > CLEAR:
                changed.append(index)
    return labels, equal, furthest, changed


class Flow(dict):
    """A mapping that is written on one line."""


yaml.SafeDumper.add_representer(
    Flow, lambda dumper, value: dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=True)
)


def derive(source: Path, out: Path) -> None:
    description = yaml.safe_load((source / "nearline.yaml").read_text(encoding="utf-8"))
    graph = source / description.get("graph", "model.onnx")
    model, found = converted(graph)
    out.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file() and file.suffix != ".onnx" and file.resolve() != (out / file.name).resolve():
            shutil.copyfile(file, out / file.name)
    onnx.save(model, str(out / "model.onnx"))
    description.pop("graph", None)

    answers = Answers(out / "model.onnx", out, description)
    golden = description.get("golden", [])
    fresh = [answers.of(example["text"]) for example in golden]
    labels, equal, furthest, changed = differences((example["expect"], answer) for example, answer in zip(golden, fresh))
    print("no longer int8:", ", ".join(f"{count} {what}" for what, count in found.items() if count))
    print(f"golden examples: {equal} of {labels} labels as with int8, scores at most {furthest:.4f} away")
    for index in changed:
        print(f"  changed: {golden[index]['text'][:60]!r}: {golden[index]['expect']}, now {fresh[index]}")
    if changed:
        raise Refused("clear answers changed their label: the graph was not converted rightly")
    description["tolerance"] = max(description.get("tolerance", 0), TOLERANCE)
    description["golden"] = [{"text": example["text"], "expect": Flow(answer)} for example, answer in zip(golden, fresh)]
    description["heads"] = [Flow(head) for head in description["heads"]]
    order = ("task", "max_tokens", "tolerance", "heads")
    ordered = {key: description[key] for key in order if key in description} | description
    with (out / "nearline.yaml").open("w", encoding="utf-8") as file:
        file.write("# Derived by training/fp16.py, golden answers included.\n")
        yaml.safe_dump(ordered, file, sort_keys=False, allow_unicode=True, width=10**9)
    print(f"{out}: {sum(file.stat().st_size for file in out.iterdir()) / 1e6:.1f} MB")


def compare(folder: Path, other: Path, texts: Sequence[str]) -> None:
    description = yaml.safe_load((folder / "nearline.yaml").read_text(encoding="utf-8"))
    ours, theirs = Answers(folder / "model.onnx", folder, description), Answers(other, folder, description)
    labels, equal, furthest, changed = differences((theirs.of(text), ours.of(text)) for text in texts)
    share = 100 * equal / max(1, labels)
    print(f"{len(texts)} texts against {other.name}: {equal} of {labels} labels equal ({share:.2f}%), scores at most "
          f"{furthest:.4f} away, {len(changed)} clear labels changed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the folder with int8 weights")
    parser.add_argument("--out", type=Path, required=True, help="the folder that is written")
    parser.add_argument("--texts", type=Path, help="a text a line, to compare on")
    parser.add_argument("--against", type=Path, action="append", default=[], help="another graph of the same model")
    options = parser.parse_args()
    try:
        derive(options.model, options.out)
        if options.texts:
            texts = [line for line in options.texts.read_text(encoding="utf-8").splitlines() if line.strip()]
            for other in options.against or [options.model / "model.onnx"]:
                compare(options.out, other, texts)
    except Refused as refused:
        raise SystemExit(f"fp16: {refused}") from None


if __name__ == "__main__":
    main()
