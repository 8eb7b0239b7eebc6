"""Fits what a shopper would value in a review: a weight for each word, and one for the length.

    python helpfulness.py --data DATA --base BASE --out RUN/helpfulness.safetensors

Of the reviews of clothes and of goods. The ranking is within a product, so it is a ridge regression on differences from the product's mean, in the features and in the
target alike. Its strength is chosen by cross-validation over the products of the training split, all of their reviews; then a slope
and an offset put its scores on the scale of the target. The encoder is no feature: it has seen these votes in training, so that
a cross-validation over the same products would flatter it.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy import linalg

import data
import metrics
import ngrams
from encoder import TYPICAL_LOG_TOKENS
from features import TEXT_TOKENS
from scorer import to_table
from tokens import Encoder

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

FOLDS = 10
# Products of fewer reviews or votes than these say too little.
LEAST_REVIEWS, LEAST_VOTES = 10, 10
# Rarer words than this tell too little to be worth a column.
MIN_TEXTS = 20
# The endless one leaves the words out.
STRENGTHS = [1000.0, 3000.0, 10000.0, np.inf]
# What a review of goods weighs beside one of clothes.
GOODS_SHARES = [0.0, 0.2, 1.0]


def ranked_products(examples: list[data.Example], most: int) -> list[data.Example]:
    """The reviews of the products that can be ranked, at most so many of each."""
    products: dict[str, list[data.Example]] = defaultdict(list)
    for example in examples:
        products[example.group].append(example)
    return [
        example
        for rows in products.values()
        if len(rows) >= LEAST_REVIEWS and sum(row.helpful for row in rows) >= LEAST_VOTES
        for example in rows[:most]
    ]


def quality(scores: Singles, groups: list[str], votes: list[int], of: Callable[[str], bool] = bool) -> tuple[float, int]:
    """NDCG@10 over the products that `of` holds for, and their number."""
    kept = [index for index, group in enumerate(groups) if of(group)]
    return metrics.ndcg(
        list(scores[kept]), [groups[i] for i in kept], [votes[i] for i in kept], metrics.MIN_REVIEWS, LEAST_VOTES
    )


def features(encoder: Encoder, texts: list[str]) -> tuple[Singles, NDArray[np.int64]]:
    """[texts, 1 + words]: the length, and 1 where a text holds a word; the words' ids, [words]."""
    rows = [encoder.truncated(ids, TEXT_TOKENS, "Left") for ids in encoder.ids(texts)]
    held = [np.unique(row) for row in rows]
    number = np.bincount(np.concatenate(held), minlength=ngrams.VOCABULARY)
    column = np.flatnonzero((number >= MIN_TEXTS) & (number < len(texts)))
    place = np.full(ngrams.VOCABULARY, -1)
    place[column] = np.arange(1, len(column) + 1)
    found = np.zeros((len(texts), len(column) + 1), dtype=np.float32)
    found[:, 0] = np.log([len(row) for row in rows]) - TYPICAL_LOG_TOKENS
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

    def plus(self, other: Moments, share: float) -> Moments:
        return Moments(self.features + np.float32(share) * other.features, self.target + np.float32(share) * other.target)

    def ridge(self, penalty: Singles) -> Singles:
        """The weights; 0 where the penalty is endless."""
        kept = np.flatnonzero(np.isfinite(penalty))
        weights = np.zeros(len(penalty), dtype=np.float32)
        weights[kept] = linalg.solve(self.features[np.ix_(kept, kept)] + np.diag(penalty[kept]), self.target[kept], assume_a="pos")
        return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds womens/ and goods/")
    parser.add_argument("--base", type=Path, required=True, help="the folder of tokenizer.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=10_000, help="reviews of one product")
    options = parser.parse_args()

    everything = data.womens(options.data, "train") + data.every_goods(options.data, "train")
    examples = ranked_products(everything, options.most)
    groups, votes = [example.group for example in examples], [example.helpful for example in examples]
    x, ids = features(Encoder(options.base), [data.with_title(example) for example in examples])

    def penalty(strength: float) -> Singles:
        return np.append(0.0, np.full(len(ids), strength)).astype(np.float32)

    target = targets(examples)
    centred, y = x - means(x, groups), spread_alike(target, groups).astype(np.float32)
    # The measure counts products, the noise falls with their reviews: in between.
    sizes = Counter(groups)
    size = np.array([float(sizes[group]) for group in groups])
    weights = (size**-0.5 / np.mean(size**-0.5)).astype(np.float32)
    fold = np.array([data.bucket(f"fold {group}", FOLDS) for group in groups])
    clothes = np.array([group.isdigit() for group in groups])

    def of_folds(rows: NDArray[np.bool_]) -> list[Moments]:
        return [Moments.of(*(part[rows & (fold == index)] for part in (centred, y, weights))) for index in range(FOLDS)]

    parts_of_clothes, parts_of_goods = of_folds(clothes), of_folds(~clothes)
    longest, products = quality(x[:, 0], groups, votes)
    print(f"{len(examples)} reviews, {products} products, {len(ids)} words, longest first {longest:.4f}")
    reached = {}
    for share in GOODS_SHARES:
        parts = [first.plus(second, share) for first, second in zip(parts_of_clothes, parts_of_goods)]
        whole = Moments(sum(part.features for part in parts), sum(part.target for part in parts))
        for strength in STRENGTHS:
            scores = np.empty(len(x))
            for index, part in enumerate(parts):
                scores[fold == index] = x[fold == index] @ whole.without(part).ridge(penalty(strength))
            value = quality(scores, groups, votes)[0]
            of_clothes = quality(scores, groups, votes, str.isdigit)[0]
            print(f"  goods {share:g}, {strength:g}: {value:.4f}, of clothes alone {of_clothes:.4f}", flush=True)
            if not reached or value > max(reached):
                reached[value] = whole.ridge(penalty(strength)).astype(np.float64)
    found = reached[max(reached)]

    scores = x @ found
    slope, offset = np.polyfit(scores, np.log(target.mean() / (1 - target.mean())) + 4 * (target - target.mean()), 1)
    table = torch.zeros(ngrams.VOCABULARY, dtype=torch.float64)
    table[ids] = torch.tensor(slope * found[1:])
    levels, step = to_table(table, float(table.abs().max()))
    kept = {
        "helpfulness.weight": torch.tensor([[slope * found[0]]], dtype=torch.float32),
        "helpfulness.bias": torch.tensor([offset], dtype=torch.float32),
        "wide.helpfulness": levels,
        "wide.helpfulness_scale": step,
    }
    save_file(kept, str(options.out))


if __name__ == "__main__":
    main()
