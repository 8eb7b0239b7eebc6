"""Averages the weights of checkpoints that come from one run, or from runs that went on from each other.

    python average.py --of RUN/average.safetensors RUN2/average.safetensors --shares 0.3 0.7 --out RUN2/mixed.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", type=Path, nargs="+", required=True)
    parser.add_argument("--shares", type=float, nargs="+", required=True, help="one for each, summing to 1")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if len(options.shares) != len(options.of) or abs(sum(options.shares) - 1) > 1e-6:
        parser.error(f"--shares {options.shares}: want {len(options.of)} numbers that sum to 1")
    checkpoints = [load_file(str(path)) for path in options.of]
    mixed = {
        name: torch.stack([share * checkpoint[name] for share, checkpoint in zip(options.shares, checkpoints)]).sum(0)
        for name in checkpoints[0]
    }
    save_file(mixed, str(options.out))


if __name__ == "__main__":
    main()
