"""Fits how encoder and table weigh together, on the validation split.

    python blend.py --data DATA --base BASE --checkpoint RUN/average.safetensors --wide RUN/wide.safetensors --out RUN/blend.safetensors

A logistic regression of four weights and no offset, and with it the calibration. Each set weighs the same, and so do the
classes within it. Both parts have seen the training split, where they would look surer than they are. What is printed is
cross-validated over the validation split's movies, products and sentences.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.optimize import minimize

import data
import metrics
from encoder import TYPICAL_LOG_TOKENS
from features import TEXT_TOKENS, deep_odds, scorer
from scorer import Scorer
from tokens import Encoder

Floats = NDArray[np.float64]

FOLDS = 10


@dataclass(frozen=True)
class Evidence:
    """What is known of one set's texts. The columns of `parts` are those of Scorer.blend."""

    name: str
    parts: Floats
    labels: NDArray[np.int64]
    fold: NDArray[np.int64]

    def weights(self, rows: NDArray[np.bool_]) -> Floats:
        """Zero outside of `rows`; the classes within weigh the same, and all together 1."""
        counts = np.bincount(self.labels[rows], minlength=2)
        return rows / (2 * counts[self.labels])


@torch.no_grad()
def gather(name: str, folder: Path, every: int, model: Scorer, encoder: Encoder) -> Evidence:
    examples = data.READERS[name](folder, "validation")[::every]
    texts = [data.with_title(example) for example in examples]
    deep = deep_odds(model, encoder, texts)
    table, length = np.empty(len(texts)), np.empty(len(texts))
    for row, ids in enumerate(encoder.ids(texts)):
        one = torch.tensor([encoder.truncated(ids, TEXT_TOKENS, "Left")])
        table[row] = model.wide(one, torch.ones_like(one))[0].item()
        length[row] = np.log(one.shape[1]) - TYPICAL_LOG_TOKENS
    parts = np.stack([deep, table, deep * length, table * length], 1)
    fold = np.array([data.bucket(f"blend {example.group}", FOLDS) for example in examples])
    return Evidence(name, parts, np.array([example.sentiment for example in examples]), fold)


def fitted(sets: list[Evidence], without: int | None, columns: list[int]) -> Floats:
    """The weights [4] that fit all rows outside of a fold; those of other columns are 0."""
    terms = [(e.parts[:, columns], 2 * e.labels - 1, e.weights(e.fold != (-1 if without is None else without))) for e in sets]

    def loss(point: Floats) -> float:
        return float(sum(weights @ np.logaddexp(0, -sign * (parts @ point)) for parts, sign, weights in terms))

    found = np.zeros(4)
    found[columns] = minimize(loss, np.full(len(columns), 0.5)).x
    return found


def report(sets: list[Evidence], columns: list[int]) -> None:
    folds = [fitted(sets, index, columns) for index in range(FOLDS)]
    for evidence in sets:
        odds = np.einsum("rp,rp->r", evidence.parts, np.array(folds)[evidence.fold])
        probabilities = metrics.two_sided(odds)
        print(
            f"  {evidence.name:<8} n {len(odds):<5} accuracy {metrics.accuracy(probabilities, evidence.labels):.4f}  "
            f"balanced {metrics.balanced_accuracy(probabilities, evidence.labels):.4f}  "
            f"area under the curve {metrics.area_under_curve(odds, evidence.labels):.4f}  "
            f"ECE {metrics.calibration_error(probabilities, evidence.labels):.4f}  "
            f"log loss {np.logaddexp(0, (1 - 2 * evidence.labels) * odds).mean():.4f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds imdb/, sst2/ and womens/")
    parser.add_argument("--base", type=Path, required=True, help="the folder of the base weights and tokenizer.json")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--wide", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="use every n-th review of IMDb")
    options = parser.parse_args()

    model, encoder = scorer(options.base, options.checkpoint, options.wide), Encoder(options.base)
    every = {"imdb": options.every}
    sets = [gather(name, options.data, every.get(name, 1), model, encoder) for name in ("sst2", "womens", "imdb")]
    for name, columns in (("encoder", [0]), ("table", [1]), ("both", [0, 1]), ("both, by length", [0, 1, 2, 3])):
        print(name)
        report(sets, columns)
    weights = fitted(sets, None, [0, 1, 2, 3])
    print("blend", " ".join(f"{weight:.4f}" for weight in weights))
    save_file({"blend": torch.tensor(weights, dtype=torch.float32)}, str(options.out))


if __name__ == "__main__":
    main()
