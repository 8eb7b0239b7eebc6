"""Turns a checkpoint into the folder that the service loads.

    python export.py --base BASE --checkpoint RUN/average.safetensors --out models/zoo/sentiment/2 \\
        --parts RUN/wide.safetensors RUN/helpfulness.safetensors RUN/blend.safetensors --float RUN/float.onnx

Writes model.onnx (int8), config.json, tokenizer.json, tokenizer_config.json and nearline.yaml with
its golden answers. `--float` also keeps the float graph, to compare with; it is not shipped.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import onnx
import torch
import yaml
from tokenizers import Tokenizer

from features import TEXT_TOKENS, scorer
from quantize import quantized
from scorer import Scorer
from smooth import smooth
from serving import Served
from tokens import Encoder

OPSET = 17
LABELS = ["negative", "positive"]
# Products that suffer most from quantized activations, for what they cost in speed.
EXACT: list[str] = []


@torch.no_grad()
def feed(model: Scorer, encoder: Encoder, texts: list[str]) -> None:
    for ids in encoder.ids(texts):
        one = torch.tensor([encoder.truncated(ids, TEXT_TOKENS, "Left")])
        model(one, torch.ones_like(one))


def export_float(model: Scorer, path: Path) -> None:
    """The float graph: int64 [batch, tokens] twice in, [batch, 2] and [batch] out."""
    sample = torch.tensor([[101, 2307, 102], [101, 102, 0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        model.eval(),
        (sample, mask),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["sentiment", "helpfulness"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "sentiment": {0: "batch"}, "helpfulness": {0: "batch"}},
        opset_version=OPSET,
        dynamo=False,
    )


def write_tokenizer(base: Path, out: Path) -> None:
    """The base's own, which keeps the end of a text that is too long."""
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TEXT_TOKENS, stride=0, strategy="longest_first", direction="left")
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
        "model_max_length": TEXT_TOKENS,
        "truncation_side": "left",
    }
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def write_config(base: Path, out: Path) -> None:
    raw = json.loads((base / "config.json").read_text())
    dropped = ("_name_or_path", "gradient_checkpointing", "transformers_version", "use_cache")
    config = {key: value for key, value in raw.items() if key not in dropped} | {
        "architectures": ["BertForSequenceClassification"],
        "id2label": {str(index): label for index, label in enumerate(LABELS)},
        "label2id": {label: index for index, label in enumerate(LABELS)},
        "problem_type": "single_label_classification",
        "max_position_embeddings": TEXT_TOKENS,
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")


class Flow(dict):
    """A mapping that is written on one line."""


yaml.SafeDumper.add_representer(
    Flow, lambda dumper, value: dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=True)
)


def write_description(out: Path, texts: list[str]) -> None:
    """nearline.yaml. The golden answers come from the files just written, as the service runs them."""
    probabilities, helpfulness = Served(out / "model.onnx", out / "tokenizer.json").answers(texts)
    golden = []
    for text, row, helpful in zip(texts, probabilities, helpfulness):
        label = int(row.argmax())
        answer = {
            "sentiment": {"label": LABELS[label], "score": round(float(row[label]), 4)},
            "helpfulness": round(float(helpful), 4),
        }
        golden.append({"text": text, "expect": Flow(answer)})
    sentiment = {"name": "sentiment", "output": "sentiment", "kind": "classification", "labels": LABELS}
    score = {"name": "helpfulness", "output": "helpfulness", "kind": "score", "activation": "sigmoid"}
    description = {
        "task": "classification",
        "max_tokens": TEXT_TOKENS,
        "heads": [Flow(sentiment), Flow(score)],
        "golden": golden,
    }
    with (out / "nearline.yaml").open("w", encoding="utf-8") as file:
        yaml.safe_dump(description, file, sort_keys=False, allow_unicode=True, width=math.inf)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, help="the folder of the base weights and tokenizer.json")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--float", type=Path, required=True, help="where the float graph goes")
    parser.add_argument("--parts", type=Path, nargs="*", default=[], help="of wide.py, helpfulness.py and blend.py")
    parser.add_argument("--exact", nargs="*", default=EXACT, help="layers whose products are computed in float")
    parser.add_argument("--full-range", action="store_true", help="8-bit weights, which some processors saturate")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    texts = (Path(__file__).parent / "golden.txt").read_text(encoding="utf-8").splitlines()
    model = scorer(options.base, options.checkpoint, *options.parts)
    smooth(model.model, lambda: feed(model, Encoder(options.base), texts))
    export_float(model, options.float)
    graph = quantized(options.float, reduce_range=not options.full_range, exact=options.exact)
    onnx.save(graph, str(options.out / "model.onnx"))
    write_tokenizer(options.base, options.out)
    write_config(options.base, options.out)
    write_description(options.out, texts)
    size = sum(file.stat().st_size for file in options.out.iterdir())
    print(f"{options.out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
