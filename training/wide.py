"""Fits the table of token runs to the sentiment of the training split.

    python wide.py --data DATA --base BASE --out RUN/wide.safetensors

Logistic regression on the presence of a run, each scaled by how much oftener it stands in one class than in the other:
Wang and Manning, Baselines and Bigrams (ACL 2012), with their logistic loss, and with hashed runs of up to three tokens.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy import sparse
from scipy.optimize import minimize

import data
import metrics
import ngrams
from features import TEXT_TOKENS
from scorer import to_table
from tokens import Encoder

Floats = NDArray[np.float64]

# What an example of a set weighs. SST-2's are phrases, many of them parts of one sentence.
WEIGHTS = {"imdb": 1.0, "sst2": 0.3, "womens": 0.5}
STRENGTH = 1e-4
STEPS = 40
SMOOTHING = 1.0
# Weights are cut where all but this share of those in use lie within.
CUT = 2e-4


def presence(encoder: Encoder, texts: list[str]) -> sparse.csr_matrix:
    """[texts, ngrams.KEYS]: ones where a text holds a run, as the exported graph finds them."""
    rows = []
    for ids in encoder.ids(texts):
        one = torch.tensor([encoder.truncated(ids, TEXT_TOKENS, "Left")])
        found = ngrams.keys(one, torch.ones_like(one))[0].numpy()
        rows.append(found[found != ngrams.NOTHING])
    ends = np.cumsum([0, *map(len, rows)])
    ones = np.ones(ends[-1], dtype=np.float32)
    return sparse.csr_matrix((ones, np.concatenate(rows), ends), shape=(len(rows), ngrams.KEYS))


def log_ratio(x: sparse.csr_matrix, labels: NDArray[np.int64], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """[keys]: the log of a run's share among the positive texts' runs over its share among the negative ones'."""
    shares = []
    for label in (data.POSITIVE, data.NEGATIVE):
        counts = x.T @ (weights * (labels == label)) + SMOOTHING
        shares.append(counts / counts.sum())
    return np.log(shares[0] / shares[1]).astype(np.float32)


def fitted(x: sparse.csr_matrix, labels: NDArray[np.int64], weights: NDArray[np.float32]) -> tuple[Floats, float]:
    """The weights [keys] and the offset of the log odds."""
    ratio = log_ratio(x, labels, weights)
    used, columns = np.unique(x.indices, return_inverse=True)
    scaled = sparse.csr_matrix((ratio[x.indices], columns, x.indptr), shape=(x.shape[0], len(used)))
    transposed = scaled.T.tocsr()
    sign = (2 * labels - 1).astype(np.float32)
    weights = weights / weights.sum()

    def loss(point: Floats) -> tuple[float, Floats]:
        slopes = point[:-1].astype(np.float32)
        margin = sign * (scaled @ slopes + np.float32(point[-1]))
        pull = -weights * sign / (1 + np.exp(np.clip(margin, -30, 30)))
        value = weights @ np.logaddexp(0, -margin) + STRENGTH / 2 * (slopes @ slopes)
        return float(value), np.append(transposed @ pull + STRENGTH * slopes, pull.sum()).astype(np.float64)

    best = minimize(loss, np.zeros(len(used) + 1), jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "maxcor": 5}).x
    table = np.zeros(x.shape[1])
    table[used] = best[:-1] * ratio[used]
    return table, float(best[-1])


def class_weights(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """[labels]: the classes weigh the same in total, and the mean is 1."""
    return (len(labels) / (2 * np.bincount(labels)))[labels].astype(np.float32)


def read(folder: Path, name: str, split: data.Split) -> tuple[list[str], NDArray[np.int64]]:
    """Texts as the model gets them, with their titles, and labels."""
    examples = data.READERS[name](folder, split)
    return [data.with_title(example) for example in examples], np.array([example.sentiment for example in examples])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds imdb/, sst2/ and womens/")
    parser.add_argument("--base", type=Path, required=True, help="the folder of tokenizer.json")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    encoder = Encoder(options.base)
    parts, labels, weights = [], [], []
    for name, weight in WEIGHTS.items():
        texts, right = read(options.data, name, "train")
        parts.append(presence(encoder, texts))
        labels.append(right)
        weights.append(weight * class_weights(right))
    table, offset = fitted(sparse.vstack(parts, format="csr"), np.concatenate(labels), np.concatenate(weights))
    in_use = np.abs(table[table != 0])
    levels, scale = to_table(torch.tensor(table), float(np.quantile(in_use, 1 - CUT)))
    kept = {"": levels, "_scale": scale, "_offset": torch.tensor(offset, dtype=torch.float32)}
    save_file({f"wide.sentiment{name}": values for name, values in kept.items()}, str(options.out))

    rounded = levels.numpy().astype(np.float64) * float(scale)
    for name in WEIGHTS:
        texts, right = read(options.data, name, "validation")
        x = presence(encoder, texts)
        odds, exact = x @ rounded + offset, x @ table + offset
        probabilities = metrics.two_sided(odds)
        print(
            f"{name:<8} n {len(right):<5} balanced accuracy {metrics.balanced_accuracy(probabilities, right):.4f}  "
            f"area under the curve {metrics.area_under_curve(odds, right):.4f}  "
            f"labels as before rounding {((odds > 0) == (exact > 0)).mean():.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
