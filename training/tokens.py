"""Text to padded id tensors, with the base model's own tokenizer."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor

Direction = Literal["Left", "Right"]


class Encoder:
    """Encodes texts without padding. The special tokens are added here, around the window."""

    def __init__(self, base: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.first = self.tokenizer.token_to_id("[CLS]")
        self.last = self.tokenizer.token_to_id("[SEP]")

    def ids(self, texts: list[str]) -> list[list[int]]:
        """One list of ids per text, without special tokens."""
        return [item.ids for item in self.tokenizer.encode_batch(texts, add_special_tokens=False)]

    def wrap(self, ids: list[int]) -> list[int]:
        return [self.first, *ids, self.last]

    def truncated(self, ids: list[int], max_length: int, direction: Direction) -> list[int]:
        """As the exported tokenizer.json does it: `Left` drops from the left, so keeps the end."""
        room = max_length - 2
        return self.wrap(ids[-room:] if direction == "Left" else ids[:room])

    def window(self, ids: list[int], length: int, chance: random.Random) -> list[int]:
        """A run of at most `length` tokens: the end mostly, where a review sums itself up."""
        room = length - 2
        spare = len(ids) - room
        if spare <= 0:
            return self.wrap(ids)
        start = chance.choices([spare, 0, chance.randint(0, spare)], weights=[5, 2, 3])[0]
        return self.wrap(ids[start : start + room])


def padded(sequences: list[list[int]]) -> tuple[Tensor, Tensor]:
    """input_ids and attention_mask, both int64 [batch, longest]."""
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids, mask
