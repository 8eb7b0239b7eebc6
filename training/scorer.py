"""What is exported: the encoder, a wide table of token runs beside it, and what blends the two.

The encoder reads a window of a long text, the table all of it. The table knows what runs of words mean on their own and
errs elsewhere than the encoder does, most of all in long reviews.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import ngrams
from encoder import TYPICAL_LOG_TOKENS, Model

# Of a window, how many tokens are the text's first ones ([CLS] is one of them). The others are its last ones.
WINDOW_HEAD = 1


class Wide(nn.Module):
    """Learned weights of token runs, int8 with one scale a table. A run counts once, however often it occurs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sentiment", torch.zeros(ngrams.KEYS, dtype=torch.int8))
        self.register_buffer("sentiment_scale", torch.ones(()))
        self.register_buffer("sentiment_offset", torch.zeros(()))
        self.register_buffer("helpfulness", torch.zeros(ngrams.VOCABULARY, dtype=torch.int8))
        self.register_buffer("helpfulness_scale", torch.ones(()))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Both inputs: int64 [batch, tokens]. Returns the log odds of a positive text, and what the words add to the
        helpfulness: [batch] each. The sums are of integers, hence exact."""
        keys = ngrams.keys(input_ids, attention_mask)
        words = keys * (keys < ngrams.VOCABULARY)
        sentiment = self.sentiment[keys].to(torch.int32).sum(1, dtype=torch.int32)
        helpfulness = self.helpfulness[words].to(torch.int32).sum(1, dtype=torch.int32)
        return (
            sentiment.to(torch.float32) * self.sentiment_scale + self.sentiment_offset,
            helpfulness.to(torch.float32) * self.helpfulness_scale,
        )


def to_table(weights: Tensor, largest: float) -> tuple[Tensor, Tensor]:
    """int8 levels of float weights and their scale. Weights beyond +-largest are cut; where it is 0, so are all."""
    scale = torch.tensor((largest or 1.0) / 127, dtype=torch.float32)
    levels = (weights / scale).round().clamp(-127, 127).to(torch.int8)
    levels[ngrams.NOTHING] = 0
    return levels, scale


def window(input_ids: Tensor, attention_mask: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """The first WINDOW_HEAD and the last of at most `longest` tokens, row by row: ids and mask, int64 [batch, window]."""
    tokens = attention_mask.sum(1, keepdim=True)
    at = torch.ones_like(input_ids[:, :longest]).cumsum(1) - 1
    skipped = (tokens - longest).clamp(min=0)
    at = at + skipped * (at >= WINDOW_HEAD)
    inside = (at < tokens).to(torch.int64)
    # Rows shorter than the batch look at padding here, which the mask takes out.
    return input_ids.gather(1, at) * inside, inside


class Scorer(nn.Module):
    """Token ids in, sentiment logits and a helpfulness score out.

    Helpfulness is of the words and the length alone, as an encoder that has learned the votes of the training reviews tells too
    little of others. `blend` weighs encoder and table, each alone and times the length. It is fitted on texts that neither has seen.
    """

    def __init__(self, model: Model, longest: int) -> None:
        super().__init__()
        self.model = model
        self.wide = Wide()
        self.longest = longest
        self.helpfulness = nn.Linear(1, 1)
        self.register_buffer("blend", torch.tensor([1.0, 0.0, 0.0, 0.0]))

    def deep(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Both inputs: int64 [batch, tokens]. Returns the encoder's log odds of a positive text, [batch]."""
        pooled, _ = self.model.features(*window(input_ids, attention_mask, self.longest))
        logits = self.model.sentiment(pooled)
        return logits[:, 1] - logits[:, 0]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Both inputs: int64 [batch, tokens]. Returns logits [batch, 2] and raw scores [batch]."""
        deep = self.deep(input_ids, attention_mask)
        wide, words = self.wide(input_ids, attention_mask)
        length = attention_mask.sum(1).to(torch.float32).log() - TYPICAL_LOG_TOKENS
        evidence = torch.stack([deep, wide, deep * length, wide * length], 1)
        odds = (evidence * self.blend).sum(1, keepdim=True)
        return torch.cat([-odds, odds], 1) / 2, self.helpfulness(length[:, None]).squeeze(-1) + words
