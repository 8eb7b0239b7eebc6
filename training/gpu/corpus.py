"""Texts as one long run of token ids on the device, and batches of windows of it.

A window is a start and a length within the run; what kind it is tells how often a student sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int64]

SST2, IMDB, WOMENS, GOODS = range(4)
TRAIN, VALIDATION = 0, 1
LONGEST = 382
CLS, SEP, PAD, MASK = 101, 102, 0, 103
# A sentence ends after these: . ! ? and the > of a line break.
ENDS = (1012, 999, 1029, 1028)
SERVED, RANDOM, SENTENCES, PHRASE, TITLE = range(5)
KINDS = ("served", "random", "sentences", "phrase", "title")


@dataclass
class Windows:
    """Column by column. `label` is -1 where nobody knows it."""

    start: Ints
    length: Ints
    kind: Ints
    item: Ints

    def __len__(self) -> int:
        return len(self.start)

    def of(self, chosen: NDArray) -> Windows:
        return Windows(self.start[chosen], self.length[chosen], self.kind[chosen], self.item[chosen])

    @classmethod
    def joined(cls, parts: list[Windows]) -> Windows:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("start", "length", "kind", "item")))


class Corpus:
    def __init__(self, packed: dict[str, NDArray], device: torch.device) -> None:
        self.tokens = packed["tokens"].astype(np.int64)
        self.flat = torch.tensor(self.tokens, device=device)
        self.title_at, self.text_at, self.end = (packed[name].astype(np.int64) for name in ("title_at", "text_at", "end"))
        self.source, self.split, self.label = (packed[name].astype(np.int64) for name in ("source", "split", "label"))
        self.device = device
        self.ends = np.isin(self.tokens, ENDS)

    def items(self, source: int, split: int = TRAIN) -> Ints:
        return np.flatnonzero((self.source == source) & (self.split == split) & (self.end > self.text_at))

    def served(self, items: Ints, titles: NDArray[np.bool_]) -> Windows:
        """What the encoder sees of a text: its end."""
        begin = np.where(titles, self.title_at[items], self.text_at[items])
        start = np.maximum(begin, self.end[items] - LONGEST)
        return Windows(start, self.end[items] - start, np.full(len(items), SERVED), items)

    def random(self, items: Ints, titles: NDArray[np.bool_], shortest: int, longest: int, chance: np.random.Generator) -> Windows:
        """A run of random length: the end mostly, where a review sums itself up."""
        begin = np.where(titles, self.title_at[items], self.text_at[items])
        whole = self.end[items] - begin
        length = np.minimum(whole, chance.integers(shortest, longest + 1, len(items)))
        spare = whole - length
        where = chance.random(len(items))
        anywhere = (chance.random(len(items)) * (spare + 1)).astype(np.int64)
        offset = np.where(where < 0.45, spare, np.where(where < 0.65, 0, anywhere))
        return Windows(begin + offset, length, np.full(len(items), RANDOM), items)

    def titles(self, items: Ints) -> Windows:
        items = items[self.text_at[items] > self.title_at[items]]
        return Windows(self.title_at[items], self.text_at[items] - self.title_at[items], np.full(len(items), TITLE), items)

    def sentences(self, items: Ints, most: int, chance: np.random.Generator) -> Windows:
        """Cuts whole texts into runs of one to `most` sentences, of 3 to 96 tokens."""
        start, length, item = [], [], []
        for one in items:
            first, last = self.text_at[one], self.end[one]
            marks = np.flatnonzero(self.ends[first:last]) + 1
            marks = marks[np.append(np.diff(marks) > 1, True)] if len(marks) else marks
            cuts = np.unique(np.concatenate([[0], marks, [last - first]]))
            at = 0
            while at < len(cuts) - 1:
                to = min(len(cuts) - 1, at + int(chance.integers(1, most + 1)))
                tokens = cuts[to] - cuts[at]
                if 3 <= tokens:
                    start.append(first + cuts[at])
                    length.append(min(96, tokens))
                    item.append(one)
                at = to
        return Windows(np.array(start), np.array(length), np.full(len(start), SENTENCES), np.array(item))

    def batch(self, start: Tensor, length: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """ids and mask [rows, longest + 2], on the device, padded to a multiple of 8."""
        width = -(-(longest + 2) // 8) * 8
        place = torch.arange(width, device=self.device)[None]
        length = length[:, None]
        found = self.flat[(start[:, None] + place - 1).clamp(0, len(self.flat) - 1)]
        ids = torch.where(place <= length, found, torch.where(place == length + 1, SEP, PAD))
        ids[:, 0] = CLS
        return ids, place <= length + 1


def batches(windows: Windows, budget: int, chance: np.random.Generator | None, pool: int = 1 << 15) -> Iterator[Ints]:
    """Indices of windows of nearly one length, at most `budget` tokens with padding; longest first without `chance`."""
    order = np.arange(len(windows)) if chance is None else chance.permutation(len(windows))
    if chance is None:
        pool = len(order)
    for at in range(0, len(order), pool):
        chunk = order[at : at + pool]
        chunk = chunk[np.argsort(windows.length[chunk], kind="stable")]
        cut, to = [], len(chunk)
        while to > 0:
            rows = max(1, budget // (int(windows.length[chunk[to - 1]]) + 2))
            cut.append(chunk[max(0, to - rows) : to])
            to -= rows
        if chance is not None:
            chance.shuffle(cut)
        yield from cut
