"""Which runs of one, two and three tokens a text holds, as keys of a table of weights.

The same few lines make the keys for fitting and inside the exported graph. They are integers throughout, so that
neither padding nor neighbours can move them.
"""

from __future__ import annotations

import torch
from torch import Tensor

VOCABULARY = 30522
# A prime: the sums below then spread evenly over the buckets, whatever their factors are.
BUCKETS = 1048573
KEYS = VOCABULARY + BUCKETS
# No run's key: where the table holds no weight. It is the id of [PAD], which stands in no text.
NOTHING = 0
SECOND, THIRD = 1000003, 15485863


def keys(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Both inputs: int64 [batch, tokens], padded at the end. Returns int64 [batch, 3 * tokens]: each row's distinct keys
    in falling order, with NOTHING in between and after them.

    A token is its own key, so that the first VOCABULARY rows of a table are the words. Longer runs are hashed.
    """
    ids = input_ids * attention_mask
    # Two columns more, so that every token has two that follow. A run that reaches past the end has an id 0 in it.
    first = torch.nn.functional.pad(ids, (0, 2))
    second, third = first[:, 1:-1], first[:, 2:]
    first = first[:, :-2]
    pairs = VOCABULARY + (first * SECOND + second) % BUCKETS
    triples = VOCABULARY + (first * THIRD + second * SECOND + third) % BUCKETS
    everything = torch.cat([first, pairs * (second > 0), triples * (third > 0)], 1)
    ordered = torch.sort(everything, dim=1, descending=True).values
    before = torch.nn.functional.pad(ordered[:, :-1], (1, 0), value=-1)
    return ordered * (ordered != before)
