"""The figures of an exported graph on the reported split, each user asked about all items at once.

    python served.py --data DATA --model models/zoo/recommender/1/model.onnx
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime

import data
import moments
import ranking
import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of ratings.csv.xz")
    parser.add_argument("--model", type=Path, required=True)
    options = parser.parse_args()

    events, films = data.read(options.data)
    task = data.task(events, len(films), "reported")
    known = moments.at(task.fitted, task.asked.time, task.items)
    unknown = np.full_like(known.sentiment, np.nan)
    histories = train.last_items(task).numpy()
    session = onnxruntime.InferenceSession(str(options.model), providers=["CPUExecutionProvider"])
    candidates = np.arange(task.items + 1)
    for name, sentiment in (("all features", known.sentiment), ("sentiment unknown", unknown)):
        scores = np.zeros((task.users, task.items + 1), np.float32)
        for user in range(task.users):
            features = np.stack([known.popularity[user], sentiment[user], unknown[user]], 1)
            inputs = {"history": histories[[user]], "candidates": candidates, "user": np.zeros_like(candidates), "features": features}
            (scores[user],) = session.run(["score"], inputs)
        print(f"{name}: {json.dumps(ranking.figures(ranking.ranks(scores, task)))}")


if __name__ == "__main__":
    main()
