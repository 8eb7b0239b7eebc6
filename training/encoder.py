"""The model: a BERT encoder in plain torch, a mean pooling, and two linear heads.

The module names do not follow any library; `load_base` maps the names of the published
all-MiniLM-L6-v2 weights onto them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

# Centres the length feature: a product review has about e^4 tokens.
TYPICAL_LOG_TOKENS = 4.0


@dataclass(frozen=True)
class EncoderConfig:
    """The sizes of a BERT encoder, as its `config.json` states them."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    layer_norm_eps: float

    @classmethod
    def read(cls, folder: Path) -> EncoderConfig:
        raw = json.loads((folder / "config.json").read_text())
        return cls(**{name: raw[name] for name in cls.__dataclass_fields__})


class Layer(nn.Module):
    """One post-norm transformer block. The three projections of attention are one matrix."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.heads = config.num_attention_heads
        self.head_size = hidden // self.heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.attention_out = nn.Linear(hidden, hidden)
        self.attention_norm = nn.LayerNorm(hidden, config.layer_norm_eps)
        self.up = nn.Linear(hidden, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, hidden)
        self.output_norm = nn.LayerNorm(hidden, config.layer_norm_eps)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x: [batch, tokens, hidden]; bias, added to the attention scores: [batch, 1, 1, tokens]."""
        batch, tokens, hidden = x.shape
        split = self.qkv(x).view(batch, tokens, 3, self.heads, self.head_size).permute(2, 0, 3, 1, 4)
        query, key, value = split[0], split[1], split[2]
        scores = query @ key.transpose(-1, -2) * self.head_size**-0.5 + bias
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, tokens, hidden)
        x = self.attention_norm(x + self.attention_out(mixed))
        return self.output_norm(x + self.down(functional.gelu(self.up(x))))


class Model(nn.Module):
    """Token ids in, one sentiment vector and one helpfulness score out.

    Token type 0 is assumed throughout, so its embedding is folded into the positions.
    Mean pooling forgets how long a text is and longer reviews are valued more, so the helpfulness
    head also sees the logarithm of the token count. `log_temperature` is fitted after training and
    divides the sentiment logits.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.embedding_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.sentiment = nn.Linear(config.hidden_size, 2)
        self.helpfulness = nn.Linear(config.hidden_size + 1, 1)
        self.register_buffer("log_temperature", torch.zeros(()))

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Both inputs: int64 [batch, tokens]. What the two heads see: [batch, hidden] for sentiment
        and [batch, hidden + 1], with the length, for helpfulness."""
        mask = attention_mask.to(torch.float32)
        x = self.words(input_ids) + self.positions.weight[: input_ids.shape[1]]
        x = self.embedding_norm(x)
        bias = ((1.0 - mask) * -1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, bias)
        tokens = mask.sum(1, keepdim=True)
        pooled = (x * (mask / tokens).unsqueeze(-1)).sum(1)
        return pooled, torch.cat([pooled, tokens.log() - TYPICAL_LOG_TOKENS], 1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Both inputs: int64 [batch, tokens]. Returns logits [batch, 2] and raw scores [batch]."""
        pooled, with_length = self.features(input_ids, attention_mask)
        logits = self.sentiment(pooled) / self.log_temperature.exp()
        return logits, self.helpfulness(with_length).squeeze(-1)


def load_base(folder: Path) -> Model:
    """The published weights under fresh heads. `folder` holds config.json and model.safetensors."""
    model = Model(EncoderConfig.read(folder))
    base = load_file(str(folder / "model.safetensors"))
    embeddings = "embeddings."
    state = {
        "words.weight": base[embeddings + "word_embeddings.weight"],
        "positions.weight": base[embeddings + "position_embeddings.weight"]
        + base[embeddings + "token_type_embeddings.weight"][0],
        "embedding_norm.weight": base[embeddings + "LayerNorm.weight"],
        "embedding_norm.bias": base[embeddings + "LayerNorm.bias"],
    }
    parts = {
        "attention_out": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "output_norm": "output.LayerNorm",
    }
    for index in range(len(model.layers)):
        source = f"encoder.layer.{index}."
        for kind in ("weight", "bias"):
            projections = [base[f"{source}attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            state[f"layers.{index}.qkv.{kind}"] = torch.cat(projections)
            for ours, theirs in parts.items():
                state[f"layers.{index}.{ours}.{kind}"] = base[f"{source}{theirs}.{kind}"]
    missing, unexpected = model.load_state_dict(state, strict=False)
    heads = {"sentiment.weight", "sentiment.bias", "helpfulness.weight", "helpfulness.bias", "log_temperature"}
    if set(missing) != heads or unexpected:
        raise ValueError(f"{folder}: missing {set(missing) - heads}, unexpected {unexpected}")
    nn.init.normal_(model.sentiment.weight, std=0.02)
    nn.init.normal_(model.helpfulness.weight, std=0.02)
    nn.init.zeros_(model.sentiment.bias)
    nn.init.zeros_(model.helpfulness.bias)
    return model
