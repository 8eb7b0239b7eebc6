"""Refits the helpfulness head on the finished encoder, in closed form.

    python helpfulness.py --data DATA --base BASE --checkpoint RUN/average.safetensors --out RUN/final.safetensors

The ranking is within a product, so the head is a ridge regression on differences from the product's
mean, in the features and in the target alike. Its strength is chosen by cross-validation over the
products of the training split; then a slope and an offset put its scores on the scale of the target.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

import data
import metrics
from encoder import EncoderConfig, Model
from tokens import Encoder, padded

Floats = NDArray[np.float64]

MAX_TOKENS = 256
BATCH = 16
FOLDS = 5
STRENGTHS = [10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0]


def ranked_products(examples: list[data.Example], most: int) -> list[data.Example]:
    """The reviews of the products that can be ranked, at most so many of each."""
    products: dict[str, list[data.Example]] = defaultdict(list)
    for example in examples:
        products[example.group].append(example)
    return [example for rows in products.values() if len(rows) >= metrics.MIN_REVIEWS for example in rows[:most]]


@torch.no_grad()
def features(model: Model, encoder: Encoder, texts: list[str]) -> Floats:
    """[texts, hidden + 1]: what the head sees."""
    ids = [encoder.truncated(one, MAX_TOKENS, "Left") for one in encoder.ids(texts)]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    found = np.empty((len(ids), model.helpfulness.in_features))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        found[chosen] = model.features(*padded([ids[i] for i in chosen]))[1].numpy()
    return found


def targets(examples: list[data.Example]) -> Floats:
    """count / (count + mean + 1), in 0..1, with the mean of the review's product."""
    counts = np.array([example.helpful for example in examples], dtype=float)
    groups = [example.group for example in examples]
    return counts / (counts + means(counts[:, None], groups)[:, 0] + 1)


def means(values: Floats, groups: list[str]) -> Floats:
    """For each row of `values` [rows, n] the mean over the rows of its group."""
    _, index = np.unique(groups, return_inverse=True)
    total = np.zeros((index.max() + 1, values.shape[1]))
    np.add.at(total, index, values)
    return (total / np.bincount(index)[:, None])[index]


def ridge(x: Floats, y: Floats, strength: float) -> Floats:
    """The weights [n] of centred features [rows, n]. The length, which is last, is not shrunk."""
    penalty = np.full(x.shape[1], strength * len(x) / 1000)
    penalty[-1] = 0.0
    return np.linalg.solve(x.T @ x + np.diag(penalty), x.T @ y)


def cross_validated(x: Floats, y: Floats, examples: list[data.Example], strength: float) -> float:
    fold = np.array([data.bucket(f"fold {example.group}", FOLDS) for example in examples])
    scores = np.empty(len(y))
    for index in range(FOLDS):
        scores[fold == index] = x[fold == index] @ ridge(x[fold != index], y[fold != index], strength)
    return metrics.ndcg(list(scores), [e.group for e in examples], [e.helpful for e in examples])[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds womens/")
    parser.add_argument("--base", type=Path, required=True, help="the folder of the base weights and tokenizer.json")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=60, help="reviews of one product")
    options = parser.parse_args()

    model = Model(EncoderConfig.read(options.base))
    model.load_state_dict(load_file(str(options.checkpoint)))
    examples = ranked_products(data.womens(options.data, "train"), options.most)
    groups = [example.group for example in examples]
    raw = features(model.eval(), Encoder(options.base), [example.text for example in examples])
    target = targets(examples)
    x = raw - means(raw, groups)
    y = target - means(target[:, None], groups)[:, 0]
    quality = {strength: cross_validated(x, y, examples, strength) for strength in STRENGTHS}
    longest, products = metrics.ndcg(list(raw[:, -1]), groups, [example.helpful for example in examples])
    print(f"{len(examples)} reviews, {products} products, longest first {longest:.4f}")
    print("  ".join(f"{strength:g}: {value:.4f}" for strength, value in quality.items()))
    weights = ridge(x, y, max(quality, key=quality.__getitem__))

    scores = raw @ weights
    slope, offset = np.polyfit(scores, np.log(target.mean() / (1 - target.mean())) + 4 * (target - target.mean()), 1)
    with torch.no_grad():
        model.helpfulness.weight.copy_(torch.tensor(slope * weights)[None])
        model.helpfulness.bias.fill_(offset)
    save_file(model.state_dict(), str(options.out))


if __name__ == "__main__":
    main()
