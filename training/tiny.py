"""Tiny models for unit tests, made by hand: no training, no data, the same bytes on every run.

    python tiny.py models/onnx/testdata

| folder | what it is for |
| --- | --- |
| constant | logits [batch, 2] from the mean id alone, so that a row's answer ignores its neighbours |
| single_label | the common export: one output `logits` [batch, 3], labels in config.json |
| dynamic_int8 | holds DynamicQuantizeLinear and MatMulInteger, whose scale spans the batch |
| failing | fails while running when a text contains the word "boom" |

Each folder holds model.onnx, config.json and the same tokenizer.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from string import ascii_lowercase
from typing import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

OPSET = 17
IR_VERSION = 9
MAX_TOKENS = 32
HIDDEN = 8
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = (
    "a the and but not is was it this i my very too good great love nice fine soft warm bad poor broken late cold "
    "return fit size colour dress film shop price day"
).split()
FAILING_WORD = "boom"
VOCABULARY = [
    *SPECIAL,
    *".,!?'",
    *ascii_lowercase,
    *(f"##{letter}" for letter in ascii_lowercase),
    *(word for word in WORDS if len(word) > 1),
    FAILING_WORD,
]

Weights = dict[str, NDArray[np.generic]]


def tokenizer() -> Tokenizer:
    ids = {token: index for index, token in enumerate(VOCABULARY)}
    made = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    made.add_special_tokens(SPECIAL)
    made.enable_truncation(MAX_TOKENS)
    return made


def graph(name: str, labels: int, nodes: list[NodeProto], weights: Weights) -> onnx.ModelProto:
    """int64 input_ids and attention_mask [batch, tokens] in, float logits [batch, labels] out."""
    inputs = [
        helper.make_tensor_value_info(tensor, TensorProto.INT64, ["batch", "tokens"])
        for tensor in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])
    initializers = [numpy_helper.from_array(value, tensor) for tensor, value in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, name, inputs, [output], initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tiny",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def masked_mean(source: str) -> tuple[list[NodeProto], Weights]:
    """The mean over the unmasked tokens of `source` [batch, tokens, n], as `pooled` [batch, n]."""
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last_axis"], ["mask_3d"]),
        helper.make_node("Mul", [source, "mask_3d"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "token_axis"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["mask_3d", "token_axis"], ["number"], keepdims=0),
        helper.make_node("Div", ["total", "number"], ["pooled"]),
    ]
    return nodes, {"last_axis": np.array([2]), "token_axis": np.array([1])}


def table(rows: int, columns: int) -> NDArray[np.float32]:
    return np.random.default_rng(7).normal(size=(rows, columns)).astype(np.float32)


def constant() -> onnx.ModelProto:
    """logits = [-m, m] with m = (mean id - half the vocabulary) / 10."""
    pool, weights = masked_mean("ids_3d")
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["ids", "last_axis"], ["ids_3d"]),
        *pool,
        helper.make_node("Sub", ["pooled", "centre"], ["centred"]),
        helper.make_node("Mul", ["centred", "slope"], ["logits"]),
    ]
    weights["centre"] = np.array([len(VOCABULARY) / 2], dtype=np.float32)
    weights["slope"] = np.array([[-0.1, 0.1]], dtype=np.float32)
    return graph("constant", 2, nodes, weights)


def looked_up(name: str, rows: int) -> onnx.ModelProto:
    """logits [batch, 3]: the mean of one vector per token, from a table of so many rows."""
    pool, weights = masked_mean("vectors")
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["vectors"]), *pool]
    nodes.append(helper.make_node("Identity", ["pooled"], ["logits"]))
    return graph(name, 3, nodes, weights | {"table": table(rows, 3)})


def single_label() -> onnx.ModelProto:
    return looked_up("single_label", len(VOCABULARY))


def failing() -> onnx.ModelProto:
    """The table lacks the row of the last word, so Gather is out of range there."""
    return looked_up("failing", len(VOCABULARY) - 1)


def dynamic_int8() -> onnx.ModelProto:
    pool, weights = masked_mean("vectors")
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        *pool,
        helper.make_node("DynamicQuantizeLinear", ["pooled"], ["levels", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["levels", "head", "zero"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["sums_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["scale", "head_scale"], ["both_scales"]),
        helper.make_node("Mul", ["sums_float", "both_scales"], ["logits"]),
    ]
    weights["table"] = table(len(VOCABULARY), HIDDEN)
    weights["head"] = np.random.default_rng(8).integers(-63, 64, size=(HIDDEN, 2), dtype=np.int8)
    weights["head_scale"] = np.array([0.05], dtype=np.float32)
    return graph("dynamic_int8", 2, nodes, weights)


KINDS: dict[Callable[[], onnx.ModelProto], list[str]] = {
    constant: ["negative", "positive"],
    single_label: ["negative", "neutral", "positive"],
    dynamic_int8: ["negative", "positive"],
    failing: ["negative", "neutral", "positive"],
}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: tiny.py FOLDER")
    words = tokenizer()
    for make, labels in KINDS.items():
        folder = Path(sys.argv[1]) / make.__name__
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(make(), str(folder / "model.onnx"))
        words.save(str(folder / "tokenizer.json"), pretty=False)
        config = {
            "architectures": ["BertForSequenceClassification"],
            "model_type": "bert",
            "vocab_size": len(VOCABULARY),
            "max_position_embeddings": MAX_TOKENS,
            "id2label": {str(index): label for index, label in enumerate(labels)},
            "label2id": {label: index for index, label in enumerate(labels)},
        }
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
