"""A tiny model with folders of sentence-transformers around it, and the vectors that sentence-transformers makes of texts.

    python make.py FOLDER

Needs PyPI's sentence-transformers (6.2), transformers (5) and onnx. Weights are random, from a fixed seed; nothing is
downloaded. What is written:

| file | what it is |
| --- | --- |
| model.onnx | the encoder: last_hidden_state [batch, tokens, 16] and pooler_output [batch, 16] |
| inside.onnx | the same with pooling, a dense layer and normalisation inside: token_embeddings, sentence_embedding [batch, 6] |
| tokenizer.json, tokenizer_config.json, config.json | beside either graph |
| cases.json | texts; for each case the other files of the folder, nearline.yaml, and the vectors of the texts |
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "training"))
from tiny import VOCABULARY, tokenizer

HIDDEN, POSITIONS = 16, 48

TEXTS = [
    "good",
    "A warm coat, and the colour is great!",
    "NOT what I ordered :-(  the size was too small",
    "",
    "   ",
    "??!",
    "Très belle robe, mais trop chère… 价格 😀",
    "film " * 60,
    "late late late",
    "query: fine",
]


def module(kind, path):
    return {"path": path, "type": "sentence_transformers.models." + kind}


def current(kind, path):
    place = "base" if kind == "Transformer" else "sentence_transformer"
    return {"path": path, "type": f"sentence_transformers.{place}.modules.{kind.lower()}.{kind}"}


def modules(*list_):
    return [{"idx": i, "name": str(i), **m} for i, m in enumerate(list_)]


LEGACY = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]


def legacy(*on, **more):
    """1_Pooling/config.json as older versions write it."""
    return {"word_embedding_dimension": HIDDEN, **{f"pooling_mode_{flag}": flag in on for flag in LEGACY}, **more}


OLD = modules(module("Transformer", ""), module("Pooling", "1_Pooling"))
UNIT = modules(module("Transformer", ""), module("Pooling", "1_Pooling"), module("Normalize", "2_Normalize"))
PROMPTS = {"prompts": {"query": "query: ", "passage": "this film is fine, "}, "default_prompt_name": "passage"}


def cases():
    """Name, files, nearline.yaml, and what encode is asked for."""

    def folder(pooling, structure=OLD, **files):
        return {"modules.json": structure, "1_Pooling/config.json": pooling, **files}

    yield "mean, normalized", folder(legacy("mean_tokens"), UNIT), "", {}
    yield "cls", folder(legacy("cls_token")), "", {}
    yield "max", folder(legacy("max_tokens")), "", {}
    yield "mean over the root", folder(legacy("mean_sqrt_len_tokens")), "", {}
    yield "weighted mean", folder(legacy("weightedmean_tokens")), "", {}
    yield "last token", folder(legacy("lasttoken")), "", {}
    yield "nothing said is mean", folder({"word_embedding_dimension": HIDDEN}), "", {}
    yield "several flags", folder(legacy("mean_tokens", "cls_token", "lasttoken"), UNIT), "", {}
    yield (
        "the newer form",
        folder(
            {"embedding_dimension": HIDDEN, "pooling_mode": "weightedmean", "include_prompt": True},
            modules(current("Transformer", ""), current("Pooling", "1_Pooling"), current("Normalize", "2_Normalize")),
        ),
        "",
        {},
    )
    yield "the newer form, several", folder({"embedding_dimension": HIDDEN, "pooling_mode": ["mean", "max"]}), "", {}
    yield "a shorter limit", folder(legacy("mean_tokens"), **{"sentence_bert_config.json": {"max_seq_length": 6, "do_lower_case": True}}), "", {}
    yield "a default prompt", folder(legacy("mean_tokens"), **{"config_sentence_transformers.json": PROMPTS}), "", {}
    yield (
        "a named prompt that is not pooled",
        folder(legacy("mean_tokens", "weightedmean_tokens", include_prompt=False), **{"config_sentence_transformers.json": PROMPTS}),
        "prompt_name: query\n",
        {"prompt_name": "query"},
    )
    yield (
        "a prompt in our file, not pooled",
        folder(legacy("cls_token", include_prompt=False)),
        "prompt: 'the price of '\n",
        {"prompt": "the price of "},
    )
    yield "shortened", folder(legacy("mean_tokens"), UNIT), "heads: [{dimension: 5}]\n", {"truncate_dim": 5, "normalize_embeddings": True}
    yield "bits", folder(legacy("mean_tokens"), UNIT), "heads: [{dimension: 11, type: binary}]\n", {"truncate_dim": 11, "precision": "binary"}
    yield "bits without a sign", folder(legacy("mean_tokens"), UNIT), "heads: [{type: ubinary}]\n", {"precision": "ubinary"}
    yield "all in our file", {}, "task: embedding\nheads: [{pooling: [cls, mean], normalize: true}]\n", {"as": folder(legacy("cls_token", "mean_tokens"), UNIT)}


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))


def encoded(model, how):
    vectors = model.encode(TEXTS, batch_size=4, convert_to_numpy=True, show_progress_bar=False, **how)
    return [[float(str(v)) if vectors.dtype == np.float32 else int(v) for v in vector] for vector in vectors]


class Flat(torch.nn.Module):
    """Positional tensors in, a tuple out, as exporters want it."""

    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, input_ids, attention_mask, token_type_ids):
        features = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        out = self.model(**features) if isinstance(self.model, BertModel) else self.model(features)
        return tuple(out[name] for name in self.names)


def export(model, names, path):
    sample = torch.randint(5, len(VOCABULARY), (2, 7))
    inputs = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        Flat(model, names).eval(),
        (sample, torch.ones_like(sample), torch.zeros_like(sample)),
        str(path),
        input_names=inputs,
        output_names=names,
        dynamic_axes={n: axes for n in inputs} | {n: axes if "token" in n or "hidden" in n else {0: "batch"} for n in names},
        opset_version=17,
        dynamo=False,
    )
    graph = onnx.load(path)
    for node in graph.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.save(graph, path)


def main(folder):
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=POSITIONS, initializer_range=0.4, architectures=["BertModel"],
    )
    encoder = BertModel(config).eval()
    encoder.set_attn_implementation("eager")
    words = tokenizer()
    words.no_truncation()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=words, model_max_length=POSITIONS, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary) / "base"
        encoder.save_pretrained(base)
        fast.save_pretrained(base)
        export(encoder, ["last_hidden_state", "pooler_output"], folder / "model.onnx")
        for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
            (folder / name).write_text((base / name).read_text())
        done = []
        for name, files, yaml, how in cases():
            of = Path(temporary) / "case"
            of.mkdir()
            for file in base.iterdir():
                (of / file.name).symlink_to(file)
            write(of, how.pop("as", files))
            model = SentenceTransformer(str(of), device="cpu", local_files_only=True)
            done.append({"name": name, "graph": "model.onnx", "files": files, "yaml": yaml, "vectors": encoded(model, how)})
            __import__("shutil").rmtree(of)
        dense = Dense(HIDDEN, 6, activation_function=torch.nn.Tanh())
        inside = SentenceTransformer(
            modules=[Transformer(str(base)), Pooling(HIDDEN, "mean"), dense, Normalize()], device="cpu"
        ).eval()
        inside[0].model.set_attn_implementation("eager")
        vectors = encoded(inside, {})
        export(inside, ["token_embeddings", "sentence_embedding"], folder / "inside.onnx")
        files = {
            "modules.json": modules(*(module(k, p) for k, p in (("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense"), ("Normalize", "3_Normalize")))),
            "1_Pooling/config.json": legacy("mean_tokens"),
        }
        done.append({"name": "a dense layer inside", "graph": "inside.onnx", "files": files, "yaml": "", "vectors": vectors})
    (folder / "cases.json").write_text(json.dumps({"texts": TEXTS, "cases": done}, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make.py FOLDER")
    main(Path(sys.argv[1]))
