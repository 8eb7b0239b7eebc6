"""Packs texts and base weights small enough to travel to a machine with a GPU.

    python gpu/pack.py --data DATA --base BASE --teacher MPNET --out PACKED

Texts go as token ids, and no row of the reported split is among them. Weights go as small integers with a scale for each
row: both models are trained on, which mends what rounding costs. `load` in here reads the folder back.
"""

from __future__ import annotations

import argparse
import json
import lzma
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SOURCES = ("sst2", "imdb", "womens", "goods")
SPLITS = ("train", "validation")
# A step of the levels, as a share of the deviation of a row's weights.
TEACHER_STEP, TEACHER_WORDS_STEP, STUDENT_STEP = 0.115, 0.2, 0.045


def pressed(values: NDArray) -> bytes:
    """Order does not matter in weights, so only the shares of the levels are used."""
    press = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    return press.compress(values.tobytes()) + press.flush()


def levels(weights: NDArray[np.float32], step: float) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    scales = np.maximum(step * weights.std(axis=1, keepdims=True), np.abs(weights).max(axis=1, keepdims=True) / 127)
    scales = np.maximum(scales, 1e-8)
    return np.rint(weights / scales).astype(np.int8), scales.astype(np.float32)


class Writer:
    """Tensors in one file after the other, with an index."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.index: dict[str, dict] = {}
        self.bytes = bytearray()

    def add(self, name: str, data: bytes, kind: str, shape: tuple[int, ...], dtype: str) -> None:
        self.index[name] = {"at": len(self.bytes), "size": len(data), "kind": kind, "shape": shape, "dtype": dtype}
        self.bytes += data

    def array(self, name: str, values: NDArray) -> None:
        self.add(name, zlib.compress(values.tobytes(), 6), "zlib", values.shape, values.dtype.str)

    def weights(self, name: str, values: NDArray[np.float32], step: float) -> None:
        if values.ndim < 2 or values.size < 100_000:
            self.array(name, values.astype(np.float16))
            return
        found, scales = levels(values, step)
        self.add(name, pressed(found), "huffman", values.shape, "|i1")
        self.array(f"{name}.scales", scales)

    def close(self, first: int, files: int) -> None:
        """Splits what was written: the first `first` bytes, and the others over `files` files of nearly one size."""
        head = json.dumps(self.index).encode()
        start = len(head).to_bytes(8, "little") + head
        size = -(-(len(self.bytes) - first) // files)
        cuts = [0, *range(first, len(self.bytes), size), len(self.bytes)]
        for number, (at, to) in enumerate(zip(cuts, cuts[1:])):
            found = (b"" if number else start) + bytes(self.bytes[at:to])
            (self.out / f"part{number}").write_bytes(found)
            print(f"part{number}: {len(found) / 1e6:.1f} MB")


def load(whole: bytes) -> dict[str, NDArray]:
    """What Writer wrote: integer arrays as they were, weights as float32."""
    head = int.from_bytes(whole[:8], "little")
    index = json.loads(whole[8 : 8 + head])
    view = memoryview(whole)[8 + head :]

    def ends(name: str) -> int:
        last = index.get(f"{name}.scales", index[name])
        return last["at"] + last["size"]

    def one(name: str) -> NDArray:
        entry = index[name]
        data = bytes(view[entry["at"] : entry["at"] + entry["size"]])
        if entry["kind"] == "lzma":
            plain = lzma.decompress(data)
        else:
            plain = zlib.decompress(data, -15 if entry["kind"] == "huffman" else 15)
        return np.frombuffer(plain, dtype=entry["dtype"]).reshape(entry["shape"])

    # The first file alone holds the texts and the student.
    names = [name for name in index if not name.endswith(".scales") and ends(name) <= len(view)]
    with ThreadPoolExecutor(8) as pool:
        found = dict(zip(names, pool.map(one, names)))
    for name in names:
        if index[name]["kind"] == "huffman":
            found[name] = found[name].astype(np.float32) * one(f"{name}.scales")
        elif found[name].dtype == np.float16:
            found[name] = found[name].astype(np.float32)
    return found


def texts(folder: Path, base: Path, writer: Writer) -> NDArray[np.int64]:
    """Writes all texts, and returns how often each token stands in them."""
    import data
    from tokens import Encoder

    encoder = Encoder(base)
    flat: list[NDArray[np.uint16]] = []
    at, title_at, text_at, end, source, split, label = 0, [], [], [], [], [], []
    for number, name in enumerate(SOURCES):
        for place, part in enumerate(SPLITS):
            read = data.every_goods if name == "goods" else data.READERS[name]
            examples = read(folder, part)
            # The empty text keeps title and text apart, where both tokenize as they do together.
            wholes = [data.with_title(data.Example("", 0, "", example.title)) for example in examples]
            heads = encoder.ids([whole if example.title else "" for whole, example in zip(wholes, examples)])
            tails = encoder.ids([example.text for example in examples])
            for example, head, tail in zip(examples, heads, tails):
                flat.append(np.array(head + tail, dtype=np.uint16))
                title_at.append(at)
                text_at.append(at + len(head))
                at += len(head) + len(tail)
                end.append(at)
                source.append(number)
                split.append(place)
                label.append(example.sentiment)
            print(name, part, len(examples), at, flush=True)
    tokens = np.concatenate(flat)
    writer.add("tokens", lzma_of(tokens), "lzma", tokens.shape, tokens.dtype.str)
    for key, values, kind in (
        ("title_at", title_at, np.int32),
        ("text_at", text_at, np.int32),
        ("end", end, np.int32),
        ("source", source, np.uint8),
        ("split", split, np.uint8),
        ("label", label, np.int8),
    ):
        writer.array(key, np.array(values, dtype=kind))
    return np.bincount(tokens, minlength=30522)


def lzma_of(tokens: NDArray[np.uint16]) -> bytes:
    return lzma.compress(tokens.tobytes(), preset=6 | lzma.PRESET_EXTREME)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True, help="all-MiniLM-L6-v2")
    parser.add_argument("--teacher", type=Path, required=True, help="all-mpnet-base-v2")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    from safetensors.numpy import load_file

    from encoder import load_base

    writer = Writer(options.out)
    counts = texts(options.data, options.base, writer)
    print(f"{len(writer.bytes) / 1e6:.1f} MB of texts, {(counts > 0).sum()} of the tokens in use", flush=True)
    for name, values in load_base(options.base).state_dict().items():
        if name.startswith(("words", "positions", "embedding_norm", "layers")):
            writer.weights(f"student.{name}", values.numpy(), STUDENT_STEP)
    first = len(writer.bytes)
    print(f"{first / 1e6:.1f} MB with the student", flush=True)
    for name, values in load_file(str(options.teacher / "model.safetensors")).items():
        if name.startswith("pooler") or name.endswith("position_ids"):
            continue
        step = TEACHER_STEP
        if name == "embeddings.word_embeddings.weight":
            values, step = values.copy(), TEACHER_WORDS_STEP
            unused = np.flatnonzero(counts == 0) + 4
            values[unused[(unused > 110) & (unused < 30526)]] = 0
        writer.weights(f"teacher.{name}", values, step)
    writer.close(first, 3)


if __name__ == "__main__":
    main()
