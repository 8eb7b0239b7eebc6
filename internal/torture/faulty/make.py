"""A tiny classifier that does what it is told by certain words. Needs PyPI's onnx and numpy; the same bytes on every run.

    python make.py FOLDER

| word | what the run then does |
| --- | --- |
| xslow | takes some 50 ms longer, for each time that the word stands there |
| xfail | fails, by an index that is out of range: an error of the runtime |
| xhang | does not come back within anybody's patience |
| xcrash | divides an integer by zero, which ends the process by SIGFPE (on amd64; arm64 divides on) |
| xhungry | fills 1 GiB, for each time that the word stands there |

Any other text is positive or negative by the sum of its ids.
"""

import json
import string
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WORDS = ["xslow", "xfail", "xhang", "xcrash", "xhungry"]
LABELS = ["negative", "positive"]
LIMIT = 512


def vocabulary():
    marks = [*".,!?':;-"]
    letters = [*string.ascii_lowercase, *string.digits]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *marks, *letters, *("##" + c for c in letters), *WORDS]
    return {token: i for i, token in enumerate(tokens)}


def tokenizer(vocab):
    special = [
        {"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for t, i in vocab.items()
        if t.startswith("[")
    ]
    begin, end = ({"SpecialToken": {"id": t, "type_id": 0}} for t in ("[CLS]", "[SEP]"))
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": LIMIT, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": special,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}, end],
            "pair": [begin, {"Sequence": {"id": "A", "type_id": 0}}, end, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {t: {"id": t, "ids": [vocab[t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")},
        },
        "decoder": None,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab,
        },
    }


def config(vocab):
    return {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "vocab_size": len(vocab),
        "max_position_embeddings": LIMIT,
        "id2label": {str(i): label for i, label in enumerate(LABELS)},
        "label2id": {label: i for i, label in enumerate(LABELS)},
    }


def loop_body():
    """One multiplication of two matrices, some 10 microseconds."""
    scalar = helper.make_tensor_value_info
    return helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("MatMul", ["carried", "square"], ["product"]),
            helper.make_node("Mul", ["product", "factor"], ["carried_on"]),
        ],
        "turn",
        [scalar("turn", TensorProto.INT64, []), scalar("go_on", TensorProto.BOOL, []), scalar("carried", TensorProto.FLOAT, [64, 64])],
        [scalar("still", TensorProto.BOOL, []), scalar("carried_on", TensorProto.FLOAT, [64, 64])],
        [numpy_helper.from_array(np.array(1, dtype=np.float32), "factor")],
    )


def graph(vocab):
    node = helper.make_node
    weights = {
        "axis": np.array([1]), "axes": np.array([0, 1]), "signs": np.array([[-1, 1]], dtype=np.float32),
        "hundredth": np.array(0.01, dtype=np.float32), "middle": np.array(5, dtype=np.float32), "one": np.array(1, dtype=np.int32),
        "single": np.array([7.0], dtype=np.float32), "far": np.array(1000), "zero": np.array(0, dtype=np.float32),
        "many": np.array(4000), "endless": np.array(10**12), "true": np.array(True), "gigabyte": np.array([2**28]),
        "least": np.array([1]), "flat": np.array([-1]), "scalar": np.array([], dtype=np.int64),
    }
    nodes = []
    # How often each word stands in the batch.
    for word in WORDS:
        weights["id_" + word] = np.array(vocab[word])
        nodes += [
            node("Equal", ["input_ids", "id_" + word], ["is_" + word]),
            node("Cast", ["is_" + word], ["ones_" + word], to=TensorProto.INT64),
            node("ReduceSum", ["ones_" + word, "axes"], [word], keepdims=0),
        ]
    nodes += [
        # xcrash: 1 ÷ (1 - min(n, 1)), in integers.
        node("Cast", ["xcrash"], ["crashes"], to=TensorProto.INT32),
        node("Min", ["crashes", "one"], ["crash"]),
        node("Sub", ["one", "crash"], ["divisor"]),
        node("Div", ["one", "divisor"], ["quotient"]),
        # xfail: the element n * 1000 of one.
        node("Mul", ["xfail", "far"], ["index"]),
        node("Gather", ["single", "index"], ["gathered"], axis=0),
        # xslow and xhang: turns of a loop.
        node("Mul", ["xslow", "many"], ["slow_turns"]),
        node("Mul", ["xhang", "endless"], ["hang_turns"]),
        node("Add", ["slow_turns", "hang_turns"], ["turns"]),
        node("Loop", ["turns", "true", "square"], ["last"], body=loop_body()),
        node("ReduceMax", ["last"], ["looped"], keepdims=0),
        # xhungry: n GiB of ones.
        node("Mul", ["xhungry", "gigabyte"], ["room"]),
        node("Max", ["room", "least"], ["filled"]),
        node("ConstantOfShape", ["filled"], ["full"], value=helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0])),
        node("ReduceMax", ["full"], ["most"], keepdims=0),
        # None of it changes the answer.
        node("Cast", ["quotient"], ["quotient_float"], to=TensorProto.FLOAT),
        node("Sum", ["quotient_float", "gathered", "looped", "most"], ["all"]),
        node("Mul", ["all", "zero"], ["nothing"]),
        node("Mul", ["input_ids", "attention_mask"], ["kept"]),
        node("ReduceSum", ["kept", "axis"], ["sum"], keepdims=1),
        node("Cast", ["sum"], ["sum_float"], to=TensorProto.FLOAT),
        node("Mul", ["sum_float", "hundredth"], ["scaled"]),
        node("Sub", ["scaled", "middle"], ["centred"]),
        node("Add", ["centred", "nothing"], ["score"]),
        node("Mul", ["score", "signs"], ["logits"]),
    ]
    # A loop that multiplies by the identity stays what it is.
    weights["square"] = np.eye(64, dtype=np.float32)
    used = {name for n in nodes for name in n.input} | {"square"}
    return helper.make_graph(
        nodes,
        "faulty",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"]) for n in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(v, k) for k, v in weights.items() if k in used],
    )


if len(sys.argv) != 2:
    sys.exit("usage: make.py FOLDER")
folder = Path(sys.argv[1])
vocab = vocabulary()
model = helper.make_model(graph(vocab), opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="make", producer_version="1")
onnx.checker.check_model(model)
onnx.save(model, str(folder / "model.onnx"))
for name, content in (("config.json", config(vocab)), ("tokenizer.json", tokenizer(vocab))):
    (folder / name).write_text(json.dumps(content, indent=1 if name == "config.json" else None) + "\n")
