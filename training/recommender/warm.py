"""Where the training starts from: vectors of items that were rated soon after one another.

Positive pointwise mutual information of the items within REACH steps of each other, nearer ones weighing more, factored by a
truncated singular value decomposition. Rare items are damped twice: by the power of the item's frequency, and by SMOOTHING.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from data import Events, Floats

REACH, HALVES_EVERY = 5, 3
POWER, SMOOTHING = 0.5, 10


def together(events: Events, items: int) -> csr_matrix:
    """How often, weighed by nearness, two items stand within REACH of each other: [items + 1, items + 1], symmetric."""
    total = csr_matrix((items + 1, items + 1), dtype=np.float32)
    for steps in range(1, REACH + 1):
        first = np.flatnonzero(events.user[:-steps] == events.user[steps:])
        weight = np.full(len(first), 0.5 ** ((steps - 1) / HALVES_EVERY), np.float32)
        total = total + csr_matrix((weight, (events.item[first], events.item[first + steps])), shape=total.shape)
    return (total + total.T).tocsr()


def vectors(events: Events, items: int, width: int) -> tuple[Floats, Floats]:
    """One vector an item [items + 1, width], longest direction first, and a sign for each direction [width]: the information of
    two items is about the sum over directions of sign * one * other."""
    counts = together(events, items)
    often = np.asarray(counts.sum(0)).ravel() + SMOOTHING
    damped = often**POWER
    pairs = counts.tocoo()
    information = np.log(pairs.data * damped.sum() / (often[pairs.row] * damped[pairs.col])).clip(min=0)
    symmetric = csr_matrix((information, (pairs.row, pairs.col)), shape=counts.shape)
    symmetric = ((symmetric + symmetric.T) / 2).astype(np.float64)
    left, size, right = svds(symmetric, width, rng=np.random.default_rng(1))
    order = np.argsort(-size)
    sign = np.sign((left * right.T).sum(0))
    return (left * np.sqrt(size))[:, order].astype(np.float32), sign[order].astype(np.float32)
