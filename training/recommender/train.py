"""Trains the scorer on the fitted events of one split, and says how it ranks that split's questions.

    python train.py --data DATA --split validation --out RUN/validation.safetensors

The loss is cross-entropy over the items that the user has not had yet, estimated by NEGATIVES drawn items a batch, each counted
by how likely it was to be drawn. Users with long histories give WINDOWS pieces of them an epoch, so that they do not outweigh
the others, each of whom is one question.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

import data
import moments
import ranking
import warm
from network import LONGEST, Network, Sizes

WINDOWS, BATCH, NEGATIVES = 4, 32, 768
RATE, DECAY, EPOCHS = 2e-3, 0.1, 6
# This share of the items is unknown during a batch, which teaches index 0 what to expect of an item that no one has met.
FORGOTTEN = 0.02
EVENTS_PER_SNAPSHOT = 150


@dataclass(frozen=True)
class Batch:
    """Pieces of histories, left-padded: [windows, LONGEST]. `asked` is the next item of each place, 0 where there is none."""

    user: Tensor
    history: Tensor
    asked: Tensor
    step: Tensor
    """How many items the user had before the asked one."""
    snapshot: Tensor


class Course:
    """The fitted events as batches, and what was known of the items along the way."""

    def __init__(self, task: data.Task, random: np.random.Generator) -> None:
        self.task, self.random = task, random
        self.spans = task.fitted.sequences()
        times = np.unique(np.sort(task.fitted.time)[::EVENTS_PER_SNAPSHOT])
        self.snapshot = np.searchsorted(times, task.fitted.time, side="right") - 1
        known = moments.at(task.fitted, times, task.items)
        self.popularity, self.sentiment = torch.tensor(known.popularity), torch.tensor(known.sentiment)
        self.had_at = torch.full((task.users, task.items + 1), 1 << 30, dtype=torch.int32)
        for user, span in enumerate(self.spans):
            self.had_at[user, task.fitted.item[span]] = torch.arange(span.stop - span.start, dtype=torch.int32)
        often = np.bincount(task.fitted.item, minlength=task.items + 1)[1:] ** 0.75
        self.chance = 0.5 * often / often.sum() + 0.5 / task.items

    def windows(self) -> list[tuple[int, int]]:
        """For one epoch: users, and the row after each one's piece."""
        found = []
        for user, span in enumerate(self.spans):
            offset = self.random.integers(LONGEST)
            ends = [end for end in range(span.stop, span.start + 1, -LONGEST)]
            ends = [min(span.stop, end + int(offset)) if place else end for place, end in enumerate(ends)]
            chosen = self.random.permutation(len(ends))[:WINDOWS]
            found += [(user, ends[place]) for place in chosen]
        return [found[place] for place in self.random.permutation(len(found))]

    def batches(self) -> list[Batch]:
        windows = self.windows()
        return [self.batch(windows[start : start + BATCH]) for start in range(0, len(windows), BATCH)]

    def batch(self, windows: list[tuple[int, int]]) -> Batch:
        history, asked, step, snapshot = (np.zeros((len(windows), LONGEST), np.int64) for _ in range(4))
        for row, (user, end) in enumerate(windows):
            start = max(self.spans[user].start, end - LONGEST - 1)
            size = end - start - 1
            history[row, -size:] = self.task.fitted.item[start : end - 1]
            asked[row, -size:] = self.task.fitted.item[start + 1 : end]
            step[row, -size:] = np.arange(start + 1, end) - self.spans[user].start
            snapshot[row, -size:] = self.snapshot[start + 1 : end]
        return Batch(torch.tensor([user for user, _ in windows]), *map(torch.tensor, (history, asked, step, snapshot)))

    def loss(self, network: Network, batch: Batch) -> Tensor:
        drawn = self.random.choice(self.task.items, NEGATIVES, p=self.chance) + 1
        log_count = torch.tensor(np.log(NEGATIVES * self.chance[drawn - 1]), dtype=torch.float32)
        others = torch.tensor(drawn)
        kept = torch.rand(self.task.items + 1) >= FORGOTTEN
        place = batch.asked != 0
        asked, snapshot = batch.asked[place], batch.snapshot[place]
        queries = network.queries(batch.history * kept[batch.history])[place]
        right = (queries * network.vectors(asked * kept[asked])).sum(-1)
        right = right + network.features(self.popularity[snapshot, asked], self.sentiment[snapshot, asked])
        wrong = queries @ network.vectors(others * kept[others]).T - log_count
        popularity, sentiment = (
            table.index_select(0, moment).index_select(1, others).index_select(0, which)
            for moment, which in [snapshot.unique(return_inverse=True)]
            for table in (self.popularity, self.sentiment)
        )
        wrong = wrong + network.features(popularity, sentiment)
        had = self.had_at.index_select(0, batch.user).index_select(1, others).unsqueeze(1) <= batch.step.unsqueeze(2)
        wrong = wrong.masked_fill(had[place], -1e4)
        return functional.cross_entropy(torch.cat([right.unsqueeze(1), wrong], 1), torch.zeros(len(right), dtype=torch.int64))


def last_items(task: data.Task) -> Tensor:
    """Each user's newest items, left-padded: [users, LONGEST]."""
    history = np.zeros((task.users, LONGEST), np.int64)
    for user, span in enumerate(task.fitted.sequences()):
        newest = task.fitted.item[span][-LONGEST:]
        history[user, -len(newest) :] = newest
    return torch.tensor(history)


@torch.no_grad()
def scores(network: Network, task: data.Task, known: moments.Known) -> data.Floats:
    """[users, items + 1], at the moments of the questions."""
    network.eval()
    queries = network.queries(last_items(task))[:, -1]
    total = queries @ network.vectors(torch.arange(task.items + 1)).T
    total += network.features(torch.tensor(known.popularity), torch.tensor(known.sentiment))
    return total.numpy()


def train(
    task: data.Task, sizes: Sizes, start: tuple[data.Floats, data.Floats], epochs: int, seed: int, sentiment: bool = True, every: int = 0
) -> Network:
    """`start` is what warm.vectors gave; `every` so many epochs the ranking is printed."""
    torch.manual_seed(seed)
    course = Course(task, np.random.default_rng(seed))
    network = Network(sizes, sentiment)
    network.start(*map(torch.tensor, start))
    known = moments.at(task.fitted, task.asked.time, task.items)
    few = [p for name, p in network.named_parameters() if name.startswith("features")]
    most = [p for name, p in network.named_parameters() if not name.startswith("features")]
    optimizer = torch.optim.AdamW([{"params": most, "weight_decay": DECAY}, {"params": few, "weight_decay": 0, "lr": 5 * RATE}], RATE)
    rates = [group["lr"] for group in optimizer.param_groups]
    began = time.monotonic()
    for epoch in range(epochs):
        network.train()
        batches, losses = course.batches(), []
        for place, batch in enumerate(batches):
            done = (epoch + place / len(batches)) / epochs
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * min(1.0, done / 0.05 + 0.1) * (1 - done)
            loss = course.loss(network, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        if every and (epoch + 1) % every == 0:
            found = ranking.figures(ranking.ranks(scores(network, task, known), task))
            of_popularity, of_sentiment = (weight.item() for weight in network.features.weights())
            print(
                f"epoch {epoch + 1}: loss {np.mean(losses):.3f}  HR@10 {found['hr']:.4f}  NDCG@10 {found['ndcg']:.4f}  "
                f"weights {of_popularity:.2f} {of_sentiment:.2f}  {time.monotonic() - began:.0f} s",
                flush=True,
            )
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of ratings.csv.xz")
    parser.add_argument("--split", choices=list(data.HELD_OUT), default="validation")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-sentiment", action="store_true", help="for the ablation")
    options = parser.parse_args()

    torch.set_num_threads(2)
    events, films = data.read(options.data)
    task = data.task(events, len(films), options.split)
    sizes = Sizes(len(films))
    start = warm.vectors(task.fitted, task.items, sizes.width)
    network = train(task, sizes, start, options.epochs, options.seed, not options.no_sentiment, every=1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), str(options.out))


if __name__ == "__main__":
    main()
