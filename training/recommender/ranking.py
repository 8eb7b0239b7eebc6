"""Ranks of the asked items among all items that a user has not had, and the figures made of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data import Task

TOP = 10


def ranks(scores: NDArray[np.float32], task: Task) -> NDArray[np.float64]:
    """From `scores` [users, items + 1] the rank, from 0, of each user's asked item. Items with an equal score share their places,
    so that a model which cannot tell items apart gains nothing from their order."""
    scores = scores.astype(np.float64)
    wanted = scores[np.arange(task.users), task.asked.item][:, None]
    scores[task.fitted.user, task.fitted.item] = -np.inf
    scores[:, 0] = -np.inf
    above, equal = (scores > wanted).sum(1), (scores == wanted).sum(1)
    return above + (equal - 1) / 2


def figures(places: NDArray[np.float64]) -> dict[str, float]:
    """HR@10 and NDCG@10, of one relevant item each."""
    hit = places < TOP
    return {"hr": float(hit.mean()), "ndcg": float((hit / np.log2(places + 2)).mean())}
