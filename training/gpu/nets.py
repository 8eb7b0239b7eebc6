"""The teacher, and the students as they are trained: in bf16 on a GPU, with early exits and as int8 will round them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoder import EncoderConfig, Layer, Model

DROPOUT = 0.1
BUCKETS, FURTHEST = 32, 128
EXITS = (2, 3, 4)
SMALL_WIDTH, SMALL_WORDS, SMALL_LAYERS = 128, 48, 2


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    return functional.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    return functional.layer_norm(x, layer.normalized_shape, layer.weight.to(x.dtype), layer.bias.to(x.dtype), layer.eps)


class TeacherLayer(nn.Module):
    def __init__(self, hidden: int, inner: int, eps: float) -> None:
        super().__init__()
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.attention_norm = nn.LayerNorm(hidden, eps)
        self.up = nn.Linear(hidden, inner)
        self.down = nn.Linear(inner, hidden)
        self.output_norm = nn.LayerNorm(hidden, eps)

    def forward(self, x: Tensor, bias: Tensor, heads: int) -> Tensor:
        rows, tokens, hidden = x.shape
        query, key, value = linear(x, self.qkv).view(rows, tokens, 3, heads, hidden // heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=DROPOUT * self.training)
        mixed = linear(mixed.transpose(1, 2).reshape(rows, tokens, hidden), self.out)
        x = norm(x + functional.dropout(mixed, DROPOUT, self.training), self.attention_norm)
        inner = linear(functional.gelu(linear(x, self.up)), self.down)
        return norm(x + functional.dropout(inner, DROPOUT, self.training), self.output_norm)


class Teacher(nn.Module):
    """MPNet, whose heads share a learned bias for each distance. BERT's ids in, mean pooling, two logits out."""

    def __init__(self, layers: int = 12, hidden: int = 768, inner: int = 3072, heads: int = 12, eps: float = 1e-5) -> None:
        super().__init__()
        self.words = nn.Embedding(30527, hidden)
        self.positions = nn.Embedding(514, hidden)
        self.embedding_norm = nn.LayerNorm(hidden, eps)
        self.distances = nn.Embedding(BUCKETS, heads)
        self.layers = nn.ModuleList(TeacherLayer(hidden, inner, eps) for _ in range(layers))
        self.sentiment = nn.Linear(hidden, 2)
        self.heads = heads
        nn.init.normal_(self.sentiment.weight, std=0.02)
        nn.init.zeros_(self.sentiment.bias)

    def read(self, packed: dict[str, NDArray]) -> None:
        """Takes the published weights, as `pack.load` gives them."""

        def two(source: str, kind: str) -> Tensor:
            return torch.tensor(np.array(packed[f"teacher.{source}.{kind}"]))

        def put(target: nn.Module, *sources: str) -> None:
            with torch.no_grad():
                for kind in ("weight", "bias"):
                    if getattr(target, kind, None) is not None:
                        getattr(target, kind).copy_(torch.cat([two(source, kind) for source in sources]))

        put(self.words, "embeddings.word_embeddings")
        put(self.positions, "embeddings.position_embeddings")
        put(self.embedding_norm, "embeddings.LayerNorm")
        put(self.distances, "encoder.relative_attention_bias")
        for index, layer in enumerate(self.layers):
            at = f"encoder.layer.{index}."
            put(layer.qkv, *(f"{at}attention.attn.{name}" for name in "qkv"))
            put(layer.out, f"{at}attention.attn.o")
            put(layer.attention_norm, f"{at}attention.LayerNorm")
            put(layer.up, f"{at}intermediate.dense")
            put(layer.down, f"{at}output.dense")
            put(layer.output_norm, f"{at}output.LayerNorm")

    def bias(self, mask: Tensor, dtype: torch.dtype) -> Tensor:
        """[rows, heads, tokens, tokens]"""
        place = torch.arange(mask.shape[1], device=mask.device)
        distance = place[:, None] - place[None]
        near = BUCKETS // 4
        far = near + (distance.abs().clamp(min=1).float() / near).log() / math.log(FURTHEST / near) * (BUCKETS // 2 - near)
        bucket = torch.where(distance.abs() < near, distance.abs(), far.long().clamp(max=BUCKETS // 2 - 1))
        bucket = bucket + BUCKETS // 2 * (distance < 0)
        shared = self.distances.weight.detach().to(dtype)[bucket].permute(2, 0, 1)[None]
        return (shared + (~mask)[:, None, None, :] * torch.tensor(-1e4, dtype=dtype, device=mask.device)).contiguous()

    def forward(self, ids: Tensor, mask: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Logits [rows, 2] and pooled vectors, in float."""
        ids = torch.where(ids == 101, 0, torch.where(ids == 102, 2, torch.where(ids == 0, 1, ids + 4)))
        x = self.words(ids) + self.positions.weight[2 : ids.shape[1] + 2]
        x = functional.dropout(norm(x.to(dtype), self.embedding_norm), DROPOUT, self.training)
        bias = self.bias(mask, dtype)
        for layer in self.layers:
            x = layer(x, bias, self.heads)
        pooled = pool(x, mask)
        return self.sentiment(pooled), pooled


def pool(x: Tensor, mask: Tensor) -> Tensor:
    share = mask / mask.sum(1, keepdim=True)
    return torch.einsum("rth,rt->rh", x.float(), share.float())


def rounded_weight(weight: Tensor) -> Tensor:
    """As 7 bits with a scale for each output; the gradient passes through."""
    scale = weight.detach().abs().amax(1, keepdim=True).clamp(min=1e-8) / 64
    return weight + ((weight / scale).round().clamp(-64, 63) * scale - weight).detach()


def rounded_input(x: Tensor, mask: Tensor) -> Tensor:
    """As 8 bits with one scale for each text; the gradient passes through."""
    seen = (x.detach() * mask[..., None]).float()
    low, high = seen.amin((1, 2), keepdim=True).clamp(max=0), seen.amax((1, 2), keepdim=True).clamp(min=0)
    scale = ((high - low) / 255).clamp(min=1e-8)
    zero = (-low / scale).round()
    level = (x.detach().float() / scale).round() + zero
    return x + ((level.clamp(0, 255) - zero) * scale - x.detach().float()).to(x.dtype).detach()


class Rounding:
    """How a layer multiplies: as it is, or as int8 will."""

    def __init__(self, mask: Tensor, on: bool) -> None:
        self.mask, self.on = mask, on

    def __call__(self, x: Tensor, layer: nn.Linear) -> Tensor:
        if not self.on:
            return linear(x, layer)
        return functional.linear(rounded_input(x, self.mask), rounded_weight(layer.weight).to(x.dtype), layer.bias.to(x.dtype))


def run_layer(layer: Layer, x: Tensor, bias: Tensor, product: Callable[[Tensor, nn.Linear], Tensor]) -> Tensor:
    """Layer.forward, with the products given and fused attention."""
    rows, tokens, hidden = x.shape
    query, key, value = product(x, layer.qkv).view(rows, tokens, 3, layer.heads, layer.head_size).permute(2, 0, 3, 1, 4)
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    x = norm(x + product(mixed.transpose(1, 2).reshape(rows, tokens, hidden), layer.attention_out), layer.attention_norm)
    return norm(x + product(functional.gelu(product(x, layer.up)), layer.down), layer.output_norm)


def masked(mask: Tensor, dtype: torch.dtype) -> Tensor:
    rows, tokens = mask.shape
    off = torch.zeros(rows, 1, 1, tokens, dtype=dtype, device=mask.device).masked_fill(~mask[:, None, None], -1e4)
    return off.expand(rows, 1, tokens, tokens)


class Student(nn.Module):
    """The model that ships, with heads after some layers and one that guesses what the teachers saw."""

    def __init__(self, config: EncoderConfig, hints: int) -> None:
        super().__init__()
        self.model = Model(config)
        nn.init.normal_(self.model.sentiment.weight, std=0.02)
        nn.init.zeros_(self.model.sentiment.bias)
        self.exits = nn.ModuleDict({str(depth): nn.Linear(config.hidden_size, 2) for depth in EXITS})
        self.hint = nn.Linear(config.hidden_size, hints)

    def read(self, packed: dict[str, NDArray]) -> None:
        state = {name[8:]: torch.tensor(np.array(values)) for name, values in packed.items() if name.startswith("student.")}
        missing, unexpected = self.model.load_state_dict(state, strict=False)
        if unexpected or any(name.startswith(("words", "layers")) for name in missing):
            raise ValueError(f"missing {missing}, unexpected {unexpected}")

    def forward(self, ids: Tensor, mask: Tensor, dtype: torch.dtype, rounding: bool) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Log odds [rows] in the end and after some layers, and the guess [rows, hints]."""
        model, product = self.model, Rounding(mask, rounding)
        x = norm((model.words(ids) + model.positions.weight[: ids.shape[1]]).to(dtype), model.embedding_norm)
        bias, exits = masked(mask, dtype), {}
        for depth, layer in enumerate(model.layers, 1):
            x = run_layer(layer, x, bias, product)
            if str(depth) in self.exits:
                exits[str(depth)] = odds(self.exits[str(depth)](pool(x, mask)))
        pooled = pool(x, mask)
        return odds(model.sentiment(pooled)), exits, self.hint(pooled)


def odds(logits: Tensor) -> Tensor:
    return logits[:, 1] - logits[:, 0]


class Small(nn.Module):
    """Two narrow layers, for a stage before the model: about a twenty-fifth of its work."""

    def __init__(self, words: Tensor) -> None:
        """words: [vocabulary, hidden] of the model, whose main directions the small one starts from."""
        super().__init__()
        config = EncoderConfig(len(words), SMALL_WIDTH, SMALL_LAYERS, 4, 4 * SMALL_WIDTH, 512, 1e-12)
        self.words = nn.Embedding(len(words), SMALL_WORDS)
        self.widen = nn.Linear(SMALL_WORDS, SMALL_WIDTH)
        self.positions = nn.Embedding(config.max_position_embeddings, SMALL_WIDTH)
        self.embedding_norm = nn.LayerNorm(SMALL_WIDTH, config.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(SMALL_LAYERS))
        self.sentiment = nn.Linear(SMALL_WIDTH, 2)
        nn.init.normal_(self.positions.weight, std=0.02)
        with torch.no_grad():
            centred = words.double() - words.double().mean(0)
            main = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -SMALL_WORDS:]
            found = centred @ main
            self.words.weight.copy_((found / found.std()).float())

    def forward(self, ids: Tensor, mask: Tensor, dtype: torch.dtype, rounding: bool) -> Tensor:
        product = Rounding(mask, rounding)
        x = linear(self.words(ids).to(dtype), self.widen) + self.positions.weight[: ids.shape[1]].to(dtype)
        x, bias = norm(x, self.embedding_norm), masked(mask, dtype)
        for layer in self.layers:
            x = run_layer(layer, x, bias, product)
        return odds(self.sentiment(pool(x, mask)))


def config_of_student() -> EncoderConfig:
    return EncoderConfig(30522, 384, 6, 12, 1536, 512, 1e-12)


def load_parts(folder: Path) -> bytes:
    """The files of `pack.py`, one after the other."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("part*")))
