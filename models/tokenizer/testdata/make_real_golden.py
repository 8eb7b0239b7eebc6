"""Writes real.jsonl.gz: what the reference (tokenizers 0.23.3) answers with vocabularies that are in use.

    ./fetch_real.sh && python make_real_golden.py

The vocabularies stay in .cache/tokenizers, where fetch_real.sh puts them. The first line of the file has for each
configuration its folder there and the rest of its tokenizer.json; then come the texts of make_golden.py and
make_bpe_golden.py, from a fixed seed, each with the first 16 digits of the sha256 of its ids:

    {"config", "text" or "recipe": [[part, times], ...], "count", "sha256"}
"""

import gzip
import hashlib
import json
import pathlib
import random
import sys

import tokenizers
from make_bpe_golden import CL100K, O200K, byte_level, in_turn, own_texts, roberta, split
from make_golden import REFERENCE, texts
from tokenizers import Tokenizer

CACHE = pathlib.Path(__file__).parents[3] / ".cache" / "tokenizers"


def file(pre_tokenizer, post_processor=None, normalizer=None):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": None}  # fmt: skip


CONFIGS = {
    "gpt2": {"folder": "gpt2", "file": file(byte_level())},
    "gpt2, as roberta": {"folder": "gpt2", "file": file(byte_level(True), roberta(50256, 50256))},
    "gpt2, as llama3": {"folder": "gpt2", "file": file(in_turn(split(CL100K), byte_level(False, False)))},
    "gpt2, as gpt4o": {"folder": "gpt2", "file": file(in_turn(split(O200K), byte_level(False, False)))},
}


def model(folder):
    """GPT-2's two files as a model of a tokenizer.json; the Go test makes the same of them."""
    if (folder / "tokenizer.json").exists():
        return json.loads((folder / "tokenizer.json").read_text())["model"]
    merges = [line for line in (folder / "vocab.bpe").read_text().split("\n") if line]
    return {"type": "BPE", "vocab": json.loads((folder / "encoder.json").read_text()), "merges": merges}


def cases(rng):
    made = {name: Tokenizer.from_str(json.dumps(c["file"] | {"model": model(CACHE / c["folder"])})) for name, c in CONFIGS.items()}
    names, turn = list(made), 0
    for _, text in (*texts(rng), *own_texts(rng)):
        full = text if isinstance(text, str) else "".join(part * times for part, times in text)
        if len(full) > 20_000 or rng.random() < 0.7:
            continue
        ids = made[name := names[turn % len(names)]].encode(full).ids
        turn += 1
        digest = hashlib.sha256(b"".join(i.to_bytes(4, "little") for i in ids)).hexdigest()[:16]
        yield {"config": name} | ({"text": text} if isinstance(text, str) else {"recipe": text}) | {"count": len(ids), "sha256": digest}


def main():
    if tokenizers.__version__ != REFERENCE:
        sys.exit(f"tokenizers is {tokenizers.__version__}: want {REFERENCE}")
    out = pathlib.Path(__file__).with_name("real.jsonl.gz")
    count = 0
    with gzip.GzipFile(out, "wb", 9, mtime=0) as f:
        for line in ({"reference": REFERENCE, "configs": CONFIGS}, *cases(random.Random(22))):
            f.write((json.dumps(line, separators=(",", ":")) + "\n").encode())
            count += "config" in line
    print(f"{count} cases, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
