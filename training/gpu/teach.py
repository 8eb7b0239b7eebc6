"""Trains teachers, has them read a pool of windows, and trains the model that ships and a small one on what they said.

    python gpu/teach.py --packed PACKED --out OUT --seconds 100 100 240

By the wall clock, as a machine with a GPU is lent for minutes. Each stage leaves its result in --out, in files of at most
15 MB, and in --keep, from where a second call goes on. `collect.py` makes checkpoints of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import corpus as texts
import nets
import pack
from corpus import Corpus, Windows

TEACHER_RATE, TEACHER_HEAD_RATE, LAYER_DECAY = 6e-5, 4e-4, 0.9
STUDENT_RATE, SMALL_RATE = 4e-4, 2e-3
WARM_UP, WEIGHT_DECAY = 0.04, 0.01
TEACHER_TOKENS, LABEL_TOKENS, STUDENT_TOKENS = 32768, 196608, 98304
# Of a teacher's tokens: SST-2, IMDb, Women's, goods; and how much a title alone weighs, whose stars are its text's.
SHARES = (0.17, 0.41, 0.16, 0.26)
TITLE_WEIGHT = 0.3
SMOOTHING = 0.02
# How often a student sees a window of a kind in one round over the pool.
OFTEN = {"served": 1.0, "random": 0.8, "sentences": 0.8, "phrase": 1.0, "title": 0.7}
LONG_PHRASE, LONG_PHRASE_OFTEN = 10, 2.5
HARD_SHARE, HINT_WEIGHT, EXIT_WEIGHT = 0.15, 1.0, 0.15
HIDDEN_TOKENS = 0.05
ROUNDED_FROM = 0.72
ROUND_TOKENS = 4_000_000


class Run:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.started = time.monotonic()
        self.packed = pack.load(nets.load_parts(options.packed))
        self.corpus = Corpus(self.packed, self.device)
        self.say(f"{len(self.corpus.tokens)} tokens, {len(self.corpus.end)} texts")
        self.classes = torch.ones(4, 2, device=self.device)
        womens = self.corpus.label[self.corpus.items(texts.WOMENS)]
        self.classes[texts.WOMENS] = torch.tensor(len(womens) / (2 * np.bincount(womens, minlength=2)), device=self.device)

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:6.1f} s  {text}", flush=True)

    def put(self, values: NDArray, kind: torch.dtype = torch.int64) -> Tensor:
        return torch.as_tensor(values, dtype=kind).to(self.device, non_blocking=True)

    def batch(self, windows: Windows, rows: NDArray) -> tuple[Tensor, Tensor]:
        length = windows.length[rows]
        return self.corpus.batch(self.put(windows.start[rows]), self.put(length), int(length.max()))

    def validation(self) -> dict[str, Windows]:
        found = {}
        for number, name in enumerate(pack.SOURCES):
            items = self.corpus.items(number, texts.VALIDATION)
            items = items[self.corpus.label[items] >= 0]
            if self.options.few:
                items = items[:: max(1, len(items) // 6)]
            found[name] = self.corpus.served(items, np.ones(len(items), dtype=bool))
        return found

    def check(self, name: str, score: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Prints accuracy, balanced accuracy and area under the curve on the validation split."""
        shown = []
        for source, windows in self.validation().items():
            found = self.read(windows, score)
            label = self.corpus.label[windows.item]
            right = (found > 0) == (label == 1)
            balanced = np.mean([right[label == value].mean() for value in (0, 1)])
            loss = np.logaddexp(0, np.where(label == 1, -found, found)).mean()
            shown.append(f"{source} {right.mean():.4f}/{balanced:.4f}/{area(found, label):.4f}/{loss:.3f}")
        self.say(f"validation of {name} (accuracy/balanced/area/loss): {'  '.join(shown)}")

    @torch.no_grad()
    def read(self, windows: Windows, score: Callable[[Tensor, Tensor], Tensor]) -> NDArray:
        found = np.empty(len(windows), dtype=np.float32)
        parts = [(rows, score(*self.batch(windows, rows))) for rows in texts.batches(windows, self.options.label_tokens, None)]
        for rows, odds in parts:
            found[rows] = odds.float().cpu().numpy()
        return found


def area(scores: NDArray, labels: NDArray) -> float:
    order = np.argsort(scores, kind="stable")
    rank = np.empty(len(scores))
    rank[order] = np.arange(1, len(scores) + 1)
    positives = int((labels == 1).sum())
    return float((rank[labels == 1].sum() - positives * (positives + 1) / 2) / max(1, positives * (len(labels) - positives)))


def rate(progress: float) -> float:
    return min(progress / WARM_UP, (1 - progress) / (1 - WARM_UP))


class Schedule:
    """Progress by the wall clock, over the seconds of a stage."""

    def __init__(self, optimizer: torch.optim.Optimizer, seconds: float, most_steps: int) -> None:
        self.optimizer, self.seconds, self.most_steps = optimizer, seconds, most_steps
        self.started, self.steps = time.monotonic(), 0
        self.peaks = [group["lr"] for group in optimizer.param_groups]

    def progress(self) -> float:
        by_steps = self.steps / self.most_steps if self.most_steps else 0.0
        return max(by_steps, (time.monotonic() - self.started) / self.seconds)

    def step(self, parameters: list[Tensor]) -> None:
        factor = max(0.0, rate(min(1.0, self.progress())))
        for group, peak in zip(self.optimizer.param_groups, self.peaks):
            group["lr"] = peak * factor
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1


def adam(groups: list[dict], device: torch.device) -> torch.optim.AdamW:
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY, fused=device.type == "cuda")


def labelled(run: Run, chance: np.random.Generator) -> Windows:
    """About ROUND_TOKENS tokens of training windows with labels, each source with its share."""
    corpus, found = run.corpus, []
    for source, share in enumerate(SHARES):
        items = corpus.items(source)
        items = chance.permutation(items[corpus.label[items] >= 0])
        parts, tokens = [], 0.0
        wanted = share * run.options.round_tokens
        while tokens < wanted:
            if source == texts.SST2:
                long = items[corpus.end[items] - corpus.text_at[items] >= LONG_PHRASE]
                some = chance.permutation(np.concatenate([items, long, long]))
                part = corpus.served(some, np.zeros(len(some), dtype=bool))
            else:
                titles = chance.random(len(items)) < 0.6
                part = corpus.random(items, titles, 64, texts.LONGEST, chance)
                part = Windows.joined([part, corpus.titles(items[chance.random(len(items)) < 0.25])])
            part = part.of(chance.permutation(len(part)))
            seen = np.cumsum(part.length + 2)
            part = part.of(np.arange(len(part))[seen <= wanted - tokens + texts.LONGEST])
            parts.append(part)
            tokens += float((part.length + 2).sum())
        found += parts
    return Windows.joined(found)


def teacher_groups(model: nets.Teacher) -> list[dict]:
    """Layers nearer to the words learn more slowly. Few groups, as each is a launch of its own."""
    depth = len(model.layers)
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    model.distances.weight.requires_grad_(False)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.startswith("sentiment"):
            peak = TEACHER_HEAD_RATE
        elif name.startswith("layers."):
            peak = TEACHER_RATE * LAYER_DECAY ** (depth - 1 - int(name.split(".")[1]))
        else:
            peak = TEACHER_RATE * LAYER_DECAY**depth
        groups.setdefault((peak, parameter.dim() > 1), []).append(parameter)
    return [
        {"params": parameters, "lr": peak, "weight_decay": WEIGHT_DECAY * matrix} for (peak, matrix), parameters in groups.items()
    ]


def train_teacher(run: Run, seconds: float, seed: int) -> nets.Teacher:
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    model = nets.Teacher(layers=run.options.teacher_layers)
    model.read(run.packed)
    model = model.to(run.device).train()
    run.say(f"teacher {seed}: loaded")
    optimizer = adam(teacher_groups(model), run.device)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    schedule, tokens, losses, steps = Schedule(optimizer, seconds, run.options.steps), 0, [], 0
    while schedule.progress() < 1:
        windows = labelled(run, chance)
        label, source = run.put(run.corpus.label[windows.item]), run.put(run.corpus.source[windows.item])
        kind = run.put(windows.kind)
        for rows in texts.batches(windows, run.options.teacher_tokens, chance):
            ids, mask = run.batch(windows, rows)
            chosen = run.put(rows)
            logits, _ = model(ids, mask, run.dtype)
            weight = run.classes[source[chosen], label[chosen]] * torch.where(kind[chosen] == texts.TITLE, TITLE_WEIGHT, 1.0)
            loss = functional.cross_entropy(logits, label[chosen], reduction="none", label_smoothing=SMOOTHING)
            loss = (loss * weight).sum() / len(rows)
            loss.backward()
            schedule.step(parameters)
            tokens += ids.numel()
            losses.append(loss.detach())
            if schedule.steps % 100 == 0:
                run.say(f"teacher {seed} {schedule.progress():.2f} step {schedule.steps} {tokens / 1e6:.1f}M loss {mean(losses):.4f}")
            if schedule.progress() >= 1:
                break
    model.eval()
    run.say(f"teacher {seed} done: {tokens / 1e6:.1f}M tokens, {schedule.steps} steps")
    run.check(f"teacher {seed}", lambda ids, mask: nets.odds(model(ids, mask, run.dtype)[0]))
    return model


def mean(losses: list[Tensor]) -> float:
    value = float(torch.stack(losses).mean())
    losses.clear()
    return value


def make_pool(run: Run) -> Windows:
    """Windows of the training split, with and without labels, that teachers are asked about."""
    corpus, chance = run.corpus, np.random.default_rng(7)
    phrases = corpus.items(texts.SST2)
    if run.options.few:
        phrases = phrases[:150]
    parts = [corpus.served(phrases, np.zeros(len(phrases), dtype=bool))]
    parts[0].kind[:] = texts.PHRASE
    for source, twice, most in ((texts.IMDB, 2, 2), (texts.WOMENS, 3, 2), (texts.GOODS, 4, 2)):
        items = corpus.items(source)
        if run.options.few:
            items = items[:30]
        parts.append(corpus.served(items, np.ones(len(items), dtype=bool)))
        if source != texts.IMDB:
            parts += [corpus.served(items, np.zeros(len(items), dtype=bool)), corpus.titles(items)]
        for _ in range(twice):
            parts.append(corpus.random(items, chance.random(len(items)) < 0.5, 24, 256, chance))
        for number in range(1 if source == texts.IMDB else 2):
            parts.append(corpus.sentences(items, 1 + number * (most - 1) if source != texts.IMDB else most, chance))
    return Windows.joined(parts)


@torch.no_grad()
def ask(run: Run, models: list[nets.Teacher], pool: Windows) -> tuple[Tensor, Tensor]:
    """Log odds [windows, teachers] and pooled vectors [windows, teachers * hidden] in half."""
    odds = torch.empty(len(pool), len(models), device=run.device)
    hidden = models[0].words.weight.shape[1]
    seen = torch.empty(len(pool), len(models) * hidden, dtype=torch.float16, device=run.device)
    for rows in texts.batches(pool, run.options.label_tokens, None):
        ids, mask = run.batch(pool, rows)
        chosen = run.put(rows)
        for number, model in enumerate(models):
            logits, pooled = model(ids, mask, run.dtype)
            odds[chosen, number] = nets.odds(logits)
            seen[chosen, number * hidden : (number + 1) * hidden] = functional.normalize(pooled, dim=1).half()
    return odds, seen


def often(run: Run, pool: Windows) -> NDArray:
    found = np.array([OFTEN[kind] for kind in texts.KINDS])[pool.kind]
    found[(pool.kind == texts.PHRASE) & (pool.length >= LONG_PHRASE)] = LONG_PHRASE_OFTEN
    found[run.corpus.source[pool.item] == texts.GOODS] *= 1.3
    return found


def train_students(run: Run, seconds: float, pool: Windows, odds: Tensor, seen: Tensor) -> None:
    torch.manual_seed(3)
    chance = np.random.default_rng(3)
    student = nets.Student(nets.config_of_student(), seen.shape[1])
    student.read(run.packed)
    small = nets.Small(student.model.words.weight.detach().clone()).to(run.device)
    student = student.to(run.device)
    heads = [*student.model.sentiment.parameters(), *student.exits.parameters(), *student.hint.parameters()]
    unused = [*student.model.helpfulness.parameters()]
    known = {id(parameter) for parameter in [*heads, *unused, student.model.words.weight]}
    body = [parameter for parameter in student.parameters() if id(parameter) not in known]
    groups = [
        {"params": body, "lr": STUDENT_RATE},
        {"params": [student.model.words.weight], "lr": STUDENT_RATE / 3, "weight_decay": 0.0},
        {"params": heads, "lr": 3 * STUDENT_RATE},
        {"params": list(small.parameters()), "lr": SMALL_RATE},
    ]
    optimizer = adam(groups, run.device)
    trained = [parameter for group in groups[:3] for parameter in group["params"]]
    schedule = Schedule(optimizer, seconds, run.options.steps)
    told = torch.sigmoid(odds.mean(1))
    label = run.put(run.corpus.label[pool.item])
    # Titles and parts of texts have no label of their own.
    certain = run.put(np.isin(pool.kind, (texts.SERVED, texts.PHRASE)), torch.bool) & (label >= 0)
    target = torch.where(certain, (1 - HARD_SHARE) * told + HARD_SHARE * label.float(), told)
    shares, tokens, rounds, losses, small_losses = often(run, pool), 0, 0, [], []
    marked = 0

    def save(name: str) -> None:
        if not run.options.few:
            save_students(run.options.out, name, student, small)

    while schedule.progress() < 1:
        times = np.floor(shares).astype(int) + (chance.random(len(pool)) < shares % 1)
        chosen_windows = np.repeat(np.arange(len(pool)), times)
        windows = pool.of(chosen_windows)
        rounds += 1
        for rows in texts.batches(windows, run.options.student_tokens, chance):
            ids, mask = run.batch(windows, rows)
            chosen = run.put(chosen_windows[rows])
            hide = (torch.rand(ids.shape, device=run.device) < HIDDEN_TOKENS) & (ids > 103) & (mask.sum(1, keepdim=True) > 16)
            ids = torch.where(hide, texts.MASK, ids)
            rounding = schedule.progress() >= ROUNDED_FROM
            found, exits, guess = student(ids, mask, run.dtype, rounding)
            wanted = target[chosen]
            main = functional.binary_cross_entropy_with_logits(found, wanted)
            early = sum(functional.binary_cross_entropy_with_logits(one, wanted) for one in exits.values())
            hint = (1 - functional.cosine_similarity(guess.float(), seen[chosen].float(), dim=1)).mean()
            tiny = functional.binary_cross_entropy_with_logits(small(ids, mask, run.dtype, rounding), wanted)
            (main + EXIT_WEIGHT * early + HINT_WEIGHT * hint + tiny).backward()
            torch.nn.utils.clip_grad_norm_(small.parameters(), 1.0)
            schedule.step(trained)
            tokens += ids.numel()
            losses.append(main.detach())
            small_losses.append(tiny.detach())
            if schedule.steps % 250 == 0:
                run.say(
                    f"students {schedule.progress():.2f} step {schedule.steps} round {rounds} {tokens / 1e6:.0f}M "
                    f"loss {mean(losses):.4f} small {mean(small_losses):.4f} hint {float(hint.detach()):.4f}"
                )
            if schedule.progress() >= (marked + 1) / 4 and marked < 3:
                marked += 1
                run.check("the model", lambda ids, mask: student(ids, mask, run.dtype, rounding)[0])
                save("last")
            if schedule.progress() >= 1:
                break
    run.say(f"students done: {tokens / 1e6:.0f}M tokens, {schedule.steps} steps, {rounds} rounds")
    save_students(run.options.out, "last", student, small)
    for rounding in (True, False):
        run.check(f"the model, rounded {rounding}", lambda ids, mask: student(ids, mask, run.dtype, rounding)[0])
        run.check(f"the small one, rounded {rounding}", lambda ids, mask: small(ids, mask, run.dtype, rounding))
    for depth in student.exits:
        run.check(f"layer {depth}", lambda ids, mask: student(ids, mask, run.dtype, True)[1][depth])


def save_students(out: Path, name: str, student: nets.Student, small: nets.Small) -> None:
    """Halves in files of two layers; the words as int8, as the export rounds them."""
    state = {key: value.detach().float().cpu().numpy() for key, value in student.state_dict().items() if not key.startswith("hint")}
    words = state.pop("model.words.weight")
    scales = np.maximum(np.abs(words).max(1, keepdims=True), 1e-8).astype(np.float32) / 127
    np.savez(out / f"words-{name}.npz", levels=np.rint(words / scales).astype(np.int8), scales=scales)
    thirds: list[dict[str, NDArray]] = [{}, {}, {}]
    for key, value in state.items():
        layer = key.split(".")[2] if key.startswith("model.layers.") else "5"
        thirds[int(layer) // 2][key] = value.astype(np.float16)
    for number, third in enumerate(thirds):
        np.savez(out / f"student{number}-{name}.npz", **third)
    np.savez(out / f"small-{name}.npz", **{key: value.detach().half().cpu().numpy() for key, value in small.state_dict().items()})


def save_told(out: Path, pool: Windows, odds: Tensor) -> None:
    np.savez_compressed(
        out / "told.npz",
        start=pool.start.astype(np.int32),
        length=pool.length.astype(np.uint16),
        kind=pool.kind.astype(np.uint8),
        item=pool.item.astype(np.int32),
        odds=odds.half().cpu().numpy(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", type=Path, required=True, help="where a second call finds what the first has done")
    parser.add_argument("--seconds", type=float, nargs="+", required=True, help="for each teacher, and last for the students (0: not now)")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=0, help="at most so many of a stage, to rehearse")
    parser.add_argument("--few", action="store_true", help="a few texts only, to rehearse")
    parser.add_argument("--teacher-layers", type=int, default=12, help="fewer to rehearse")
    parser.add_argument("--teacher-tokens", type=int, default=TEACHER_TOKENS)
    parser.add_argument("--label-tokens", type=int, default=LABEL_TOKENS)
    parser.add_argument("--student-tokens", type=int, default=STUDENT_TOKENS)
    parser.add_argument("--round-tokens", type=int, default=ROUND_TOKENS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.keep.mkdir(parents=True, exist_ok=True)
    torch.backends.cuda.matmul.allow_tf32 = True
    run = Run(options)
    kept = options.keep / "told.pt"
    if kept.exists():
        saved = torch.load(kept, map_location=run.device, weights_only=False)
        pool, odds, seen = Windows(*saved["pool"]), saved["odds"], saved["seen"]
        run.say("teachers' answers are there")
    else:
        pool = make_pool(run)
        if options.few:
            pool = pool.of(np.random.default_rng(1).permutation(len(pool))[:60])
        run.say(f"pool: {len(pool)} windows, {(pool.length + 2).sum() / 1e6:.1f}M tokens, {np.bincount(pool.kind)}")
        models = [train_teacher(run, seconds, 11 + number) for number, seconds in enumerate(options.seconds[:-1])]
        run.check("all teachers", lambda ids, mask: sum(nets.odds(model(ids, mask, run.dtype)[0]) for model in models) / len(models))
        odds, seen = ask(run, models, pool)
        save_told(options.out, pool, odds)
        run.say("pool read")
        torch.save({"pool": (pool.start, pool.length, pool.kind, pool.item), "odds": odds, "seen": seen}, kept)
        run.say("kept")
        del models
    if options.seconds[-1] > 0:
        train_students(run, options.seconds[-1], pool, odds, seen)


if __name__ == "__main__":
    main()
