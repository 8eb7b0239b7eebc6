"""Answers as the service gives them: ONNX Runtime, one text at a time, unpadded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

Floats = NDArray[np.float64]


class Served:
    """A model.onnx with the tokenizer.json that goes with it."""

    def __init__(self, model: Path, tokenizer: Path, slots: int = 2) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.slots = slots

    def answers(self, texts: Sequence[str]) -> tuple[Floats, Floats]:
        """Probabilities [texts, 2] of negative and positive, and helpfulness in 0..1, [texts]."""
        with ThreadPoolExecutor(self.slots) as pool:
            rows = list(pool.map(self.answer, texts))
        logits, raw = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True), 1 / (1 + np.exp(-raw))

    def answer(self, text: str) -> tuple[Floats, float]:
        ids = np.array([self.tokenizer.encode(text).ids], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        sentiment, helpfulness = self.session.run(["sentiment", "helpfulness"], feed)
        return sentiment[0].astype(np.float64), float(helpfulness[0])
