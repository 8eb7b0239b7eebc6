"""Fits the temperature on the validation split, for export.py to fold into the weights.

    python calibrate.py --data DATA --model models/zoo/sentiment/1/model.onnx

The model must have been exported with temperature 1. Each data set weighs the same, and so do the
two classes within each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import data
from serving import Floats, Served


def loss(temperature: float, margins: list[Floats]) -> float:
    """Mean log loss. `margins`: per data set and class, the true logit minus the other one."""
    return float(np.mean([np.logaddexp(0, -margin / temperature).mean() for margin in margins]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds imdb/, sst2/ and womens/")
    parser.add_argument("--model", type=Path, required=True, help="model.onnx, with its tokenizer.json beside it")
    parser.add_argument("--every", type=int, default=2, help="use every n-th row of IMDb")
    options = parser.parse_args()
    model = Served(options.model, options.model.parent / "tokenizer.json")
    margins: list[Floats] = []
    for reader in (data.sst2, data.imdb, data.womens):
        examples = reader(options.data, "validation")
        examples = examples[:: options.every] if reader is data.imdb else examples
        probabilities, _ = model.answers([example.text for example in examples])
        labels = np.array([example.sentiment for example in examples])
        clipped = probabilities.clip(1e-12, 1)
        margin = np.log(clipped[:, 1]) - np.log(clipped[:, 0])
        margins += [margin[labels == 1], -margin[labels == 0]]
    grid = np.exp(np.linspace(np.log(0.5), np.log(4.0), 200))
    best = min(grid, key=lambda temperature: loss(temperature, margins))
    print(f"temperature {best:.3f}: log loss {loss(1.0, margins):.4f} -> {loss(best, margins):.4f}")


if __name__ == "__main__":
    main()
