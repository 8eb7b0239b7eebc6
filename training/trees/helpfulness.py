"""LambdaMART that ranks a product's reviews by how helpful shoppers will find them, from columns of the review alone.

    PYTHONPATH=training python training/trees/helpfulness.py --data DATA --out models/zoo/helpfulness_trees/1

The gain is the count of helpful votes. Settings are chosen by cross-validation over the training products; the reported products
are those of the sentiment model (training/data.py), so that both are read on the same rows. SETTINGS holds what was tried;
`--settings JSON` takes one of them without trying.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

import data
import metrics
from exported import write

FOLDS = 5
MIN_REVIEWS = 5
"""Products with fewer are not trained on: they tell little of an order."""
FIXED = {
    "objective": "lambdarank", "lambdarank_truncation_level": 20, "subsample": 0.8, "subsample_freq": 1, "verbose": -1, "n_jobs": 2
}
SETTINGS: dict[str, list[Any]] = {
    "n_estimators": [50, 100],
    "num_leaves": [7, 15],
    "learning_rate": [0.03, 0.08],
    "min_child_samples": [50, 200],
    "colsample_bytree": [0.6],
}
SEED = 1


@dataclass(frozen=True)
class Review:
    product: str
    title: str
    text: str
    rating: int
    recommended: int
    age: int
    votes: int


def read(folder: Path, split: data.Split) -> list[Review]:
    return [
        Review(
            row["Clothing ID"], row["Title"].strip(), row["Review Text"].strip(), int(row["Rating"]), int(row["Recommended IND"]),
            int(row["Age"]), int(row["Positive Feedback Count"]),
        )
        for row in data.rows(folder / "womens" / "train.csv.xz", ",")
        if row["Review Text"].strip() and data.split_of(row["Clothing ID"]) == split
    ]


def columns(review: Review) -> dict[str, float]:
    words = re.findall(r"[a-z']+", review.text.lower())
    return {
        "characters": len(review.text),
        "words": len(words),
        "title_characters": len(review.title),
        "rating": review.rating,
        "recommended": review.recommended,
        "age": review.age,
        "exclamation_marks": review.text.count("!"),
        "question_marks": review.text.count("?"),
        "commas": review.text.count(","),
        "sentences": len(re.findall(r"[.!?]+(?:\s|$)", review.text)),
        "digits": sum(letter.isdigit() for letter in review.text),
        "capitals": sum(letter.isupper() for letter in review.text) / max(1, len(review.text)),
        "letters_a_word": sum(map(len, words)) / max(1, len(words)),
        "different_words": len(set(words)) / max(1, len(words)),
        "first_person": sum(word in ("i", "i'm", "i've", "my", "me") for word in words) / max(1, len(words)),
    }


@dataclass(frozen=True)
class Table:
    rows: NDArray[np.float32]
    votes: NDArray[np.int64]
    product: list[str]

    @classmethod
    def of(cls, reviews: list[Review]) -> Table:
        """Ordered by product, as the ranker wants groups."""
        reviews = sorted(reviews, key=lambda review: review.product)
        rows = np.array([list(columns(review).values()) for review in reviews], np.float32)
        return cls(rows, np.array([review.votes for review in reviews]), [review.product for review in reviews])

    def where(self, chosen: NDArray[np.bool_]) -> Table:
        return Table(self.rows[chosen], self.votes[chosen], [self.product[place] for place in np.flatnonzero(chosen)])

    def sizes(self) -> list[int]:
        return [len(list(group)) for _, group in itertools.groupby(self.product)]

    def ndcg(self, scores: NDArray[Any]) -> float:
        return metrics.ndcg(list(scores), self.product, list(self.votes))[0]


def fit(table: Table, settings: dict[str, Any], seed: int = SEED) -> lightgbm.LGBMRanker:
    large = np.repeat(table.sizes(), table.sizes()) >= MIN_REVIEWS
    kept = table.where(large)
    model = lightgbm.LGBMRanker(**FIXED, **settings, label_gain=list(range(int(kept.votes.max()) + 1)), random_state=seed)
    return model.fit(kept.rows, kept.votes, group=kept.sizes())


def cross_validated(table: Table, settings: dict[str, Any]) -> float:
    fold = np.array([data.bucket(f"trees {product}", FOLDS) for product in table.product])
    scores = np.zeros(len(fold))
    for held_out in range(FOLDS):
        scores[fold == held_out] = fit(table.where(fold != held_out), settings).predict(table.rows[fold == held_out])
    return table.ndcg(scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds womens/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--settings", type=json.loads)
    options = parser.parse_args()

    names = list(columns(Review("", "", "a", 1, 1, 1, 0)))
    training = Table.of(read(options.data, "train") + read(options.data, "validation"))
    reported = Table.of(read(options.data, "reported"))
    tried = []
    choices = [dict(zip(SETTINGS, values)) for values in itertools.product(*SETTINGS.values())]
    for settings in [options.settings] if options.settings else choices:
        tried.append((cross_validated(training, settings), settings))
        print(f"{tried[-1][0]:.4f} {json.dumps(settings)}", flush=True)
    best, settings = max(tried, key=lambda one: one[0])
    length = names.index("characters")
    print(f"cross-validated: longest first {training.ndcg(training.rows[:, length]):.4f}, trees {best:.4f} {json.dumps(settings)}")

    model = fit(training, settings)
    random = np.mean([reported.ndcg(np.random.default_rng(seed).random(len(reported.votes))) for seed in range(50)])
    groups = metrics.ndcg([0.0] * len(reported.votes), reported.product, list(reported.votes))[1]
    print(f"reported, {groups} products: random {random:.4f}, longest first {reported.ndcg(reported.rows[:, length]):.4f}")
    seeds = [reported.ndcg(fit(training, settings, seed).predict(reported.rows)) for seed in range(1, 6)]
    print(f"trees {seeds[0]:.4f}; five seeds {np.mean(seeds):.4f} ± {np.std(seeds, ddof=1):.4f}")
    for name, gain in sorted(zip(names, model.booster_.feature_importance("gain")), key=lambda pair: -pair[1]):
        print(f"  {name}: {gain / model.booster_.feature_importance('gain').sum():.3f}")
    write(model, names, reported.rows, options.out)


if __name__ == "__main__":
    main()
