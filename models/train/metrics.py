"""The figures of the model card, from plain arrays."""

from __future__ import annotations

from collections import defaultdict
from typing import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RANKED = 10
MIN_REVIEWS = 10
ECE_BINS = 15


def accuracy(probabilities: Floats, labels: Ints) -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())


def balanced_accuracy(probabilities: Floats, labels: Ints) -> float:
    """The mean over the classes of the share of each that is found."""
    right = probabilities.argmax(axis=1) == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def calibration_error(probabilities: Floats, labels: Ints) -> float:
    """Expected calibration error of the predicted label, over bins of equal width."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [
        abs(confidence[bins == index].mean() - right[bins == index].mean()) * (bins == index).mean()
        for index in np.unique(bins)
    ]
    return float(sum(gaps))


def ndcg(scores: Sequence[float], groups: Sequence[str], gains: Sequence[int]) -> tuple[float, int]:
    """NDCG@10 with linear gains, averaged over the groups (products) of at least MIN_REVIEWS rows
    with any gain. Also returns how many groups these are."""
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    discounts = 1 / np.log2(np.arange(2, RANKED + 2))
    values = []
    for indices in members.values():
        gain = np.array([gains[i] for i in indices], dtype=float)
        if len(indices) < MIN_REVIEWS or gain.sum() == 0:
            continue
        order = np.argsort([-scores[i] for i in indices], kind="stable")
        best = np.sort(gain)[::-1]
        values.append((gain[order][:RANKED] @ discounts) / (best[:RANKED] @ discounts))
    return float(np.mean(values)), len(values)
