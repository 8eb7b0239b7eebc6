"""Fits the table of token runs to labels and to what the teachers told of parts of texts.

    python gpu/table.py --packed PACKED --told OUT/told.npz --out RUN/wide.safetensors

As `wide.py`, with targets between 0 and 1: whole texts have their label and what the teachers think of their end, parts and
phrases what the teachers think.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy import sparse
from scipy.optimize import minimize

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import corpus as texts
import metrics
import ngrams
import pack
from corpus import Corpus, Windows
from features import TEXT_TOKENS
from scorer import to_table

Singles = NDArray[np.float32]

# What a row weighs: a whole text of each source, and a part of one.
WHOLE = {texts.SST2: 1.0, texts.IMDB: 1.0, texts.WOMENS: 0.5, texts.GOODS: 1.2}
PART = {texts.SST2: 0.0, texts.IMDB: 0.08, texts.WOMENS: 0.1, texts.GOODS: 0.25}
LABEL_SHARE = 0.5
STRENGTH, STEPS, SMOOTHING, CUT = 1e-4, 40, 1.0, 2e-4


def presence(corpus: Corpus, windows: Windows) -> sparse.csr_matrix:
    """[windows, keys]: ones where a window, between [CLS] and [SEP], holds a run. The keys are those of `ngrams.keys`."""
    width = windows.length + 2
    ends = np.cumsum(width)
    ids = np.empty(ends[-1], dtype=np.int64)
    row = np.repeat(np.arange(len(windows)), width)
    place = np.arange(ends[-1]) - np.repeat(ends - width, width)
    at = np.repeat(windows.start, width) + place - 1
    ids[:] = corpus.tokens[np.clip(at, 0, len(corpus.tokens) - 1)]
    ids[place == 0] = texts.CLS
    ids[ends - 1] = texts.SEP

    def after(steps: int) -> NDArray[np.int64]:
        moved = np.zeros_like(ids)
        moved[:-steps] = np.where(row[steps:] == row[:-steps], ids[steps:], 0)
        return moved

    second, third = after(1), after(2)
    pairs = ngrams.VOCABULARY + (ids * ngrams.SECOND + second) % ngrams.BUCKETS
    triples = ngrams.VOCABULARY + (ids * ngrams.THIRD + second * ngrams.SECOND + third) % ngrams.BUCKETS
    everything = np.concatenate([ids, pairs[second > 0], triples[third > 0]])
    rows = np.concatenate([row, row[second > 0], row[third > 0]])
    ones = np.ones(len(rows), dtype=np.float32)
    found = sparse.csr_matrix((ones, (rows.astype(np.int32), everything.astype(np.int32))), shape=(len(windows), ngrams.KEYS))
    found.sum_duplicates()
    found.data[:] = 1
    return found


def whole(corpus: Corpus, items: NDArray) -> Windows:
    """Title and text, the last tokens of it, as the tokenizer leaves them."""
    start = np.maximum(corpus.title_at[items], corpus.end[items] - (TEXT_TOKENS - 2))
    return Windows(start, corpus.end[items] - start, np.full(len(items), texts.SERVED), items)


def training(corpus: Corpus, told: dict[str, NDArray], phrases: float) -> tuple[Windows, Singles, Singles]:
    """Rows, their targets and their weights, classes even within each source's whole texts."""
    pool = Windows(*(told[name].astype(np.int64) for name in ("start", "length", "kind", "item")))
    thought = 1 / (1 + np.exp(-told["odds"].astype(np.float32).mean(1)))
    of_item = np.full(len(corpus.end), np.nan, dtype=np.float32)
    full = np.isin(pool.kind, (texts.SERVED, texts.PHRASE))
    of_item[pool.item[full]] = thought[full]
    rows, targets, weights = [], [], []
    for source, weight in (WHOLE | {texts.SST2: phrases}).items():
        items = corpus.items(source)
        label = corpus.label[items]
        target = np.where(label < 0, of_item[items], LABEL_SHARE * label + (1 - LABEL_SHARE) * of_item[items])
        counts = np.bincount(label[label >= 0], minlength=2)
        even = counts.sum() / (2 * counts) if source != texts.GOODS else np.ones(2)
        rows.append(whole(corpus, items))
        targets.append(target)
        weights.append(weight * np.where(label < 0, 1, even[label]))
    source = corpus.source[pool.item]
    seen = np.isin(pool.kind, (texts.SENTENCES, texts.TITLE))
    parts = pool.of(seen)
    rows.append(parts)
    targets.append(thought[seen])
    weights.append(np.array([PART[number] for number in range(4)])[source[seen]])
    return Windows.joined(rows), np.concatenate(targets).astype(np.float32), np.concatenate(weights).astype(np.float32)


def fitted(x: sparse.csr_matrix, target: Singles, weights: Singles) -> tuple[NDArray[np.float64], float]:
    """As `wide.fitted`, for targets between 0 and 1."""
    shares = []
    for side in (target, 1 - target):
        counts = x.T @ (weights * side) + SMOOTHING
        shares.append(counts / counts.sum())
    ratio = np.log(shares[0] / shares[1]).astype(np.float32)
    used, columns = np.unique(x.indices, return_inverse=True)
    scaled = sparse.csr_matrix((ratio[x.indices], columns.astype(np.int32), x.indptr), shape=(x.shape[0], len(used)))
    transposed = scaled.T.tocsr()
    weights = weights / weights.sum()
    steps = 0

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal steps
        steps += 1
        slopes = point[:-1].astype(np.float32)
        margin = scaled @ slopes + np.float32(point[-1])
        push = weights * (1 / (1 + np.exp(-np.clip(margin, -30, 30))) - target)
        value = weights @ (np.logaddexp(0, margin) - target * margin) + STRENGTH / 2 * (slopes @ slopes)
        print(f"  {steps} {value:.5f}", flush=True)
        return float(value), np.append(transposed @ push + STRENGTH * slopes, push.sum()).astype(np.float64)

    options = {"maxiter": STEPS, "maxcor": 5}
    best = minimize(loss, np.zeros(len(used) + 1), jac=True, method="L-BFGS-B", options=options).x
    table = np.zeros(x.shape[1])
    table[used] = best[:-1] * ratio[used]
    return table, float(best[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--told", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--phrases", type=float, default=WHOLE[texts.SST2], help="what one of SST-2 weighs")
    options = parser.parse_args()
    corpus = Corpus(pack.load((options.packed / "part0").read_bytes()), torch.device("cpu"))
    with np.load(options.told) as file:
        told = {name: file[name] for name in file.files}
    windows, target, weights = training(corpus, told, options.phrases)
    x = presence(corpus, windows)
    print(f"{x.shape[0]} rows, {x.nnz / 1e6:.1f}M runs", flush=True)
    table, offset = fitted(x, target, weights)
    in_use = np.abs(table[table != 0])
    levels, scale = to_table(torch.tensor(table), float(np.quantile(in_use, 1 - CUT)))
    kept = {"": levels, "_scale": scale, "_offset": torch.tensor(offset, dtype=torch.float32)}
    save_file({f"wide.sentiment{name}": values for name, values in kept.items()}, str(options.out))

    rounded = levels.numpy().astype(np.float64) * float(scale)
    for source, name in enumerate(pack.SOURCES):
        items = corpus.items(source, texts.VALIDATION)
        items = items[corpus.label[items] >= 0]
        right = corpus.label[items]
        odds = presence(corpus, whole(corpus, items)) @ rounded + offset
        both = metrics.two_sided(odds)
        print(
            f"{name:<8} n {len(right):<5} accuracy {metrics.accuracy(both, right):.4f}  balanced "
            f"{metrics.balanced_accuracy(both, right):.4f}  area {metrics.area_under_curve(odds, right):.4f}  "
            f"ECE {metrics.calibration_error(both, right):.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
