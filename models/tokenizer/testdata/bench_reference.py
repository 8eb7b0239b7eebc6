"""Measures the reference (tokenizers) on one thread, on the texts that BenchmarkEncode reads.

    python bench_reference.py TOKENIZER_JSON [REVIEWS] [SECONDS]

REVIEWS has a line {"text": ...} per review; - is standard input, and the default is NEARLINE_BENCH_REVIEWS or else the
reviews in golden.jsonl.gz. Prints the rate text by text, as BenchmarkEncode does it, and by batches of 64.
"""

import gzip
import json
import os
import pathlib
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizers  # noqa: E402


def reviews(path):
    if path == "":
        golden = pathlib.Path(__file__).with_name("golden.jsonl.gz")
        lines = map(json.loads, gzip.open(golden, "rt"))
        return [line["text"] for line in lines if line.get("group") == "review"]
    with sys.stdin if path == "-" else open(path) as lines:
        return [json.loads(line)["text"] for line in lines]


def rate(texts, seconds, encode):
    """encode gives a list of encodings for the text at an index and maybe more that follow."""
    done = tokens = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        encodings = encode(done % len(texts))
        done += len(encodings)
        tokens += sum(len(e) for e in encodings)
    spent = time.perf_counter() - begin
    return done / spent, tokens / spent


def main():
    tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
    tokenizer.no_padding()
    tokenizer.enable_truncation(128)
    texts = reviews(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("NEARLINE_BENCH_REVIEWS", ""))
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 3.0
    print(f"tokenizers {tokenizers.__version__}, {len(texts)} reviews")
    ways = {
        "one by one": lambda i: [tokenizer.encode(texts[i])],
        "batches, without offsets": lambda i: tokenizer.encode_batch_fast(texts[i : i + 64]),
    }
    for way, encode in ways.items():
        per_second, tokens = rate(texts, seconds, encode)
        print(f"{way}: {per_second:.0f} reviews/s {tokens:.0f} tokens/s")


if __name__ == "__main__":
    main()
