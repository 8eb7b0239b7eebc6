"""Makes checkpoints of the files that `teach.py` leaves.

    python gpu/collect.py --of OUT --out RUN

Writes RUN/last.safetensors, as `train.py` would, RUN/exits.safetensors with the heads after single layers, and
RUN/small.safetensors.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    state: dict[str, torch.Tensor] = {}
    for number in range(3):
        with np.load(options.of / f"student{number}-last.npz") as part:
            state |= {name: torch.tensor(part[name].astype(np.float32)) for name in part.files}
    with np.load(options.of / "words-last.npz") as words:
        state["model.words.weight"] = torch.tensor(words["levels"].astype(np.float32) * words["scales"])
    model = {name.removeprefix("model."): values for name, values in state.items() if name.startswith("model.")}
    exits = {name: values for name, values in state.items() if name.startswith("exits.")}
    save_file(model, str(options.out / "last.safetensors"))
    save_file(exits, str(options.out / "exits.safetensors"))
    with np.load(options.of / "small-last.npz") as part:
        small = {name: torch.tensor(part[name].astype(np.float32)) for name in part.files}
    save_file(small, str(options.out / "small.safetensors"))
    print(f"{sum(values.numel() for values in model.values()) / 1e6:.1f}M weights, exits {sorted(exits)}")


if __name__ == "__main__":
    main()
