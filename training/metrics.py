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


def reliability(probabilities: Floats, labels: Ints) -> list[tuple[float, float, float]]:
    """By bins of equal width of the predicted label's probability: its mean, the share that is right, and the bin's share of
    the rows."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    return [
        (float(confidence[bins == index].mean()), float(right[bins == index].mean()), float((bins == index).mean()))
        for index in np.unique(bins)
    ]


def calibration_error(probabilities: Floats, labels: Ints) -> float:
    """Expected calibration error of the predicted label."""
    return sum(abs(confidence - right) * share for confidence, right, share in reliability(probabilities, labels))


def area_under_curve(scores: Floats, labels: Ints) -> float:
    """The chance that a positive scores above a negative; ties count half."""
    _, rank, number = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = (np.cumsum(number) - (number - 1) / 2)[rank]
    positives = int((labels == 1).sum())
    negatives = len(labels) - positives
    return float((mean_rank[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def two_sided(odds: Floats) -> Floats:
    """[rows, 2]: the probabilities of negative and positive, of log odds."""
    positive = 1 / (1 + np.exp(-odds))
    return np.stack([1 - positive, positive], 1)


def ndcg(
    scores: Sequence[float], groups: Sequence[str], gains: Sequence[int], least: int = MIN_REVIEWS, votes: int = 1
) -> tuple[float, int]:
    """NDCG@10 with linear gains, averaged over the groups (products) of at least `least` rows
    with that many votes together. Also returns how many groups these are."""
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    discounts = 1 / np.log2(np.arange(2, RANKED + 2))
    values = []
    for indices in members.values():
        gain = np.array([gains[i] for i in indices], dtype=float)
        if len(indices) < least or gain.sum() < votes:
            continue
        order = np.argsort([-scores[i] for i in indices], kind="stable")
        best = np.sort(gain)[::-1]
        weights = discounts[: len(gain)]
        values.append((gain[order][:RANKED] @ weights) / (best[:RANKED] @ weights))
    return float(np.mean(values)), len(values)
