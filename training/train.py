"""Fine-tunes the encoder and both heads by the wall clock, and keeps the checkpoints.

    python train.py --data DATA --base BASE --out RUN --minutes 80

Progress is elapsed time over --minutes, so that a busy machine trains on fewer tokens and still
ends its schedule: warm-up, then a linear decay to zero. The three data sets are mixed by fixed
shares of tokens, one of them per step.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

import data
from encoder import Model, load_base
from tokens import Encoder, padded

SEED = 20
POOL = 1024
PEAK_RATE = 7e-5
HEAD_RATE = 4e-4
LAYER_DECAY = 0.9
WARM_UP = 0.04
CLIP = 1.0
WEIGHT_DECAY = 0.01
HELPFULNESS_WEIGHT = 0.6
AVERAGE_FROM = 0.5
AVERAGE_EVERY = 5
AVERAGE_KEEP = 0.985
CHECKPOINT_MINUTES = 10.0
SST2_REPEAT_MIN_WORDS = 12
TITLE_CHANCE = 0.5


@dataclass
class Batch:
    input_ids: Tensor
    attention_mask: Tensor
    sentiment: Tensor
    helpful: Tensor | None


@dataclass
class Source:
    """An endless stream of batches of one data set, and how much of it has been used."""

    name: str
    share: float
    budget: int
    examples: list[data.Example]
    targets: list[float] | None = None
    used: int = 0
    rows: int = 0
    batches: Iterator[Batch] = field(init=False)


def helpfulness_targets(examples: list[data.Example]) -> list[float]:
    """count / (count + mean + 1), with the mean of the review's product: popular products gather
    more votes for every review, and the ranking is within a product."""
    total, number = Counter(), Counter()
    for example in examples:
        total[example.group] += example.helpful
        number[example.group] += 1
    mean = {group: total[group] / number[group] for group in number}
    return [example.helpful / (example.helpful + mean[example.group] + 1) for example in examples]


def window_length(progress: float, chance: random.Random) -> int:
    """Short windows first, which show more reviews, then up to the length used when serving."""
    return chance.randint(int(80 + 80 * progress), int(128 + 160 * progress))


def batches(source: Source, encoder: Encoder, clock: Clock, chance: random.Random) -> Iterator[Batch]:
    """Pools of shuffled examples, sorted by length and cut at the token budget, padding included."""
    order: list[int] = []
    while True:
        while len(order) < POOL:
            epoch = list(range(len(source.examples)))
            chance.shuffle(epoch)
            order += epoch
        pool, order = order[:POOL], order[POOL:]
        texts = [
            data.with_title(source.examples[i]) if chance.random() < TITLE_CHANCE else source.examples[i].text
            for i in pool
        ]
        windows = [encoder.window(ids, window_length(clock.progress(), chance), chance) for ids in encoder.ids(texts)]
        cut: list[list[int]] = [[]]
        for index in sorted(range(POOL), key=lambda i: len(windows[i])):
            if len(windows[index]) * (len(cut[-1]) + 1) > source.budget:
                cut.append([])
            cut[-1].append(index)
        chance.shuffle(cut)
        for members in cut:
            ids, mask = padded([windows[i] for i in members])
            chosen = [pool[i] for i in members]
            yield Batch(
                ids,
                mask,
                torch.tensor([source.examples[i].sentiment for i in chosen]),
                None if source.targets is None else torch.tensor([source.targets[i] for i in chosen]),
            )


@dataclass
class Clock:
    """Time since the start, and as a share of the minutes to train for."""

    minutes: float
    started: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Minutes since the start."""
        return (time.monotonic() - self.started) / 60

    def progress(self) -> float:
        return min(1.0, self.elapsed() / self.minutes)


def sources(folder: Path) -> list[Source]:
    phrases = data.sst2(folder, "train")
    sentences = [example for example in phrases if len(example.text.split()) >= SST2_REPEAT_MIN_WORDS]
    womens = data.womens(folder, "train")
    return [
        Source("sst2", 0.45, 1024, phrases + sentences),
        Source("imdb", 0.36, 3072, data.imdb(folder, "train")),
        Source("womens", 0.19, 2048, womens, helpfulness_targets(womens)),
    ]


def loss_of(model: Model, batch: Batch, class_weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """The loss of sentiment, and of helpfulness where the batch has its targets (else 0)."""
    logits, raw = model(batch.input_ids, batch.attention_mask)
    sentiment = functional.cross_entropy(logits, batch.sentiment, reduction="none")
    if class_weights is not None:
        sentiment = sentiment * class_weights[batch.sentiment]
    if batch.helpful is None:
        return sentiment.mean(), torch.zeros(())
    return sentiment.mean(), functional.binary_cross_entropy_with_logits(raw, batch.helpful)


def balancing_weights(examples: list[data.Example]) -> Tensor:
    """[2]: each class of these examples weighs the same in total, and the mean weight is 1."""
    counts = torch.bincount(torch.tensor([example.sentiment for example in examples]), minlength=2)
    return len(examples) / (2 * counts)


def optimizer_of(model: Model, rate: float) -> torch.optim.AdamW:
    """Layers nearer to the words learn more slowly; the word embeddings are frozen."""
    model.words.weight.requires_grad_(False)
    depth = len(model.layers)
    groups = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.startswith(("sentiment", "helpfulness")):
            peak = HEAD_RATE
        elif name.startswith("layers."):
            peak = rate * LAYER_DECAY ** (depth - 1 - int(name.split(".")[1]))
        else:
            peak = rate * LAYER_DECAY**depth
        decay = WEIGHT_DECAY if parameter.dim() > 1 else 0.0
        groups.append({"params": [parameter], "peak": peak, "lr": 0.0, "weight_decay": decay})
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def rate(progress: float) -> float:
    """The factor of the peak rate."""
    return min(progress / WARM_UP, (1 - progress) / (1 - WARM_UP))


@torch.no_grad()
def accuracy(model: Model, encoder: Encoder, examples: list[data.Example]) -> float:
    right = 0
    windows = [encoder.truncated(ids, 256, "Left") for ids in encoder.ids([example.text for example in examples])]
    order = sorted(range(len(windows)), key=lambda i: len(windows[i]))
    for start in range(0, len(order), 16):
        chosen = order[start : start + 16]
        logits, _ = model(*padded([windows[i] for i in chosen]))
        right += int((logits.argmax(1) == torch.tensor([examples[i].sentiment for i in chosen])).sum())
    return right / len(examples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds imdb/, sst2/ and womens/")
    parser.add_argument("--base", type=Path, required=True, help="the folder of the base weights and tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints go")
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from, with a schedule of its own")
    parser.add_argument("--minutes", type=float, default=80.0)
    parser.add_argument("--rate", type=float, default=PEAK_RATE, help="the highest learning rate of the encoder")
    parser.add_argument("--seed", type=int, default=SEED, help="another one for another order, as when going on from --start")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)

    encoder = Encoder(options.base)
    model = load_base(options.base)
    if options.start:
        model.load_state_dict(load_file(str(options.start)))
    optimizer = optimizer_of(model, options.rate)
    streams = sources(options.data)
    weights = {"womens": balancing_weights(streams[2].examples)}
    samples = {
        "sst2": data.sst2(options.data, "validation")[:400],
        "imdb": data.imdb(options.data, "validation")[::8],
        "womens": data.womens(options.data, "validation")[::5],
    }
    clock = Clock(options.minutes)
    for number, source in enumerate(streams):
        source.batches = batches(source, encoder, clock, random.Random(options.seed + number))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    average: list[Tensor] | None = None
    losses: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    step, marks = 0, 0
    save_file(model.state_dict(), str(options.out / "start.safetensors"))

    while (progress := clock.progress()) < 1.0:
        source = min(streams, key=lambda s: s.used / s.share)
        batch = next(source.batches)
        source.used += batch.input_ids.numel()
        source.rows += len(batch.sentiment)
        sentiment, helpfulness = loss_of(model, batch, weights.get(source.name))
        optimizer.zero_grad(set_to_none=True)
        (sentiment + HELPFULNESS_WEIGHT * helpfulness).backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate(progress)
        optimizer.step()
        step += 1
        losses[source.name] += sentiment.item()
        losses[f"{source.name}.helpful"] += helpfulness.item()
        steps[source.name] += 1

        if progress >= AVERAGE_FROM and step % AVERAGE_EVERY == 0:
            if average is None:
                average = [parameter.detach().clone() for parameter in trained]
            torch._foreach_lerp_(average, [parameter.detach() for parameter in trained], 1 - AVERAGE_KEEP)
        if step % 50 == 0:
            tokens = sum(s.used for s in streams)
            shown = "  ".join(
                f"{s.name} {losses[s.name] / max(1, steps[s.name]):.3f} ({s.rows / len(s.examples):.2f} epochs)"
                for s in streams
            )
            helpful = losses["womens.helpful"] / max(1, steps["womens"])
            print(
                f"{clock.elapsed():5.1f} min  step {step}  {tokens / clock.elapsed() / 60:.0f} tokens/s  "
                f"loss {shown}  helpful {helpful:.4f}",
                flush=True,
            )
            losses.clear()
            steps.clear()
        if clock.elapsed() >= (marks + 1) * CHECKPOINT_MINUTES:
            marks += 1
            save_file(model.state_dict(), str(options.out / "latest.safetensors"))
            if marks % 2 == 0:
                shown = "  ".join(f"{name} {accuracy(model, encoder, rows):.3f}" for name, rows in samples.items())
                print(f"{clock.elapsed():5.1f} min  validation sample: {shown}", flush=True)

    save_file(model.state_dict(), str(options.out / "last.safetensors"))
    if average is not None:
        with torch.no_grad():
            for parameter, mean in zip(trained, average):
                parameter.copy_(mean)
        save_file(model.state_dict(), str(options.out / "average.safetensors"))
    print(f"{clock.elapsed():5.1f} min  done after {step} steps", flush=True)


if __name__ == "__main__":
    main()
