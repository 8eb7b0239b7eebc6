"""Answers as the service gives them: ONNX Runtime, one text at a time, unpadded."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

Floats = NDArray[np.float64]


class Served:
    """A model.onnx with the tokenizer.json that goes with it."""

    def __init__(self, model: Path, tokenizer: Path, threads: int = 2) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(tokenizer))

    def answers(self, texts: Sequence[str]) -> tuple[Floats, Floats]:
        """Probabilities [texts, 2] of negative and positive, and helpfulness in 0..1, [texts]."""
        logits = np.empty((len(texts), 2))
        raw = np.empty(len(texts))
        for row, text in enumerate(texts):
            ids = np.array([self.tokenizer.encode(text).ids], dtype=np.int64)
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            sentiment, helpfulness = self.session.run(["sentiment", "helpfulness"], feed)
            logits[row], raw[row] = sentiment[0], helpfulness[0]
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True), 1 / (1 + np.exp(-raw))
