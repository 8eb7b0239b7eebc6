"""Fits how encoder and table weigh together, as `blend.py` does, on what the int8 encoder answers.

    python gpu/mix.py --packed PACKED --encoder RUN/encoder/model.onnx --wide RUN/wide.safetensors --out RUN/blend.safetensors

The encoder is an export without parts, whose answers are the encoder's alone. Its answers on the validation split are kept
beside --out, so that a second table costs no second reading. Without --wide it only reads.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import blend
import corpus as texts
import data
import pack
from corpus import Corpus
from encoder import TYPICAL_LOG_TOKENS
from features import TEXT_TOKENS
from table import presence, whole

# Every n-th review of a source is read.
EVERY = {"goods": 1, "womens": 1, "sst2": 1, "imdb": 2}


# Columns of the blend. The table alone is shown beside them.
CHOICES = {
    "encoder": [0],
    "encoder, by length": [0, 2],
    "table": [1],
    "both": [0, 1],
    "encoder by length, table": [0, 1, 2],
    "both, by length": [0, 1, 2, 3],
}


def loss(sets: list[blend.Evidence], columns: list[int]) -> float:
    """The mean over the sets, each row by the weights that fit all other folds."""
    folds = np.array([blend.fitted(sets, index, columns) for index in range(blend.FOLDS)])
    odds = [np.einsum("rp,rp->r", evidence.parts, folds[evidence.fold]) for evidence in sets]
    return float(np.mean([np.logaddexp(0, (1 - 2 * e.labels) * one).mean() for e, one in zip(sets, odds)]))


def chosen(corpus: Corpus, name: str) -> NDArray:
    items = corpus.items(pack.SOURCES.index(name), texts.VALIDATION)
    return items[corpus.label[items] >= 0][:: EVERY[name]]


def answers(corpus: Corpus, items: NDArray, model: Path) -> NDArray[np.float64]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    found = []
    for start, length in zip(whole(corpus, items).start, whole(corpus, items).length):
        ids = np.concatenate([[texts.CLS], corpus.tokens[start : start + length], [texts.SEP]])[None]
        logits = session.run(["sentiment"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
        found.append(float(logits[1]) - float(logits[0]))
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--wide", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    corpus = Corpus(pack.load((options.packed / "part0").read_bytes()), torch.device("cpu"))
    deep = {}
    for name in EVERY:
        kept = options.out.with_name(f"deep-{name}.npy")
        if not kept.exists():
            np.save(kept, answers(corpus, chosen(corpus, name), options.encoder))
        deep[name] = np.load(kept)
        label = corpus.label[chosen(corpus, name)]
        print(f"{name}: encoder alone {((deep[name] > 0) == (label == 1)).mean():.4f} of {len(label)}", flush=True)
    if not options.wide:
        return
    parts = load_file(str(options.wide))
    table = parts["wide.sentiment"].numpy().astype(np.float64) * float(parts["wide.sentiment_scale"])
    sets = []
    for name in ("sst2", "womens", "imdb", "goods"):
        items = chosen(corpus, name)
        windows = whole(corpus, items)
        wide = presence(corpus, windows) @ table + float(parts["wide.sentiment_offset"])
        length = np.log(windows.length + 2) - TYPICAL_LOG_TOKENS
        columns = np.stack([deep[name], wide, deep[name] * length, wide * length], 1)
        fold = np.array([data.bucket(f"blend {item}", blend.FOLDS) for item in items])
        sets.append(blend.Evidence(name, columns, corpus.label[items], fold))
    reached = {}
    for shown, used in CHOICES.items():
        print(shown)
        blend.report(sets, used)
        reached[shown] = loss(sets, used)
    best = min(reached, key=reached.__getitem__)
    weights = blend.fitted(sets, None, CHOICES[best])
    print(f"taken: {best}, with the smallest log loss {reached[best]:.4f}, the mean over the sets")
    print("blend", " ".join(f"{weight:.4f}" for weight in weights))
    save_file({"blend": torch.tensor(weights, dtype=torch.float32)}, str(options.out))


if __name__ == "__main__":
    main()
