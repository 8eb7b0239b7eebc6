"""Readers and splits of the data sets. Nothing here keeps a row outside of memory.

Every row belongs to one split, chosen by a hash of what ties rows together: the movie for IMDb,
the product for Women's and for goods, the sentence for SST-2. `train` fits weights, `validation` chooses
(direction of truncation, checkpoint, temperature), and `reported` is looked at for the figures
alone. SST-2's reported split is its published dev file.
"""

from __future__ import annotations

import csv
import hashlib
import lzma
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Literal

Split = Literal["train", "validation", "reported"]

NEGATIVE, POSITIVE = 0, 1
NEITHER = -1
REPORTED_PERCENT = 14
VALIDATION_PERCENT = 6
SST2_VALIDATION_MIN_WORDS = 8
SST2_VALIDATION_PER_MILLE = 40
SST2_LEAK_MIN_WORDS = 4


@dataclass(frozen=True)
class Example:
    """One text with its labels. `group` is the movie or product; `helpful` counts votes."""

    text: str
    sentiment: int
    group: str
    title: str = ""
    helpful: int = 0


def bucket(key: str, buckets: int) -> int:
    """A stable pseudo-random number in 0..buckets-1, the same on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % buckets


def split_of(group: str) -> Split:
    percent = bucket(group, 100)
    if percent < REPORTED_PERCENT:
        return "reported"
    return "validation" if percent < REPORTED_PERCENT + VALIDATION_PERCENT else "train"


def rows(path: Path, delimiter: str) -> Iterator[dict[str, str]]:
    """The rows of an xz-compressed table with a header. Tabs are never quoted, commas may be."""
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter=delimiter, quoting=quoting)


def imdb(folder: Path, split: Split) -> list[Example]:
    return [
        Example(row["text"], POSITIVE if row["label"] == "pos" else NEGATIVE, row["movie"])
        for row in rows(folder / "imdb" / "train.tsv.xz", "\t")
        if split_of(row["movie"]) == split
    ]


def womens(folder: Path, split: Split) -> list[Example]:
    """Reviews with a text. Recommended counts as positive."""
    return [
        Example(
            text=row["Review Text"].strip(),
            sentiment=int(row["Recommended IND"]),
            group=row["Clothing ID"],
            title=row["Title"].strip(),
            helpful=int(row["Positive Feedback Count"]),
        )
        for row in rows(folder / "womens" / "train.csv.xz", ",")
        if row["Review Text"].strip() and split_of(row["Clothing ID"]) == split
    ]


def goods(folder: Path, split: Split) -> list[Example]:
    """Reviews of one, two, four and five stars: three stars are neither. `helpful` counts the votes for a review."""
    return [example for example in every_goods(folder, split) if example.sentiment != NEITHER]


def every_goods(folder: Path, split: Split) -> list[Example]:
    """Those of three stars too, whose sentiment is NEITHER."""
    return [
        Example(
            text=row["text"].strip(),
            sentiment=NEITHER if row["rating"] == "3" else int(row["rating"] > "3"),
            group=f"{row['domain']} {row['product']}",
            title=row["title"].strip(),
            helpful=int(row["helpful_yes"] or 0),
        )
        for row in rows(folder / "goods" / "train.tsv.xz", "\t")
        if row["text"].strip() and split_of(row["product"]) == split
    ]


def sst2(folder: Path, split: Split) -> list[Example]:
    """SST-2's train file holds phrases of its sentences, so the validation sentences take their
    own phrases of SST2_LEAK_MIN_WORDS and more words out of `train` with them."""
    name = "dev" if split == "reported" else "train"
    examples = [
        Example(row["sentence"].strip(), int(row["label"]), row["sentence"].strip())
        for row in rows(folder / "sst2" / f"{name}.tsv.xz", "\t")
    ]
    if split == "reported":
        return examples
    kept_aside = [example for example in examples if is_sst2_validation(example.text)]
    if split == "validation":
        return kept_aside
    leaked = {span for example in kept_aside for span in spans(example.text.split())}
    return [example for example in examples if example.text not in leaked]


def is_sst2_validation(sentence: str) -> bool:
    long_enough = len(sentence.split()) >= SST2_VALIDATION_MIN_WORDS
    return long_enough and bucket(sentence, 1000) < SST2_VALIDATION_PER_MILLE


def spans(words: list[str]) -> Iterator[str]:
    """Every run of SST2_LEAK_MIN_WORDS and more words, the whole included."""
    for start in range(len(words)):
        for end in range(start + SST2_LEAK_MIN_WORDS, len(words) + 1):
            yield " ".join(words[start:end])


def with_title(example: Example) -> str:
    """A title stands before its text as a sentence of its own, as the service joins them."""
    if not example.title:
        return example.text
    stop = "" if unicodedata.category(example.title[-1]).startswith("P") else "."
    return f"{example.title}{stop} {example.text}"


def sanity(folder: Path, split: Split) -> list[Example]:
    """Sentences of our own about goods of other shops: to see that nothing is wrong there, never to choose by."""
    del folder, split
    with (Path(__file__).parent / "sanity.tsv").open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Example(row["text"], int(row["label"] == "positive"), row["shop"]) for row in table]


READERS: dict[str, Callable[[Path, Split], list[Example]]] = {
    "imdb": imdb,
    "sst2": sst2,
    "womens": womens,
    "goods": goods,
    "sanity": sanity,
}
