"""Fits what a shopper would value in a review: a head on the finished encoder, and a weight for each word.

    python helpfulness.py --data DATA --base BASE --checkpoint RUN/average.safetensors --out RUN/helpfulness.safetensors

The ranking is within a product, so it is a ridge regression on differences from the product's mean, in the features and in the
target alike. Its features are the pooled encoder at two depths, the words that a text holds, and its length. Its strengths are chosen by
cross-validation over the products of the training split, all of their reviews; then a slope and an offset put its scores on
the scale of the target.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy import linalg

import data
import metrics
import ngrams
from features import TEXT_TOKENS, features, scorer
from scorer import to_table
from tokens import Encoder

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

FOLDS = 5
# Rarer words than this tell too little to be worth a column.
MIN_TEXTS = 20
# An endless one leaves its features out.
POOLED_STRENGTHS = [3e3, 1e4, 3e4, np.inf]
WORD_STRENGTHS = [300.0, 1000.0, np.inf]


def ranked_products(examples: list[data.Example], most: int) -> list[data.Example]:
    """The reviews of the products that can be ranked, at most so many of each."""
    products: dict[str, list[data.Example]] = defaultdict(list)
    for example in examples:
        products[example.group].append(example)
    return [example for rows in products.values() if len(rows) >= metrics.MIN_REVIEWS for example in rows[:most]]


def words(encoder: Encoder, texts: list[str]) -> tuple[Singles, NDArray[np.int64]]:
    """[texts, columns] of 1 where a text holds a word, and the words' ids [columns]."""
    held = [np.unique(encoder.truncated(ids, TEXT_TOKENS, "Left")) for ids in encoder.ids(texts)]
    number = np.bincount(np.concatenate(held), minlength=ngrams.VOCABULARY)
    column = np.flatnonzero((number >= MIN_TEXTS) & (number < len(texts)))
    place = np.full(ngrams.VOCABULARY, -1)
    place[column] = np.arange(len(column))
    found = np.zeros((len(texts), len(column)), dtype=np.float32)
    for row, ids in enumerate(held):
        found[row, place[ids][place[ids] >= 0]] = 1
    return found, column


def targets(examples: list[data.Example]) -> Floats:
    """count / (count + mean + 1), in 0..1, with the mean of the review's product."""
    counts = np.array([example.helpful for example in examples], dtype=float)
    groups = [example.group for example in examples]
    return counts / (counts + means(counts[:, None], groups)[:, 0] + 1)


def means(values: NDArray, groups: list[str]) -> NDArray:
    """For each row of `values` [rows, n] the mean over the rows of its group."""
    _, index = np.unique(groups, return_inverse=True)
    total = np.zeros((index.max() + 1, values.shape[1]), dtype=values.dtype)
    np.add.at(total, index, values)
    return (total / np.bincount(index)[:, None].astype(values.dtype))[index]


def spread_alike(target: Floats, groups: list[str]) -> Floats:
    """The target's differences from its product's mean, so that every product spreads alike."""
    centred = target - means(target[:, None], groups)[:, 0]
    spread = np.sqrt(means((centred**2)[:, None], groups)[:, 0])
    return centred / np.maximum(spread, 1e-6)


@dataclass(frozen=True)
class Moments:
    """All that a ridge regression needs to know of some rows."""

    features: Singles
    target: Singles

    @classmethod
    def of(cls, x: Singles, y: Singles, weights: Singles) -> Moments:
        weighted = x * weights[:, None]
        return cls(weighted.T @ x, weighted.T @ y)

    def without(self, other: Moments) -> Moments:
        return Moments(self.features - other.features, self.target - other.target)

    def ridge(self, penalty: Singles) -> Singles:
        """The weights; 0 where the penalty is endless."""
        kept = np.flatnonzero(np.isfinite(penalty))
        weights = np.zeros(len(penalty), dtype=np.float32)
        weights[kept] = linalg.solve(self.features[np.ix_(kept, kept)] + np.diag(penalty[kept]), self.target[kept], assume_a="pos")
        return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds womens/")
    parser.add_argument("--base", type=Path, required=True, help="the folder of the base weights and tokenizer.json")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=10_000, help="reviews of one product")
    options = parser.parse_args()

    model, encoder = scorer(options.base, options.checkpoint), Encoder(options.base)
    examples = ranked_products(data.womens(options.data, "train"), options.most)
    texts = [data.with_title(example) for example in examples]
    groups, votes = [example.group for example in examples], [example.helpful for example in examples]
    _, pooled = features(model, encoder, texts)
    held, ids = words(encoder, texts)
    scale = np.append(pooled[:, :-1].std(axis=0), 1.0)
    x = np.concatenate([pooled / scale, held], 1, dtype=np.float32)
    hidden = pooled.shape[1] - 1

    def penalty(pooled_strength: float, word_strength: float) -> Singles:
        return np.concatenate([np.full(hidden, pooled_strength), [0.0], np.full(len(ids), word_strength)]).astype(np.float32)

    target = targets(examples)
    centred, y = x - means(x, groups), spread_alike(target, groups).astype(np.float32)
    # The measure counts products, the noise falls with their reviews: in between.
    sizes = Counter(groups)
    size = np.array([float(sizes[group]) for group in groups])
    weights = (size**-0.5 / np.mean(size**-0.5)).astype(np.float32)
    fold = np.array([data.bucket(f"fold {group}", FOLDS) for group in groups])
    parts = [Moments.of(centred[fold == index], y[fold == index], weights[fold == index]) for index in range(FOLDS)]
    whole = Moments(sum(part.features for part in parts), sum(part.target for part in parts))

    longest, products = metrics.ndcg(list(pooled[:, -1]), groups, votes)
    print(f"{len(examples)} reviews, {products} products, {len(ids)} words, longest first {longest:.4f}")
    quality = {}
    for strengths in product(POOLED_STRENGTHS, WORD_STRENGTHS):
        scores = np.empty(len(x))
        for index, part in enumerate(parts):
            scores[fold == index] = x[fold == index] @ whole.without(part).ridge(penalty(*strengths))
        quality[strengths] = metrics.ndcg(list(scores), groups, votes)[0]
        print(f"  pooled {strengths[0]:g}, words {strengths[1]:g}: {quality[strengths]:.4f}", flush=True)
    found = whole.ridge(penalty(*max(quality, key=quality.__getitem__))).astype(np.float64)

    scores = x @ found
    slope, offset = np.polyfit(scores, np.log(target.mean() / (1 - target.mean())) + 4 * (target - target.mean()), 1)
    table = torch.zeros(ngrams.VOCABULARY, dtype=torch.float64)
    table[ids] = torch.tensor(slope * found[hidden + 1 :])
    levels, step = to_table(table, float(table.abs().max()))
    head = slope * found[: hidden + 1] / scale
    kept = {
        "helpfulness.weight": torch.tensor(head, dtype=torch.float32)[None],
        "helpfulness.bias": torch.tensor([offset], dtype=torch.float32),
        "wide.helpfulness": levels,
        "wide.helpfulness_scale": step,
    }
    save_file(kept, str(options.out))


if __name__ == "__main__":
    main()
