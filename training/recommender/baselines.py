"""What a recommender has to beat: popularity, item-to-item neighbours and matrix factorisation, the latter two of `implicit`.

    python baselines.py --data DATA --out RUN/baselines.json

Each is given all that a user had; neighbours are also asked of the `last` items alone, as order tells much here. The
settings are chosen by NDCG@10 on the validation split; with them each is fitted anew for the reported one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, ItemItemRecommender
from numpy.typing import NDArray

import data
import ranking

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Baseline:
    name: str
    scores: Callable[..., Scores]
    settings: dict[str, list[Any]]

    def choices(self) -> Iterator[dict[str, Any]]:
        for values in itertools.product(*self.settings.values()):
            yield dict(zip(self.settings, values))


def popularity(task: data.Task) -> Scores:
    return np.tile(np.bincount(task.fitted.item, minlength=task.items + 1), (task.users, 1)).astype(np.float32)


def neighbours(kind: Callable[..., ItemItemRecommender]) -> Callable[..., Scores]:
    def scores(task: data.Task, last: int | None = None, **settings: Any) -> Scores:
        model = kind(num_threads=2, **settings)
        model.fit(task.matrix(), show_progress=False)
        return (task.matrix(last) @ model.similarity.T).toarray().astype(np.float32)

    return scores


def factors(task: data.Task, **settings: Any) -> Scores:
    model = AlternatingLeastSquares(iterations=15, num_threads=2, random_state=1, **settings)
    model.fit(task.matrix(), show_progress=False)
    return model.user_factors @ model.item_factors.T


BASELINES = [
    Baseline("popularity", popularity, {}),
    Baseline("item-kNN, cosine", neighbours(CosineRecommender), {"K": [20, 50, 100, 200, 500]}),
    Baseline("item-kNN, cosine, last items", neighbours(CosineRecommender), {"K": [20, 50, 100, 200, 500], "last": [2, 5, 10, 20, 50]}),
    Baseline("item-kNN, BM25", neighbours(BM25Recommender), {"K": [50, 200, 500], "K1": [0.6, 1.2, 2.4], "B": [0.2, 0.5, 0.8]}),
    Baseline(
        "implicit ALS", factors, {"factors": [32, 64, 128], "regularization": [0.01, 0.1, 1.0], "alpha": [0.5, 1.0, 5.0]}
    ),
]


def measured(baseline: Baseline, events: data.Events, items: int) -> dict[str, Any]:
    def found(split: data.Split, settings: dict[str, Any]) -> dict[str, float]:
        task = data.task(events, items, split)
        return ranking.figures(ranking.ranks(baseline.scores(task, **settings), task))

    tried = [(found("validation", settings), settings) for settings in baseline.choices()]
    validation, best = max(tried, key=lambda one: one[0]["ndcg"])
    return {"name": baseline.name, "settings": best, "validation": validation, "reported": found("reported", best)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of ratings.csv.xz")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    logging.getLogger("implicit").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    events, films = data.read(options.data)
    found = []
    for baseline in BASELINES:
        found.append(measured(baseline, events, len(films)))
        print(json.dumps(found[-1]), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
