"""The figures of the model card: several runs with the review features and as many without, beside the baselines.

    python seeds.py --data DATA --baselines RUN/baselines.json --out RUN

Leaves RUN/seed-N.safetensors, of the runs with the features, and RUN/figures.json, and prints them as a table. Settings were
chosen on the validation split; this looks at the reported one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

import data
import moments
import ranking
import train
import warm
from network import Network, Sizes


def moved(network: Network, task: data.Task, known: moments.Known) -> dict[str, float]:
    """What happens to the item that stands first when what people think of it falls: its place, and how often it leaves the ten."""
    before = train.scores(network, task, known)
    before[task.fitted.user, task.fitted.item] = before[:, 0] = -np.inf
    first = before.argmax(1)
    fall = 0.8 * network.features.weights()[1].item()
    places = (before > before[np.arange(task.users), first][:, None] - fall).sum(1)
    return {"place": float(np.median(places)), "left_ten": float((places > ranking.TOP).mean())}


def spread(runs: list[dict[str, float]]) -> dict[str, Any]:
    """The mean, and the standard deviation of single runs."""
    return {name: [float(np.mean([run[name] for run in runs])), float(np.std([run[name] for run in runs], ddof=1))] for name in runs[0]}


def line(name: str, hr: str, ndcg: str) -> str:
    return f"| {name} | {hr} | {ndcg} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of ratings.csv.xz")
    parser.add_argument("--baselines", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()

    torch.set_num_threads(2)
    options.out.mkdir(parents=True, exist_ok=True)
    events, films = data.read(options.data)
    task = data.task(events, len(films), "reported")
    known = moments.at(task.fitted, task.asked.time, task.items)
    start = warm.vectors(task.fitted, task.items, Sizes(len(films)).width)
    runs: dict[str, list[dict[str, float]]] = {"with": [], "without": [], "falls": []}
    for seed in range(1, options.seeds + 1):
        for kind in ("with", "without"):
            network = train.train(task, Sizes(len(films)), start, train.EPOCHS, seed, sentiment=kind == "with")
            runs[kind].append(ranking.figures(ranking.ranks(train.scores(network, task, known), task)))
            print(kind, seed, runs[kind][-1], flush=True)
            if kind == "with":
                runs["falls"].append(moved(network, task, known) | {"weight": network.features.weights()[1].item()})
                save_file(network.state_dict(), str(options.out / f"seed-{seed}.safetensors"))
    together = {kind: spread(found) for kind, found in runs.items()}
    found = {"baselines": json.loads(options.baselines.read_text()), "runs": runs, "mean_and_spread": together}
    (options.out / "figures.json").write_text(json.dumps(found, indent=1) + "\n")
    for baseline in found["baselines"]:
        print(line(baseline["name"], *(f"{baseline['reported'][name]:.4f}" for name in ("hr", "ndcg"))))
    for kind in ("without", "with"):
        mean = together[kind]
        print(line(f"this model, {kind} sentiment", *(f"{mean[name][0]:.4f} ± {mean[name][1]:.4f}" for name in ("hr", "ndcg"))))
    print(together["falls"])


if __name__ == "__main__":
    main()
