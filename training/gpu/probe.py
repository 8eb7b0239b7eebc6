"""How fast each stage of `teach.py` runs on a GPU, with random weights in the teacher: to share out the seconds.

    python gpu/probe.py --packed PACKED
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Callable

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import corpus as texts
import nets
import teach


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each of six stages")
    parser.add_argument("--teacher-layers", type=int, default=12)
    parser.add_argument("--tokens", type=int, nargs=3, default=[teach.TEACHER_TOKENS, teach.LABEL_TOKENS, teach.STUDENT_TOKENS])
    options = parser.parse_args()
    run = teach.Run(SimpleNamespace(device=options.device, packed=options.packed, few=True, label_tokens=4096, round_tokens=400_000))
    chance = np.random.default_rng(1)
    pool = teach.make_pool(run)
    run.say(f"pool of few: {len(pool)}")

    def time_of(name: str, budget: int, step: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], windows: texts.Windows) -> None:
        tokens, count, began = 0, 0, time.monotonic()
        while time.monotonic() - began < options.seconds:
            for rows in texts.batches(windows, budget, chance):
                ids, mask = run.batch(windows, rows)
                step(ids, mask)
                if count == 2:
                    began, tokens = time.monotonic(), 0
                tokens, count = tokens + ids.numel(), count + 1
                if count % 8 == 0 and run.device.type == "cuda":
                    torch.cuda.synchronize()
                if time.monotonic() - began > options.seconds:
                    break
        if run.device.type == "cuda":
            torch.cuda.synchronize()
        taken = time.monotonic() - began
        run.say(f"{name}: {count} steps, {tokens / taken / 1e6:.3f}M tokens/s, {1000 * taken / max(1, count - 3):.1f} ms a step")

    windows = teach.labelled(run, chance)
    teacher = nets.Teacher(layers=options.teacher_layers).to(run.device).train()
    optimizer = teach.adam(teach.teacher_groups(teacher), run.device)

    def teach_step(ids: torch.Tensor, mask: torch.Tensor) -> None:
        logits, _ = teacher(ids, mask, run.dtype)
        functional.cross_entropy(logits, ids[:, 1] % 2).backward()
        torch.nn.utils.clip_grad_norm_(teacher.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    time_of("teacher", options.tokens[0], teach_step, windows)
    time_of("teacher, batch doubled", 2 * options.tokens[0], teach_step, windows)
    teacher.eval()
    with torch.no_grad():
        time_of("asking", options.tokens[1], lambda ids, mask: teacher(ids, mask, run.dtype), windows)
    del teacher, optimizer
    student = nets.Student(nets.config_of_student(), 1536)
    student.read(run.packed)
    small = nets.Small(student.model.words.weight.detach()).to(run.device)
    student = student.to(run.device)
    trained = [p for p in [*student.parameters(), *small.parameters()]]
    optimizer = teach.adam([{"params": trained, "lr": 1e-4}], run.device)
    for rounding in (False, True):

        def student_step(ids: torch.Tensor, mask: torch.Tensor) -> None:
            found, exits, guess = student(ids, mask, run.dtype, rounding)
            tiny = small(ids, mask, run.dtype, rounding)
            wanted = (ids[:, 1] % 2).float()
            loss = sum(functional.binary_cross_entropy_with_logits(one, wanted) for one in (found, tiny, *exits.values()))
            (loss + guess.mean()).backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        time_of(f"students, rounding {rounding}", options.tokens[2], student_step, windows)
    if run.device.type == "cuda":
        run.say(f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB at most, torch {torch.__version__}")


if __name__ == "__main__":
    main()
