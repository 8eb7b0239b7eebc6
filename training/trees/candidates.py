"""LambdaMART that ranks candidate films for a user, from columns of what was known at the moment of the question.

    PYTHONPATH=training/recommender python training/trees/candidates.py --data DATA --out models/zoo/candidate_trees/1

Data, questions and figures are those of training/recommender. Candidates are the films that were popular at the moment and
those that other users had near this one's last films; a film outside of them cannot be found. The trees are fitted on QUESTIONS
earlier moments of each user. What goes together is then counted over the users of other folds, as the user's own events hold the
answer; the user's mean rating and number of films are those before the moment.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

import data
import moments
import ranking
import warm
from exported import write

FOLDS = 4
QUESTIONS, NEGATIVES = 6, 80
POPULAR, NEAR = 150, 350
LAST, HALVES_EVERY, FEWEST = 20, 3, 3
NEVER_DAYS = 10_000
# The graph holds thresholds in float32; values further apart than that keep it from taking the other branch.
DECIMALS = 3
COLUMNS = [
    "popularity", "rating", "days_since_event", "near_last", "near_last_items", "goes_with_last_items", "goes_with_all",
    "genres_last_items", "genres_all", "user_rating", "user_items",
]
FIXED = {"objective": "lambdarank", "verbose": -1, "n_jobs": 2, "random_state": 1, "min_child_samples": 50, "colsample_bytree": 0.7}
SETTINGS: dict[str, list[Any]] = {"n_estimators": [60, 120], "num_leaves": [7, 15], "learning_rate": [0.05, 0.1]}

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    user: int
    moment: int
    answer: int
    had: slice
    """The rows of the events that the user had before."""


@dataclass(frozen=True)
class Likeness:
    """What goes together, counted over some users: near one another in time, and at all. Both [items + 1, items + 1]."""

    near: csr_matrix
    at_all: csr_matrix

    @classmethod
    def of(cls, events: data.Events, items: int, users: int) -> Likeness:
        counts = warm.together(events, items)
        often = np.asarray(counts.sum(0)).ravel() + warm.SMOOTHING
        near = counts.multiply(1 / often**warm.POWER).tocsr()
        ones = np.ones(len(events.user), np.float32)
        had = csr_matrix((ones, (events.user, events.item)), shape=(users, items + 1))
        length = np.sqrt(np.asarray(had.sum(0)).ravel() + warm.SMOOTHING)
        scaled = had.multiply(1 / length).tocsr()
        return cls(near, (scaled.T @ scaled).tocsr())


@dataclass(frozen=True)
class Rows:
    """The candidates of many questions, one after the other."""

    columns: Floats
    item: NDArray[np.int64]
    answer: NDArray[np.int64]
    sizes: list[int]


def genres(folder: Path, films: list[str]) -> Floats:
    """[items + 1, genres], each row of length 1."""
    with lzma.open(folder / "movies.csv.xz", "rt", encoding="utf-8", newline="") as file:
        named = {row["movieId"]: row["genres"].split("|") for row in csv.DictReader(file)}
    place = {name: index for index, name in enumerate(sorted({name for names in named.values() for name in names}))}
    table = np.zeros((len(films) + 1, len(place)), np.float32)
    for row, film in enumerate(films, 1):
        table[row, [place[name] for name in named.get(film, [])]] = 1
    return table / np.maximum(1, np.linalg.norm(table, axis=1, keepdims=True))


def last_times(events: data.Events, asked: NDArray[np.int64], items: int) -> NDArray[np.int64]:
    """When each item had its last event strictly before each moment, 0 where never: [moments, items + 1]."""
    ordered = events.by_time()
    found = np.zeros((len(asked), items + 1), np.int64)
    last, start = np.zeros(items + 1, np.int64), 0
    for place in np.argsort(asked, kind="stable"):
        end = int(np.searchsorted(ordered.time, asked[place], side="left"))
        last[ordered.item[start:end]] = ordered.time[start:end]
        found[place], start = last, end
    return found


def best(scores: Floats, count: int) -> NDArray[np.int64]:
    chosen = np.argpartition(-scores, count)[:count]
    return chosen[scores[chosen] > 0]


def gather(
    events: data.Events, questions: list[Question], likeness: list[Likeness], of_genre: Floats, items: int, negatives: int | None
) -> Rows:
    """The candidates of each question, `likeness` being the one to use for it. With `negatives` only questions whose answer is a
    candidate, and so many others beside it."""
    asked = np.array([question.moment for question in questions])
    known, last = moments.at(events, asked, items), last_times(events, asked, items)
    random = np.random.default_rng(1)
    tables, found, answers, sizes = [], [], [], []
    for place, (question, like) in enumerate(zip(questions, likeness, strict=True)):
        had = events.item[question.had]
        recent = had[-LAST:][::-1]
        weight = (0.5 ** (np.arange(len(recent)) / HALVES_EVERY)).astype(np.float32)
        near_last = like.near[recent[:1]].toarray().ravel()
        near = weight @ like.near[recent]
        goes = weight @ like.at_all[recent]
        everything = np.asarray(like.at_all[had].sum(0)).ravel()
        popularity = known.popularity[place].copy()
        near_open, goes_open = near.copy(), goes.copy()
        for scores in (popularity, near_open, goes_open):
            scores[had] = scores[0] = 0
        chosen = np.unique(np.concatenate([best(popularity, POPULAR), best(near_open, NEAR), best(goes_open, POPULAR)]))
        if negatives is not None:
            if question.answer not in chosen:
                continue
            others = chosen[chosen != question.answer]
            chosen = np.r_[question.answer, random.permutation(others)[:negatives]]
        days = (question.moment - last[place, chosen]) / moments.DAY
        tables.append(
            np.stack(
                [
                    known.popularity[place, chosen],
                    known.sentiment[place, chosen],
                    np.where(last[place, chosen] > 0, days, NEVER_DAYS),
                    near_last[chosen],
                    near[chosen],
                    goes[chosen],
                    everything[chosen] / len(had),
                    of_genre[chosen] @ (weight @ of_genre[recent]),
                    of_genre[chosen] @ of_genre[had].mean(0),
                    np.full(len(chosen), events.liked[question.had].mean()),
                    np.full(len(chosen), len(had)),
                ],
                1,
            )
            .round(DECIMALS)
            .astype(np.float32)
        )
        found.append(chosen)
        answers.append((chosen == question.answer).astype(np.int64))
        sizes.append(len(chosen))
    return Rows(np.concatenate(tables), np.concatenate(found), np.concatenate(answers), sizes)


def earlier(task: data.Task) -> list[Question]:
    """Moments within the fitted events, later ones first among those that a user has."""
    random = np.random.default_rng(2)
    found = []
    for user, span in enumerate(task.fitted.sequences()):
        rows = np.arange(span.start + FEWEST, span.stop)
        for row in random.permutation(rows)[:QUESTIONS]:
            found.append(Question(user, int(task.fitted.time[row]), int(task.fitted.item[row]), slice(span.start, int(row))))
    return found


def prepared(events: data.Events, of_genre: Floats, items: int, split: data.Split) -> tuple[data.Task, Rows, Rows]:
    """Rows to fit on, and those of the split's questions."""
    task = data.task(events, items, split)
    fold = np.random.default_rng(3).integers(FOLDS, size=task.users)
    apart = [Likeness.of(task.fitted.where(fold[task.fitted.user] != held_out), items, task.users) for held_out in range(FOLDS)]
    questions = earlier(task)
    training = gather(task.fitted, questions, [apart[fold[question.user]] for question in questions], of_genre, items, NEGATIVES)
    whole = Likeness.of(task.fitted, items, task.users)
    final = [
        Question(user, int(task.asked.time[user]), int(task.asked.item[user]), span) for user, span in enumerate(task.fitted.sequences())
    ]
    return task, training, gather(task.fitted, final, [whole] * len(final), of_genre, items, None)


def fit(rows: Rows, settings: dict[str, Any]) -> lightgbm.LGBMRanker:
    return lightgbm.LGBMRanker(**FIXED, **settings).fit(rows.columns, rows.answer, group=rows.sizes)


def ranked(model: lightgbm.LGBMRanker, task: data.Task, rows: Rows) -> dict[str, float]:
    scores = np.full((task.users, task.items + 1), -1e9, np.float32)
    scores[np.repeat(np.arange(task.users), rows.sizes), rows.item] = model.predict(rows.columns)
    return ranking.figures(ranking.ranks(scores, task))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of ratings.csv.xz and movies.csv.xz")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    events, films = data.read(options.data)
    of_genre = genres(options.data, films)
    task, training, asked = prepared(events, of_genre, len(films), "validation")
    found = asked.answer.sum() / task.users
    print(f"fitted on {len(training.sizes)} questions; the answer is a candidate in {found:.3f} of the asked", flush=True)
    tried = []
    for values in itertools.product(*SETTINGS.values()):
        settings = dict(zip(SETTINGS, values))
        tried.append((ranked(fit(training, settings), task, asked), settings))
        print(json.dumps(tried[-1]), flush=True)
    settings = max(tried, key=lambda one: one[0]["ndcg"])[1]

    task, training, asked = prepared(events, of_genre, len(films), "reported")
    model = fit(training, settings)
    print(f"reported: {json.dumps(ranked(model, task, asked))} with {json.dumps(settings)}")
    gain = model.booster_.feature_importance("gain")
    for name, part in sorted(zip(COLUMNS, gain / gain.sum()), key=lambda pair: -pair[1]):
        print(f"  {name}: {part:.3f}")
    write(model, COLUMNS, asked.columns[:1000], options.out)


if __name__ == "__main__":
    main()
