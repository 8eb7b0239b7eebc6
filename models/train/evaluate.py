"""Figures of an exported model, each text run alone and unpadded, as the service runs it.

    python evaluate.py --data DATA --model models/zoo/sentiment/1/model.onnx --against RUN/float.onnx

`--split validation` is for choosing, with `--truncate` to try another direction or limit and
`--every` to look at a part. The reported split is for the model card alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

import data
import metrics
from serving import Floats, Served


def tokenizer_with(source: Path, truncate: str, folder: Path) -> Path:
    """A copy of tokenizer.json that truncates otherwise, e.g. `Right:384`."""
    direction, _, limit = truncate.partition(":")
    tokenizer = Tokenizer.from_file(str(source))
    tokenizer.enable_truncation(int(limit), direction=direction.lower())
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def report(name: str, examples: list[data.Example], probabilities: Floats, helpfulness: Floats) -> None:
    labels = np.array([example.sentiment for example in examples])
    line = (
        f"  {name:<20} n {len(examples):<5} accuracy {metrics.accuracy(probabilities, labels):.4f}  "
        f"balanced {metrics.balanced_accuracy(probabilities, labels):.4f}  "
        f"ECE {metrics.calibration_error(probabilities, labels):.4f}"
    )
    if name.startswith("womens"):
        groups = [example.group for example in examples]
        gains = [example.helpful for example in examples]
        value, products = metrics.ndcg(list(helpfulness), groups, gains)
        longest, _ = metrics.ndcg([float(len(example.text)) for example in examples], groups, gains)
        line += f"  NDCG@10 {value:.4f} (longest first {longest:.4f}, {products} products)"
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds imdb/, sst2/ and womens/")
    parser.add_argument("--model", type=Path, required=True, help="model.onnx, with its tokenizer.json beside it")
    parser.add_argument("--against", type=Path, help="another graph, to count equal labels with")
    parser.add_argument("--split", choices=["validation", "reported"], default="reported")
    parser.add_argument("--truncate", help="e.g. Right:384, in place of what tokenizer.json says")
    parser.add_argument("--sets", default="sst2,womens,womens+title,imdb")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="use every n-th row of IMDb and SST-2")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = options.model.parent / "tokenizer.json"
        if options.truncate:
            tokenizer = tokenizer_with(tokenizer, options.truncate, Path(folder))
        models = {path: Served(path, tokenizer, options.threads) for path in (options.model, options.against) if path}
    for name in options.sets.split(","):
        reader = {"sst2": data.sst2, "imdb": data.imdb}.get(name, data.womens)
        examples = reader(options.data, options.split)
        if not name.startswith("womens"):
            examples = examples[:: options.every]
        texts = [data.with_title(example) if name == "womens+title" else example.text for example in examples]
        labels = []
        for path, model in models.items():
            started = time.monotonic()
            probabilities, helpfulness = model.answers(texts)
            seconds = time.monotonic() - started
            print(f"{path.name if path == options.model else f'{path.name} (float)'}: {len(texts) / seconds:.0f} texts/s")
            report(name, examples, probabilities, helpfulness)
            labels.append(probabilities.argmax(axis=1))
        if len(labels) == 2:
            print(f"  labels equal: {(labels[0] == labels[1]).mean():.4f}", flush=True)


if __name__ == "__main__":
    main()
