"""Figures of an exported model, each text run alone and unpadded, as the service runs it.

    python evaluate.py --data DATA --model models/zoo/sentiment/2/model.onnx --against RUN/float.onnx

`--split validation` is for choosing, with `--every` to look at a part. The reported split is for the model card alone, and so are
`--slices`, which look at parts of the sets and at changed texts, and `--plot`, which draws what probabilities are worth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Sequence

import numpy as np
from numpy.typing import NDArray

import data
import metrics
import slices
from serving import Floats, Served

# Every n-th row of a set, for the figures that need many runs.
CHANGED_ROWS = 300


def report(name: str, examples: list[data.Example], probabilities: Floats, helpfulness: Floats) -> None:
    labels = labels_of(examples)
    line = (
        f"  {name:<20} n {len(examples):<5} accuracy {metrics.accuracy(probabilities, labels):.4f}  "
        f"balanced {metrics.balanced_accuracy(probabilities, labels):.4f}  "
        f"area under the curve {metrics.area_under_curve(probabilities[:, 1], labels):.4f}  "
        f"ECE {metrics.calibration_error(probabilities, labels):.4f}"
    )
    if name.startswith(("womens", "goods")):
        line += f"  {ranking(examples, helpfulness)}"
    print(line, flush=True)


def ranking(examples: list[data.Example], helpfulness: Sequence[float]) -> str:
    """NDCG@10 over products of ten and more reviews, and over those of two and more reviews with ten and more votes."""
    groups = [example.group for example in examples]
    gains = [example.helpful for example in examples]
    length = [float(len(example.text)) for example in examples]
    shown = []
    for reviews, votes in ((metrics.MIN_REVIEWS, 1), (2, 10)):
        value, products = metrics.ndcg(list(helpfulness), groups, gains, reviews, votes)
        longest, _ = metrics.ndcg(length, groups, gains, reviews, votes)
        shown.append(f"NDCG@10 {value:.4f} (longest first {longest:.4f}, {products} products of {reviews}+ reviews, {votes}+ votes)")
    return "  ".join(shown)


def labels_of(examples: list[data.Example]) -> NDArray[np.int64]:
    return np.array([example.sentiment for example in examples])


def report_slices(model: Served, texts: list[str], labels: NDArray[np.int64], probabilities: Floats) -> None:
    right = probabilities.argmax(axis=1) == labels
    for name, holds in slices.TAGS.items():
        chosen = np.array([holds(text) for text in texts])
        if chosen.any():
            print(f"    {name:<28} n {chosen.sum():<5} accuracy {right[chosen].mean():.4f}", flush=True)
    every = max(1, len(texts) // CHANGED_ROWS)
    few = texts[::every]
    print(f"    {'as it is, every ' + str(every):<28} n {len(few):<5} accuracy {right[::every].mean():.4f}")
    for name, change in slices.CHANGES.items():
        changed, _ = model.answers([change(text) for text in few])
        share = (changed.argmax(axis=1) == labels[::every]).mean()
        print(f"    {name:<28} n {len(few):<5} accuracy {share:.4f}", flush=True)


def plot(path: Path, sets: dict[str, tuple[Floats, NDArray[np.int64]]]) -> None:
    """How often a predicted label is right, by the probability it was given; a dot's size is its share of the rows."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(4.6, 4.2), layout="constrained")
    axis.plot([0.5, 1], [0.5, 1], color="0.7", linewidth=1, zorder=0)
    for name, (probabilities, labels) in sets.items():
        points = metrics.reliability(probabilities, labels)
        confidence, accuracy, share = (np.array(column) for column in zip(*points))
        axis.plot(confidence, accuracy, linewidth=1, label=f"{name} (ECE {metrics.calibration_error(probabilities, labels):.3f})")
        axis.scatter(confidence, accuracy, s=4 + 120 * share)
    axis.set(xlabel="probability of the predicted label", ylabel="share that is right", xlim=(0.49, 1.01), ylim=(0.3, 1.02))
    axis.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds imdb/, sst2/, womens/ and goods/")
    parser.add_argument("--model", type=Path, required=True, help="model.onnx, with its tokenizer.json beside it")
    parser.add_argument("--against", type=Path, help="another graph, to count equal labels with")
    parser.add_argument("--split", choices=["validation", "reported"], default="reported")
    parser.add_argument("--sets", default="sst2,womens,womens+title,goods,goods+title,imdb,sanity")
    parser.add_argument("--slots", type=int, default=2, help="how many texts run at once, one thread each")
    parser.add_argument("--every", type=int, default=1, help="use every n-th row of IMDb and SST-2")
    parser.add_argument("--slices", action="store_true")
    parser.add_argument("--plot", type=Path, help="where to draw the calibration")
    options = parser.parse_args()

    tokenizer = options.model.parent / "tokenizer.json"
    models = {path: Served(path, tokenizer, options.slots) for path in (options.model, options.against) if path}
    drawn, ranked, helpful = {}, [], []
    for name in options.sets.split(","):
        examples = data.READERS[name.removesuffix("+title")](options.data, options.split)
        if name in ("imdb", "sst2"):
            examples = examples[:: options.every]
        texts = [data.with_title(example) if name.endswith("+title") else example.text for example in examples]
        found = []
        for path, model in models.items():
            probabilities, helpfulness = model.answers(texts)
            print("as shipped" if path == options.model else "against", flush=True)
            report(name, examples, probabilities, helpfulness)
            found.append(probabilities)
            if name in ("womens+title", "goods+title") and path == options.model:
                ranked += examples
                helpful += list(helpfulness)
        if len(found) == 2:
            print(f"  labels equal: {(found[0].argmax(axis=1) == found[1].argmax(axis=1)).mean():.4f}", flush=True)
        if options.slices:
            report_slices(models[options.model], texts, labels_of(examples), found[0])
        if name not in ("sanity", "womens", "goods"):
            drawn[name] = (found[0], labels_of(examples))
    if ranked:
        print(f"all products  {ranking(ranked, helpful)}")
    if options.plot:
        plot(options.plot, drawn)


if __name__ == "__main__":
    main()
