"""Reads MovieLens and cuts each user's events into what is fitted on, chosen by and reported. No row leaves memory.

A user's events are ordered by time. Many share a second (a page of films rated at once), and the file orders those by film,
so equal times are ordered by a hash of user and film: an order that tells nothing of what is to be guessed. The last event
of a user is the reported one, the one before it is for choosing.
"""

from __future__ import annotations

import csv
import hashlib
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Split = Literal["validation", "reported"]

# How many events of each user stand after the fitted ones, counted from the last.
HELD_OUT: dict[Split, int] = {"validation": 2, "reported": 1}
LOWEST, HIGHEST = 0.5, 5.0


@dataclass(frozen=True)
class Events:
    """Columns of equal length, ordered by user and, within one, by time. Users count from 0, items from 1 (0 is unknown)."""

    user: Ints
    item: Ints
    liked: Floats
    """The rating, from 0 (half a star) to 1 (five stars)."""
    time: Ints
    """Seconds."""

    def where(self, rows: NDArray[np.bool_]) -> Events:
        return Events(self.user[rows], self.item[rows], self.liked[rows], self.time[rows])

    def by_time(self) -> Events:
        return self.where(np.argsort(self.time, kind="stable"))  # type: ignore[arg-type]

    def sequences(self) -> list[slice]:
        """Each user's rows."""
        edges = np.flatnonzero(np.diff(self.user)) + 1
        return [slice(int(start), int(end)) for start, end in zip(np.r_[0, edges], np.r_[edges, len(self.user)])]


@dataclass(frozen=True)
class Task:
    """What may be fitted on, and one question a user: which item came next, at `asked.time`, after the fitted events?"""

    fitted: Events
    asked: Events
    items: int
    """Indices run from 0 to this; 0 is no item."""

    @property
    def users(self) -> int:
        return len(self.asked.user)

    def matrix(self, last: int | None = None) -> csr_matrix:
        """Ones at [user, item] of the fitted events, or of each user's last so many."""
        span = np.concatenate([np.arange(rows.stop)[rows][-(last or 0) :] for rows in self.fitted.sequences()])
        ones = np.ones(len(span), np.float32)
        return csr_matrix((ones, (self.fitted.user[span], self.fitted.item[span])), shape=(self.users, self.items + 1))


def tie(user: str, film: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{user} {film}".encode()).digest()[:8], "big")


def read(folder: Path) -> tuple[Events, list[str]]:
    """The events and the films' ids, whose place in the list, from 1, is their index."""
    with lzma.open(folder / "ratings.csv.xz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows.sort(key=lambda row: (int(row["userId"]), int(row["timestamp"]), tie(row["userId"], row["movieId"])))
    films = sorted({int(row["movieId"]) for row in rows})
    index = {film: place for place, film in enumerate(films, 1)}
    people = {person: place for place, person in enumerate(dict.fromkeys(row["userId"] for row in rows))}
    rating = np.array([float(row["rating"]) for row in rows])
    return Events(
        user=np.array([people[row["userId"]] for row in rows]),
        item=np.array([index[int(row["movieId"])] for row in rows]),
        liked=((rating - LOWEST) / (HIGHEST - LOWEST)).astype(np.float32),
        time=np.array([int(row["timestamp"]) for row in rows]),
    ), [str(film) for film in films]


def task(events: Events, items: int, split: Split) -> Task:
    sizes = np.bincount(events.user)
    from_last = np.repeat(sizes.cumsum(), sizes) - np.arange(len(events.user))
    held_out = HELD_OUT[split]
    return Task(events.where(from_last > held_out), events.where(from_last == held_out), items)
