"""Writes the served folder: the graph, the items' ids, and golden answers; and checks that it answers as it promises.

    python export.py --data DATA --checkpoint RUN/seed-1.safetensors --out models/zoo/recommender/1

The two tables of item vectors are kept in float16, the rest and all arithmetic in float32.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import data
from network import LONGEST, Features, Network, Sizes

OPSET = 17
LARGEST = 3_500_000
CLOSE = 1e-5
INPUTS = ["history", "candidates", "user", "features"]

# The golden questions: films by their MovieLens ids, the newest last; features are popularity, sentiment, helpfulness.
KNOWN = [12.0, 0.8, 0.5]
CASES: list[dict[str, Any]] = [
    {
        "name": "space films ask for space films",
        "history": ["1210", "1196", "260"],
        "candidates": ["2628", "1270", "597", "316"],
        "features": [KNOWN, KNOWN, KNOWN, KNOWN],
    },
    {
        "name": "children's films ask for children's films",
        "history": ["588", "595", "364"],
        "candidates": ["1", "594", "1213", "593"],
        "features": [KNOWN, KNOWN, KNOWN, KNOWN],
    },
    {
        "name": "the same film thrice: as it was, after bad reviews, with helpful ones",
        "history": ["296", "593", "608"],
        "candidates": ["50", "50", "50"],
        "features": [[12.0, 0.9, 0.5], [12.0, 0.1, 0.5], [12.0, 0.9, 1.0]],
    },
    {
        "name": "nothing is known of the user: popularity and sentiment decide",
        "history": [],
        "candidates": ["1", "2", "no-such-film"],
        "features": [[20.0, 0.7, 0.5], [3.0, 0.9, 0.5], [20.0, 0.7, 0.5]],
    },
    {
        "name": "an unknown film among known ones, nothing known of any",
        "history": ["1", "no-such-film", "2"],
        "candidates": ["3", "no-such-film"],
        "features": [[0.0, math.nan, math.nan], [0.0, math.nan, math.nan]],
    },
    {"name": "one candidate", "history": ["318"], "candidates": ["527"], "features": [[7.5, math.nan, 0.9]]},
]


class Scorer(nn.Module):
    """What is served: many users' candidates at once, each scored by itself."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.network.items = Halved(network.items.weight)
        self.network.companions = Halved(network.companions.weight)

    def forward(self, history: Tensor, candidates: Tensor, user: Tensor, features: Tensor) -> Tensor:
        """history: int64 [users, items], left-padded with 0; candidates, user: int64 [candidates]; features: float32
        [candidates, 3]. Returns float32 [candidates]."""
        queries = self.network.queries(history[:, -LONGEST:], newest=True)[:, 0]
        met = (queries.index_select(0, user) * self.network.vectors(candidates)).sum(-1)
        popularity, sentiment, helpfulness = features.unbind(-1)
        return met + self.network.features(popularity, sentiment) + Features.of_helpfulness(helpfulness)


class Halved(nn.Module):
    """A table of float16 whose rows are widened after they are looked up."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().half())

    def forward(self, rows: Tensor) -> Tensor:
        return torch.nn.functional.embedding(rows, self.weight).float()


def write_graph(scorer: Scorer, path: Path) -> None:
    history = torch.tensor([[0, 0, 1, 2], [1, 2, 3, 4], [0, 0, 0, 0]])
    sample = (history, torch.tensor([1, 2, 0, 5, 6]), torch.tensor([0, 0, 1, 1, 2]), torch.rand(5, 3))
    one = {0: "candidates"}
    torch.onnx.export(
        scorer.eval(),
        sample,
        str(path),
        input_names=INPUTS,
        output_names=["score"],
        dynamic_axes={"history": {0: "users", 1: "items"}, "candidates": one, "user": one, "features": one, "score": one},
        opset_version=OPSET,
        dynamo=False,
    )
    graph = onnx.load(str(path))
    for node in graph.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


class Served:
    """The written graph, asked by ids."""

    def __init__(self, path: Path, films: list[str]) -> None:
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.index = {film: place for place, film in enumerate(films, 1)}

    def known(self, history: list[str]) -> list[str]:
        """Without the films that are not listed, which would pass for padding."""
        return [film for film in history if film in self.index]

    def ask(self, cases: list[dict[str, Any]], padding: int = 0) -> list[data.Floats]:
        """All cases in one run, histories padded to the longest and by so much more."""
        longest = max(1, *(len(self.known(case["history"])) for case in cases)) + padding
        history = np.zeros((len(cases), longest), np.int64)
        for row, case in enumerate(cases):
            for place, film in enumerate(reversed(self.known(case["history"])), 1):
                history[row, -place] = self.index[film]
        sizes = [len(case["candidates"]) for case in cases]
        inputs = {
            "history": history,
            "candidates": np.array([self.index.get(film, 0) for case in cases for film in case["candidates"]]),
            "user": np.repeat(np.arange(len(cases)), sizes),
            "features": np.array([row for case in cases for row in case["features"]], np.float32),
        }
        (score,) = self.session.run(["score"], inputs)
        return np.split(score, np.cumsum(sizes)[:-1])


def apart(some: list[data.Floats], others: list[data.Floats]) -> float:
    return max(float(np.abs(one - other).max()) for one, other in zip(some, others, strict=True))


def random_cases(films: list[str], count: int) -> list[dict[str, Any]]:
    """Users with 0 to LONGEST items, each with 1 to 40 candidates; a tenth of all is unknown or not a number."""
    random = np.random.default_rng(5)
    names = np.array(films + ["no-such-film"] * (len(films) // 10))
    cases = []
    for _ in range(count):
        size = int(random.integers(1, 41))
        features = np.stack([random.gamma(1, 20, size), random.random(size), random.random(size)], 1)
        features[:, 1:][random.random((size, 2)) < 0.1] = np.nan
        history = random.choice(names, random.integers(LONGEST + 1)).tolist()
        cases.append({"history": history, "candidates": random.choice(names, size).tolist(), "features": features.tolist()})
    return cases


def check(served: Served, network: Network, films: list[str]) -> None:
    """That neighbours, their order and padding change nothing; that worse reviews and fewer events lower a score; and that the
    graph answers as the network does."""
    cases = random_cases(films, 60)
    alone = [served.ask([case])[0] for case in cases]
    padded = [served.ask([case], padding=max(0, LONGEST - max(1, len(case["history"]))))[0] for case in cases]
    lower = {}
    for name, column, value in (("sentiment", 1, 0.9), ("popularity", 0, 20.0), ("helpfulness", 2, 0.9)):
        high, low = ([dict(case, features=[[*row[:column], given, *row[column + 1 :]] for row in case["features"]]) for case in cases]
                     for given in (value, value / 9))
        lower[name] = min(float((a - b).min()) for a, b in zip(served.ask(high), served.ask(low), strict=True))
    backwards = served.ask(cases[::-1])[::-1]
    differences = {
        "neighbours": apart(alone, served.ask(cases)),
        "order of users": apart(alone, backwards),
        "left padding": apart(alone, padded),
        "network": apart(alone, [asked(network, served, case) for case in cases]),
    }
    for name, difference in differences.items():
        print(f"{name}: off by {difference:.2g}")
        if not difference < CLOSE:
            raise SystemExit(f"{name} change a score by {difference:.2g}, want less than {CLOSE}")
    for name, least in lower.items():
        print(f"{name} nine times lower: the score falls by {least:.3f}")
        if not least > 0:
            raise SystemExit(f"less {name} does not lower a score")


@torch.no_grad()
def asked(network: Network, served: Served, case: dict[str, Any]) -> data.Floats:
    history = torch.tensor([[served.index[film] for film in served.known(case["history"])] or [0]])
    candidates = torch.tensor([served.index.get(film, 0) for film in case["candidates"]])
    popularity, sentiment, helpfulness = torch.tensor(case["features"], dtype=torch.float32).unbind(-1)
    met = network.vectors(candidates) @ network.queries(history)[0, -1]
    return (met + network.features(popularity, sentiment) + Features.of_helpfulness(helpfulness)).numpy()


def write_manifest(served: Served, path: Path) -> None:
    """nearline.yaml: the columns' names, and the golden questions with what the graph answers. What is not a number is left out."""
    names = ["popularity", "sentiment", "helpfulness"]
    lines = [f"inputs: {{features: [{', '.join(names)}]}}", "tolerance: 0.001", "golden:"]
    for case, scores in zip(CASES, served.ask(CASES), strict=True):
        lines += [f"  # {case['name']}", f"  - history: {json.dumps(case['history'])}", "    candidates:"]
        for film, row in zip(case["candidates"], case["features"], strict=True):
            columns = [f"{name}: {value}" for name, value in zip(names, row, strict=True) if not math.isnan(value)]
            lines.append(f"      - {{{', '.join([f'item: {json.dumps(film)}', *columns])}}}")
        lines.append(f"    expect: {{recommender: [{', '.join(str(round(float(score), 6)) for score in scores)}]}}")
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of ratings.csv.xz")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    _, films = data.read(options.data)
    network = Network(Sizes(len(films)))
    network.load_state_dict(load_file(str(options.checkpoint)))
    scorer = Scorer(network.eval())
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "model.onnx"
    write_graph(scorer, path)
    if path.stat().st_size > LARGEST:
        raise SystemExit(f"{path} has {path.stat().st_size} bytes, want at most {LARGEST}")
    (options.out / "items.txt").write_text("\n".join(films) + "\n")
    served = Served(path, films)
    check(served, scorer.network, films)
    write_manifest(served, options.out / "nearline.yaml")
    print((options.out / "nearline.yaml").read_text())


if __name__ == "__main__":
    main()
