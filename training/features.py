"""What the encoder makes of texts: one pass over many of them, in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from encoder import EncoderConfig, Model
from scorer import Scorer
from tokens import Encoder, padded

Floats = NDArray[np.float64]

# Of a text: what the tokenizer leaves for the table, and what of that the encoder reads.
TEXT_TOKENS = 1024
WINDOW_TOKENS = 384
BATCH_TOKENS = 4096


def scorer(base: Path, checkpoint: Path, *parts: Path) -> Scorer:
    """The encoder of a checkpoint, with what wide.py, helpfulness.py and blend.py have written."""
    model = Model(EncoderConfig.read(base))
    model.load_state_dict(load_file(str(checkpoint)))
    found = Scorer(model, WINDOW_TOKENS)
    for part in parts:
        unknown = found.load_state_dict(load_file(str(part)), strict=False).unexpected_keys
        if unknown:
            raise ValueError(f"{part}: {unknown} are no part of a scorer: want a file of wide.py, helpfulness.py or blend.py")
    return found.eval()


@torch.no_grad()
def deep_odds(model: Scorer, encoder: Encoder, texts: list[str]) -> Floats:
    """[texts]: the encoder's log odds of a positive text."""
    ids = [encoder.truncated(one, TEXT_TOKENS, "Left") for one in encoder.ids(texts)]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    odds = np.empty(len(ids))
    while order:
        rows = max(1, BATCH_TOKENS // min(WINDOW_TOKENS, len(ids[order[0]])))
        chosen, order = order[:rows], order[rows:]
        odds[chosen] = model.deep(*padded([ids[i] for i in chosen])).numpy()
    return odds
