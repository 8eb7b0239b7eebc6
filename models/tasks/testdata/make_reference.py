"""Answers of the reference implementations, for the tests of labels, pooling and vector types.

    python make_reference.py > reference.json

Needs PyPI's sentence-transformers (6.2) and transformers (5). The numbers that go in are random, from a fixed seed.
"""

import json
import sys

import numpy as np
import torch
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from sentence_transformers.util import quantize_embeddings
from transformers.pipelines.text_classification import sigmoid, softmax

random = np.random.default_rng(11)


def numbers(array):
    """The shortest decimals that read back as the same 32 bits."""
    return [float(str(v)) for v in np.asarray(array, dtype=np.float32).ravel()]


def labels():
    """Probabilities as the text-classification pipeline computes them, and its order of them (top_k=None)."""
    cases = []
    drawn = [random.normal(0, spread, n).round(3) for spread, n in ((1, 2), (4, 7), (30, 28))]
    for logits in ([0.0, 0.0, 0.0], [1.5, -2.25, 3.0, 2.75], *drawn):
        logits = np.asarray(logits, dtype=np.float32)
        one, several = softmax(logits.astype(np.float64)), sigmoid(logits.astype(np.float64))
        cases.append(
            {
                "logits": numbers(logits),
                "softmax": one.tolist(),
                "sigmoid": several.tolist(),
                "order": sorted(range(len(logits)), key=lambda i: float(logits[i]), reverse=True),
            }
        )
    return cases


MODES = [
    "cls",
    "max",
    "mean",
    "mean_sqrt_len_tokens",
    "weightedmean",
    "lasttoken",
    ["cls", "mean"],
    ["mean", "max", "lasttoken"],
]


def pooled(mode, values, tokens, prompt):
    """In float64, so that what is compared is the other side's rounding."""
    module = Pooling(values.shape[1], mode, include_prompt=prompt == 0)
    mask = (torch.arange(values.shape[0]) < tokens).long()
    features = {"token_embeddings": torch.tensor(values, dtype=torch.float64)[None], "attention_mask": mask[None]}
    if prompt:
        features["prompt_length"] = prompt
    return module(features)["sentence_embedding"]


def pooling():
    cases = []
    for tokens, padded, width, prompt in ((1, 1, 3, 0), (4, 7, 5, 0), (6, 6, 18, 0), (7, 9, 5, 3), (40, 41, 33, 0)):
        values = random.normal(0.1, 2, (padded, width)).astype(np.float32)
        expect = []
        for mode in MODES:
            vector = pooled(mode, values, tokens, prompt)
            unit = Normalize()({"sentence_embedding": vector.clone()})["sentence_embedding"]
            half = vector.shape[1] // 2 + 1
            short = torch.nn.functional.normalize(vector[:, :half], p=2, dim=1)
            expect.append(
                {
                    "pooling": mode,
                    "vector": numbers(vector),
                    "normalized": numbers(unit),
                    "dimension": half,
                    "shortened": numbers(short),
                    "binary": quantize_embeddings(vector.numpy(), "binary")[0].tolist(),
                    "ubinary": quantize_embeddings(vector.numpy(), "ubinary")[0].tolist(),
                    "int8": int8(vector[0].float()),
                }
            )
        cases.append({"values": numbers(values), "width": width, "tokens": tokens, "prompt": prompt, "expect": expect})
    return cases


def int8(vector):
    """Symmetric, with a scale for each vector."""
    scale = float(vector.abs().max()) / 127
    return torch.quantize_per_tensor(vector, scale, 0, torch.qint8).int_repr().tolist()


json.dump({"labels": labels(), "pooling": pooling()}, sys.stdout, separators=(",", ":"))
print()
