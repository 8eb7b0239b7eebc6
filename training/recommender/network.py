"""The scorer: a small transformer over a user's last items, a pooled item-to-item term beside it, and three features.

An item has two vectors. The transformer reads the first of each item in the history, and its last state meets the candidate's
first: next items, as SASRec has it. The second vectors of the history are summed, weighed by how far back each stands, turned by
one matrix and met by the candidate's second: items that go together. Order is told by distances alone, and index 0 is masked
everywhere, so left padding changes nothing; of a history without a known item both terms are 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

LONGEST = 50
# Where the weight of an older item starts from: it halves every five items.
RECENCY = -0.14
WARM_SCALE, WARM_ITEMS = 0.5, 0.1


@dataclass(frozen=True)
class Sizes:
    items: int
    width: int = 64
    """Of each of an item's two vectors."""
    layers: int = 1
    heads: int = 2
    dropout: float = 0.3


class Block(nn.Module):
    """Causal attention and two linear layers, each on a normed input and added to it."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads, self.head_size = sizes.heads, sizes.width // sizes.heads
        self.attention_norm = nn.LayerNorm(sizes.width)
        self.query, self.key, self.value = (nn.Linear(sizes.width, sizes.width) for _ in range(3))
        self.mixed = nn.Linear(sizes.width, sizes.width)
        self.forward_norm = nn.LayerNorm(sizes.width)
        self.up = nn.Linear(sizes.width, 2 * sizes.width)
        self.down = nn.Linear(2 * sizes.width, sizes.width)
        self.distances = nn.Parameter(torch.zeros(self.heads, LONGEST))
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, back: Tensor, bias: Tensor, asking: slice) -> Tensor:
        """x: [users, items, width]; back: how far an item lies behind another, [items, items]; bias, added to the attention's
        scores: [users, 1, items, items]. Returns the states of the `asking` items."""
        normed = self.attention_norm(x)
        x, back, bias = x[:, asking], back[asking], bias[:, :, asking]
        query, key, value = (
            part(seen).unflatten(-1, (self.heads, self.head_size)).transpose(1, 2)
            for part, seen in ((self.query, normed[:, asking]), (self.key, normed), (self.value, normed))
        )
        scores = (query @ key.transpose(-1, -2) * self.head_size**-0.5 + self.distances[:, back] + bias).softmax(-1)
        mixed = (self.dropout(scores) @ value).transpose(1, 2).flatten(-2)
        x = x + self.dropout(self.mixed(mixed))
        return x + self.dropout(self.down(functional.gelu(self.up(self.forward_norm(x)))))


class Features(nn.Module):
    """popularity, sentiment and helpfulness to a term of the score. All three weights are positive, so more is never worse.

    SENTIMENT_FLOOR and HELPFULNESS are not learned but wanted: what people write shall be seen in the order. From 0.9 to 0.1 an
    item's sentiment moves its score by at least 0.8 * SENTIMENT_FLOOR. What is not a number counts as TYPICAL, and so moves nothing.
    """

    SENTIMENT_FLOOR, HELPFULNESS = 2.0, 0.2
    TYPICAL_SENTIMENT, TYPICAL_HELPFULNESS = 0.68, 0.5

    def __init__(self, sentiment: bool) -> None:
        super().__init__()
        self.reviews = sentiment
        self.popularity = nn.Parameter(torch.zeros(()))
        self.sentiment = nn.Parameter(torch.zeros(()))

    def weights(self) -> tuple[Tensor, Tensor]:
        return functional.softplus(self.popularity), functional.softplus(self.sentiment) + self.SENTIMENT_FLOOR

    @classmethod
    def of_helpfulness(cls, helpfulness: Tensor) -> Tensor:
        return cls.HELPFULNESS * (torch.nan_to_num(helpfulness, nan=cls.TYPICAL_HELPFULNESS) - cls.TYPICAL_HELPFULNESS)

    def forward(self, popularity: Tensor, sentiment: Tensor) -> Tensor:
        """Both of one shape, which is also that of the term. `of_helpfulness` stands apart, as nothing in training has any."""
        of_popularity, of_sentiment = self.weights()
        term = of_popularity * torch.nan_to_num(popularity).clamp(min=0).log1p()
        if not self.reviews:
            return term
        return term + of_sentiment * (torch.nan_to_num(sentiment, nan=self.TYPICAL_SENTIMENT) - self.TYPICAL_SENTIMENT)


class Network(nn.Module):
    def __init__(self, sizes: Sizes, sentiment: bool = True) -> None:
        super().__init__()
        self.sizes = sizes
        self.items = nn.Embedding(sizes.items + 1, sizes.width)
        self.companions = nn.Embedding(sizes.items + 1, sizes.width)
        self.recency = nn.Parameter(RECENCY * torch.arange(LONGEST, dtype=torch.float32))
        self.turned = nn.Linear(sizes.width, sizes.width, bias=False)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(sizes.width)
        self.dropout = nn.Dropout(sizes.dropout)
        self.features = Features(sentiment)
        nn.init.normal_(self.items.weight, std=0.05)
        nn.init.normal_(self.companions.weight, std=0.05)
        nn.init.eye_(self.turned.weight)

    @torch.no_grad()
    def start(self, vectors: Tensor, sign: Tensor) -> None:
        """Takes over what warm.vectors gives."""
        self.companions.weight.copy_(vectors)
        self.turned.weight.copy_(WARM_SCALE * torch.diag(sign))
        self.items.weight.add_(WARM_ITEMS * vectors)

    def queries(self, history: Tensor, newest: bool = False) -> Tensor:
        """history: int64 [users, items]. What each prefix of it asks for, or the whole alone: [users, items or 1, 2 * width]."""
        asking = slice(-1, None) if newest else slice(None)
        length = history.shape[1]
        known = history != 0
        mask = known.to(torch.float32)
        back = torch.arange(length).unsqueeze(1) - torch.arange(length)
        causal = back >= 0
        bias = torch.where(causal & known[:, None, None, :], 0.0, -1e4)
        back = back.clamp(min=0)
        x = self.dropout(self.items(history) * self.sizes.width**0.5)
        for block in self.blocks:
            x = block(x, back, bias, asking if block is self.blocks[-1] else slice(None))
        weight = torch.where(causal, self.recency[back].exp(), 0.0)[asking]
        companions = self.dropout(self.companions(history)) * mask.unsqueeze(-1)
        pooled = self.turned(weight @ companions)
        some = (mask.cumsum(1)[:, asking] > 0).to(torch.float32).unsqueeze(-1)
        return torch.cat([self.norm(x), pooled], -1) * some

    def vectors(self, candidates: Tensor) -> Tensor:
        """What meets a query: [..., 2 * width]."""
        return torch.cat([self.items(candidates), self.companions(candidates)], -1)
