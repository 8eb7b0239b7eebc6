"""Writes golden_unigram.jsonl.gz: what the reference (tokenizers 0.23.3) answers with Unigram models and what goes with
them, in the form of golden.jsonl.gz (make_golden.py).

    python make_unigram.py CHARSMAPS

CHARSMAPS is where fetch_charsmaps.sh puts SentencePiece's own normalization maps. They are not ours and not kept here: a
configuration names them ("precompiled_charsmap": "nmt_nfkc"), as it names its model; `models` and `charsmaps` of the first
line hold those that we made. The group "sentencepiece" has the ids that sentencepiece 0.2.3 itself gives; the reference
agrees with it there.
"""

import argparse
import ast
import base64
import collections
import datetime
import difflib
import email
import fractions
import gzip
import hashlib
import heapq
import inspect
import io
import json
import pathlib
import random
import string
import struct
import sys
import textwrap
import unicodedata

import sentencepiece
import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

import make_golden
from make_golden import REFERENCE, added, bert_normalizer, review, truncation

META = "\u2581"
NAMED = ("nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf")
SYLLABLES = (
    "가고그기나는다도동들라로를리마만명모미바보부비사상서선성세수시식신아어업에여연오요우원위유은을음의이인일자장전정제조주중지진차"
    "체치크태트파하한해화회좋았습니다품별로예요배송빨라써볼게없어"
)
# Everything that Hangul comes in: conjoining, compatibility and half-width jamo, old letters without syllables.
HANGUL = [(0x1100, 0x115F), (0x1160, 0x11A7), (0x11A8, 0x11FF), (0x302E, 0x302F), (0x3131, 0x318E), (0x3200, 0x321E),
          (0x3260, 0x327F), (0xA960, 0xA97C), (0xD7B0, 0xD7C6), (0xD7CB, 0xD7FB), (0xFFA0, 0xFFDC)]  # fmt: skip


def korean(rng, words):
    return " ".join("".join(rng.choices(SYLLABLES, k=rng.randint(1, 5))) for _ in range(words))


def corpus(rng):
    """Our own sentences, words of chance letters in many scripts, and docstrings of Python's library."""
    for _ in range(700):
        yield review(rng, rng.randint(5, 40))
    for _ in range(300):
        text = korean(rng, 12)
        yield text
        yield unicodedata.normalize("NFD", text)
    for low, high in make_golden.SCRIPTS.values():
        letters = rng.sample(make_golden.assigned(low, high + 1), 12)
        for _ in range(15):
            yield " ".join("".join(rng.choices(letters, k=rng.randint(1, 4))) for _ in range(12))
    for module in (argparse, ast, collections, datetime, difflib, email, fractions, heapq, random, string, textwrap):
        for _, thing in sorted(vars(module).items(), key=lambda item: item[0]):
            if inspect.isclass(thing) and isinstance(doc := thing.__doc__, str):
                yield " ".join(doc.split())


def single(score):
    """As it is in files that were made from SentencePiece's models."""
    return struct.unpack("f", struct.pack("f", score))[0]


def vocabulary(tokens, trained, rng):
    """The special tokens, with a score of 0, and what was trained, in single precision."""
    seen = set(tokens)
    rest = [[token, single(score)] for token, score in trained if token not in seen]
    return [[token, 0.0] for token in tokens] + rest


def train(rng, size, normalizer=None, texts=None, **options):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer or normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=size, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False,
                                      max_piece_length=16, **options)  # fmt: skip
    tokenizer.train_from_iterator(texts or list(corpus(rng)), trainer)
    return json.loads(tokenizer.to_str())["model"]["vocab"]


def unigram(vocab, unknown, byte_fallback=None):
    model = {"type": "Unigram", "unk_id": unknown, "vocab": vocab}
    return model if byte_fallback is None else model | {"byte_fallback": byte_fallback}


def vocabularies(rng):
    trained = train(rng, 1800)
    lower = train(rng, 700, normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]))
    letters = "abcdefgh \u2581\u00e9\u1100\u1161\u11a8\uac00\u4e2d"
    odd = [["<unk>", 0.0], ["", -1.0], ["ab", -3.5], ["ab", -2.25], ["xy", -1e-3], ["xyz", 25.0], ["<s>", -2], ["\u2581", -1],
           ["\u4e2d\u6587", 100.0], ["q", 1e2], ["\u2581a", -1.5e0], ["aa", -2.5], ["a", -1.25], ["aaa", -3.75], ["\U0001f44d\U0001f3fd", -4]]  # fmt: skip
    odd += [["".join(rng.choices(letters, k=rng.randint(1, 4))), -rng.random() * 12] for _ in range(300)]
    bytes_ = [[f"<0x{b:02X}>", 0.0] for b in range(256)]
    return {
        "xlmr": unigram(vocabulary(["<s>", "<pad>", "</s>", "<unk>"], trained, rng) + [["<mask>", 0.0]], 3),
        "t5": unigram(vocabulary(["<pad>", "</s>", "<unk>"], trained[:1000], rng) + [[f"<extra_id_{i}>", 0.0] for i in range(9, -1, -1)], 2, False),
        "camembert": unigram(vocabulary(["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"], trained, rng) + [["<mask>", 0.0]], 3),
        "albert": unigram(vocabulary(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], lower, rng), 1),
        "deberta": unigram(vocabulary(["[PAD]", "[CLS]", "[SEP]", "[UNK]"], trained[:900], rng), 3, False),
        "bytes": unigram([["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0], *bytes_, *trained[1:400]], 0, True),
        "some bytes": unigram([["<unk>", 0.0], *bytes_[:0xe4], *trained[1:300]], 0, True),
        "double": unigram(trained[:800], 0),
        "odd": unigram(odd, 0, False),
        "odd bytes": unigram(odd + bytes_, 0, True),
        "unknown": unigram([["<unk>", 0.0]], 0),
        "rounded": unigram([["<unk>", 0.0], *rounded(rng)], 0),
    }  # fmt: skip


def rounded(rng):
    """Words whose two ways tie if scores are read exactly. The reference reads them a bit off, which decides."""
    for i in range(260):
        first, second, score = chr(0x4E00 + i), chr(0x6E00 + i), single(-rng.uniform(4, 14))
        yield from ((first + second, score), (first, -1.0), (second, score + 1.0))


def rules():
    """A map of our own: every kind of entry that SentencePiece's maps have, and some that they do not."""
    made = {"\t": " ", "\n": " ", "\r": " ", "\x0b": "", "\x01": "", "\x7f": "", "\u00a0": " ", "\u200b": "", "\u3000": " ", "\ufeff": "",
            "\u00ad": "", "\u2026": "...", "\u2122": "TM", "\ufb01": "fi", "\ufdfa": "\u0635\u0644\u0649", "\u00bd": "1\u20442", "\u2581": " ",
            "e\u0301": "\u00e9", "a\u0301\u0323": "?", "o\u0308": "\u00f6", "ae": "never", "\r\n": "never", "\u0600a": "sign", "\u0915\u094d": "k",
            "\u0915": "K", "I": "i", "I\u0307": "never", "\U0001f1e9": "D", "\U0001f468\u200d": "man", "\u1100\u1161": "never", "\u0e33": "\u0e4d\u0e32",
            "\uac00\u11a8": "never", "\u11a8": "\u3131", "\u212b": "\u00c5", "\u0344": "\u0308\u0301", "\u0340": "", "\u302e": "."}  # fmt: skip
    for low, high in ((0x3131, 0x318E), (0xFF01, 0xFF5E), (0xFFA1, 0xFFDC)):
        made |= {c: unicodedata.normalize("NFKC", c) for c in make_golden.assigned(low, high + 1)}
    return made


def charsmap(made):
    """The format of SentencePiece: the size of a double array, the array, and the texts, each of which ends with a zero."""
    texts, places = b"", {}
    for text in dict.fromkeys(made.values()):
        places[text] = len(texts)
        texts += text.encode() + b"\0"
    root = {}
    for key, text in made.items():
        node = root
        for b in key.encode():
            node = node.setdefault(b, {})
        node[None] = places[text]
    units, used = {}, {0}

    def place(node, at, label):
        children = [b or 0 for b in node]
        base = next(b for b in range(1, 1 << 20) if all(b ^ c not in used for c in children))
        used.update(base ^ c for c in children)
        units[at] = label | (None in node) << 8 | (at ^ base) << 10
        for b, child in node.items():
            if b is None:
                units[base] = child | 1 << 31
            else:
                place(child, base ^ b, b)

    place(root, 0, 0)
    size = (max(units) | 0xFF) + 1
    array = b"".join(struct.pack("<I", units.get(i, 0)) for i in range(size))
    return struct.pack("<I", len(array)) + array + texts


def precompiled(name):
    return {"type": "Precompiled", "precompiled_charsmap": name}


def in_turn(*parts):
    return {"type": "Sequence", "normalizers": list(parts)}


def words_in_turn(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def regex(pattern, content):
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def literal(pattern, content):
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def strip(left, right):
    return {"type": "Strip", "strip_left": left, "strip_right": right}


def metaspace(scheme="always", split=True, replacement=META):
    return {"type": "Metaspace", "replacement": replacement, "prepend_scheme": scheme, "split": split}


def template(before, after, ids):
    piece = lambda name: {"SpecialToken": {"id": name, "type_id": 0}}  # noqa: E731
    return {
        "type": "TemplateProcessing",
        "single": [*map(piece, before), {"Sequence": {"id": "A", "type_id": 0}}, *map(piece, after)],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {n: {"id": n, "ids": [ids.index(n)], "tokens": [n]} for n in {*before, *after}},
    }


def specials(*names, mask="<mask>"):
    return [added(n, special=True, normalized=False, lstrip=n == mask) for n in names]


def configs():
    old = {"type": "Metaspace", "replacement": META, "add_prefix_space": True}
    split, kind = {"type": "WhitespaceSplit"}, lambda name: {"type": name}
    roberta = {
        "added_tokens": specials("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        "post_processor": template(["<s>"], ["</s>"], ["<s>", "<pad>", "</s>", "<unk>"]),
        "model": "xlmr",
    }
    cased = {"pre_tokenizer": words_in_turn(metaspace()), "post_processor": template(["[CLS]"], ["[SEP]"], ["[PAD]", "[CLS]", "[SEP]"]),
             "added_tokens": specials("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", mask=""), "model": "deberta"}  # fmt: skip
    quotes = [literal("``", '"'), literal("''", '"')]
    lower = {"pre_tokenizer": words_in_turn(split, old), "model": "albert",
             "added_tokens": specials("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", mask="[MASK]"),
             "post_processor": template(["[CLS]"], ["[SEP]"], ["<pad>", "<unk>", "[CLS]", "[SEP]"])}  # fmt: skip
    bare = {"added_tokens": [], "post_processor": None, "model": "double", "pre_tokenizer": metaspace()}
    made = {}
    for name in ("ours", *NAMED):
        newer = in_turn(precompiled(name), strip(False, True), regex(" {2,}", META))
        made |= {
            f"xlm-roberta {name}": roberta | {"normalizer": precompiled(name), "pre_tokenizer": words_in_turn(split, old | {"str_rep": META})},
            f"xlm-roberta, newer {name}": roberta | {"normalizer": newer, "pre_tokenizer": metaspace()},
            f"albert {name}": lower | {"normalizer": in_turn(*quotes, kind("NFKD"), kind("StripAccents"), kind("Lowercase"), precompiled(name))},
            f"deberta {name}": cased | {"normalizer": in_turn(strip(True, True), precompiled(name), regex(" {2,}", " "))},
            f"t5 {name}": {"normalizer": precompiled(name), "pre_tokenizer": words_in_turn(split, metaspace()), "model": "t5",
                           "added_tokens": specials("</s>", "<unk>", "<pad>", "<extra_id_0>", "<extra_id_1>", "<extra_id_9>", mask=""),
                           "post_processor": template([], ["</s>"], ["<pad>", "</s>"])},
        }  # fmt: skip
    made |= {
        "e5, right 24": made["xlm-roberta nmt_nfkc"] | {"truncation": truncation(24)},
        "e5, left 24": made["xlm-roberta nmt_nfkc"] | {"truncation": truncation(24, "Left")},
        "newer, right 24": made["xlm-roberta, newer ours"] | {"truncation": truncation(24)},
        "newer, left 24": made["xlm-roberta, newer ours"] | {"truncation": truncation(24, "Left")},
        "albert, newer": lower | {"normalizer": in_turn(*quotes, kind("NFKD"), kind("StripAccents"), kind("Lowercase"),
                                  precompiled("ours"), regex(" {2,}", " ")), "pre_tokenizer": metaspace()},
        "camembert": roberta | {"normalizer": precompiled("ours"), "pre_tokenizer": words_in_turn(split, old), "model": "camembert",
                                "added_tokens": specials("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<s>", "</s>", "<mask>")},
        "whole": bare | {"pre_tokenizer": metaspace(split=False)},
        "whole, right 8": bare | {"pre_tokenizer": metaspace(split=False), "truncation": truncation(8), "normalizer": precompiled("ours")},
        "whole, left 8": bare | {"pre_tokenizer": metaspace(split=False), "truncation": truncation(8, "Left")},
        "bare": bare | {"pre_tokenizer": None},
        "never": bare | {"pre_tokenizer": metaspace("never")},
        "never, older": bare | {"pre_tokenizer": {"type": "Metaspace", "replacement": META, "add_prefix_space": False, "prepend_scheme": "never"}},
        "first": bare | {"pre_tokenizer": metaspace("first"), "added_tokens": specials("<s>", "<mask>")},
        "first, whole": bare | {"pre_tokenizer": metaspace("first", False), "added_tokens": specials("<s>", "<mask>")},
        "first, in words": bare | {"pre_tokenizer": words_in_turn(split, metaspace("first"))},
        "first, in bert's words": bare | {"pre_tokenizer": words_in_turn(kind("BertPreTokenizer"), metaspace("first"))},
        "first, stripped": bare | {"pre_tokenizer": metaspace("first"), "normalizer": strip(True, False)},
        "first, nmt": bare | {"pre_tokenizer": metaspace("first"), "normalizer": kind("Nmt")},
        "first, accents": bare | {"pre_tokenizer": metaspace("first"), "normalizer": in_turn(kind("NFD"), kind("StripAccents"))},
        "first, bert": bare | {"pre_tokenizer": metaspace("first", False), "normalizer": bert_normalizer()},
        "first, replaced": bare | {"pre_tokenizer": metaspace("first"), "normalizer": in_turn(*quotes, literal("x", ""), regex("\\s+", "-"))},
        "first, precompiled": bare | {"pre_tokenizer": metaspace("first"), "normalizer": precompiled("ours")},
        "first, added": bare | {"pre_tokenizer": metaspace("first"), "normalizer": in_turn(strip(True, False), kind("Lowercase")),
                                "added_tokens": [added("new"), added("<l>", lstrip=True), added("KETTLE"), *specials("<mask>")]},
        "added": roberta | {"normalizer": in_turn(precompiled("ours"), regex(" {2,}", " ")), "pre_tokenizer": metaspace(),
                            "added_tokens": roberta["added_tokens"] + [added("new york"), added("Gr\u00f6\u00dfe"), added("\u4e2d\u6587", normalized=False),
                                             added("<r>", rstrip=True), added("Solo", single_word=True), added("\uff21bc"), added("\uac00\uac01")]},
        "underscore": bare | {"pre_tokenizer": metaspace(replacement="_")},
        "accented replacement": bare | {"pre_tokenizer": metaspace("first", replacement="\u00e9")},
        "nmt": bare | {"normalizer": in_turn(kind("Nmt"), kind("NFKC"), regex(" {2,}", " "))},
        "stripped": bare | {"normalizer": strip(True, True)},
        "lowered, stripped": bare | {"normalizer": in_turn(kind("NFKC"), kind("Lowercase"), strip(True, True), regex(" +", " "))},
        "expressions": bare | {"normalizer": in_turn(regex("[a-c\\-\u4e00-\u9fff]{2,3}", "#"), regex("(?:ll|(?:oo|o))", "\u00d8"), regex("\\s+", " "),
                               regex("\\.\\.\\.|\u00e9?!", "!"), regex("[^\\s!-~]+x", "<>"))},
        "emptied": bare | {"normalizer": in_turn(regex("[^a-z ]", ""), literal("e", ""))},
        "gemma": {"normalizer": literal(" ", META), "pre_tokenizer": None, "post_processor": None, "added_tokens": specials("<s>", "</s>"), "model": "bytes"},
        "llama": {"normalizer": in_turn({"type": "Prepend", "prepend": META}, literal(" ", META)), "pre_tokenizer": None, "post_processor": None,
                  "added_tokens": specials("<s>", "</s>"), "model": "bytes"},
        "llama, left": {"normalizer": in_turn({"type": "Prepend", "prepend": "a\u0301"}, kind("NFC"), precompiled("ours")), "truncation": truncation(9, "Left"),
                        "pre_tokenizer": metaspace("first"), "post_processor": None, "added_tokens": specials("<s>", "</s>"), "model": "bytes"},
        "some bytes": bare | {"model": "some bytes"},
        "some bytes, whole": bare | {"model": "some bytes", "pre_tokenizer": None, "truncation": truncation(11)},
        "odd": bare | {"model": "odd", "pre_tokenizer": None},
        "odd, words": bare | {"model": "odd", "normalizer": kind("NFC")},
        "odd, right 5": bare | {"model": "odd", "pre_tokenizer": None, "truncation": truncation(5)},
        "odd bytes": bare | {"model": "odd bytes", "pre_tokenizer": None},
        "odd bytes, decomposed": bare | {"model": "odd bytes", "normalizer": kind("NFD")},
        "unknown": bare | {"model": "unknown"},
        "rounded": bare | {"model": "rounded", "pre_tokenizer": None},
        "nothing else": bare | {"model": "unknown", "pre_tokenizer": None},
    }  # fmt: skip
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        made[f"korean {form}"] = bare | {"model": "xlmr", "normalizer": kind(form)}
        made[f"korean wordpiece {form}"] = bare | {"model": "wordpiece", "normalizer": kind(form), "pre_tokenizer": kind("BertPreTokenizer")}
    made["korean bert"] = bare | {"model": "wordpiece", "normalizer": bert_normalizer(), "pre_tokenizer": kind("BertPreTokenizer")}
    made["korean kobert"] = bare | {"model": "wordpiece", "normalizer": bert_normalizer(strip=False, lower=False), "pre_tokenizer": kind("BertPreTokenizer")}
    plain = {"version": "1.0", "truncation": None, "padding": None, "decoder": None, "normalizer": None}
    return {name: plain | config for name, config in made.items()}


def wordpiece(rng):
    """Trained on Korean: as it is written, in the letters that BERT's normalizer leaves, and in compatibility jamo."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False)
    texts = [korean(rng, 10) for _ in range(300)]
    letters = [chr(c) for low, high in HANGUL for c in range(low, high + 1)]
    texts += [unicodedata.normalize("NFD", t) for t in texts] + [" ".join(letters)] + [" ".join(rng.choices(letters[:400], k=20)) for _ in range(50)]
    tokenizer.train_from_iterator(texts, trainer)
    return json.loads(tokenizer.to_str())["model"]


def texts(rng):
    """Yields (group, text or recipe): a part of make_golden's, spaces and quotes, and Hangul in every form."""
    keep = {"review": 120, "block": 500, "hostile": 1100, "marks": 500, "special": 60, "added": 200, "word": 60, "emoji": 150}
    for group, text in make_golden.texts(rng):
        if keep.get(group, 1) > 0 or group == "giant":
            if group in keep:
                keep[group] -= 1
            if group in keep or group in ("small", "giant") or rng.random() < 0.4:
                yield group, text
    pool = [" ", "  ", "   ", "\t", "\r\n", "\n", "\r", "\u3000", "\u00a0", META, META * 2, "``", "''", '"', "a", "the ", " good", "New york", "new york",
            "<mask>", " <mask>", "<s>", "</s>", "<extra_id_0>", "<extra_id_7>", "[MASK]", "[CLS]", "<unk>", "\ufeff", "\u200b", "\x01", "\x7f", "x", "...",
            "\u2026", "\uff21bc", "_", "\u00e9", "e\u0301", "A\u030a", "\u0600", "\uac00\uac01", "<0x41>", "\u0301", "KETTLE", "<l>", "<r> ", "Solo", "-"]  # fmt: skip
    for _ in range(900):
        yield "spaces", "".join(rng.choice(pool) for _ in range(rng.randint(1, 14)))
    letters = [[chr(c) for c in range(low, high + 1)] for low, high in HANGUL]
    forms = ["NFC", "NFD", "NFKC", "NFKD"]
    for _ in range(250):
        text = korean(rng, rng.randint(1, 12))
        for form in rng.sample(forms, 2):
            yield "korean", unicodedata.normalize(form, text)
    for _ in range(700):
        parts = []
        for _ in range(rng.randint(1, 12)):
            k = rng.randint(1, 4)
            parts.append(rng.choice([lambda: "".join(rng.choices(rng.choice(letters), k=k)), lambda: korean(rng, 1), lambda: rng.choice(" \u0301a.\u200d"),
                                     lambda: unicodedata.normalize("NFD", korean(rng, 1)), lambda: chr(rng.randint(0xAC00, 0xD7A3)),
                                     lambda: "".join(rng.choice(letters[i]) for i in range(3))])())  # fmt: skip
        text = "".join(parts)
        yield "hangul", unicodedata.normalize(rng.choice(forms), text) if rng.random() < 0.6 else text
    for _ in range(300):
        yield "ties", "".join(rng.choice(["a", "aa", "ab", "xy", "x", "y", "z", "q", "\u4e2d", "\u6587", " a", "<unk>", "<s>", "h", "\U0001f44d", "\U0001f3fd"])
                              for _ in range(rng.randint(1, 40)))  # fmt: skip
    for _ in range(150):
        yield "rounded", "".join(chr(0x4E00 + i) + chr(0x6E00 + i) for i in rng.choices(range(260), k=20))
    for part in ("\uac00", "\u1100\u1161\u11a8", "\u1100", "aa", "\u2581", " a", "\u4e2d\u6587 ", "\u0e01\u0e33", "\u0915\u094d", "\U0001f1e9", "ab\r\n"):
        for times in (300, 20000 // len(part.encode())):
            yield "giant", [["so ", 1], [part, times], [" end", 2]]
    for spaces in (1, 2, 3, 4096):
        for around in (["x", "y"], ["x\u0301", "y"], ["\u3000", "y"], ["x", "\u0301"], ["\u0600", "y"], ["x ", "\t"]):
            yield "giant", [["ab ", 1360], [around[0], 9], [" ", spaces], [around[1], 9], [" cd", 1500]]
            yield "giant", [[" ", spaces], [around[0], 4096], [" ", spaces], [around[1] + " ", 1000], [" ", spaces]]


CONFIGS_OF = {
    "korean": lambda n: "korean" in n or "roberta" in n or n.startswith("t5"), "hangul": lambda n: "korean" in n or "nfkc" in n or "ours" in n,
    "rounded": lambda n: n == "rounded",
    "ties": lambda n: "odd" in n or "bytes" in n or n in ("bare", "whole", "nothing else"),
    "spaces": lambda n: "odd" not in n and "korean" not in n, "added": lambda n: "added" in n or "first" in n,
}  # fmt: skip


class Golden:
    def __init__(self, folder, rng):
        self.charsmaps = {"ours": base64.b64encode(charsmap(rules())).decode()}
        self.fetched = {n: base64.b64encode((folder / f"{n}.bin").read_bytes()).decode() for n in NAMED}
        self.models = vocabularies(rng) | {"wordpiece": wordpiece(rng)}
        self.configs = configs()
        self.tokenizers = {}

    def expand(self, part):
        if isinstance(part, dict):
            made = {k: self.expand(v) for k, v in part.items()}
            if made.get("type") == "Precompiled":
                made["precompiled_charsmap"] = (self.charsmaps | self.fetched)[made["precompiled_charsmap"]]
            if isinstance(made.get("model"), str):
                made["model"] = self.models[made["model"]]
            return made
        return [self.expand(p) for p in part] if isinstance(part, list) else part

    def tokenizer(self, name):
        if name not in self.tokenizers:
            self.tokenizers[name] = Tokenizer.from_str(json.dumps(self.expand(self.configs[name])))
        return self.tokenizers[name]

    def case(self, name, group, text, whole, want=None):
        encoding = self.tokenizer(name).encode(whole)
        case = {"config": name, "group": group} | ({"text": text} if isinstance(text, str) else {"recipe": text})
        ids = want if want is not None else encoding.ids
        if len(ids) <= 120:
            return case | {"ids": ids}
        digest = hashlib.sha256(b"".join(i.to_bytes(4, "little") for i in ids)).hexdigest()
        return case | {"count": len(ids), "sha256": digest}

    def cases(self, rng):
        turn = 0
        for group, text in texts(rng):
            whole = text if isinstance(text, str) else "".join(part * times for part, times in text)
            names = [n for n in self.configs if CONFIGS_OF.get(group, lambda _: True)(n) and n != "sentencepiece"]
            for _ in range(2 if group in ("hostile", "spaces", "hangul") else 1):
                name = names[turn % len(names)]
                turn += 1
                try:
                    yield self.case(name, group, text, whole)
                except BaseException as e:  # noqa: BLE001, a panic of the reference
                    if isinstance(e, KeyboardInterrupt):
                        raise
                    print(f"left out: {name} {whole[:60]!r}: {e}", file=sys.stderr)

    def sentencepiece(self, rng):
        """A model that SentencePiece trained, as it is converted: the same ids, both give the same."""
        training = [t for t in corpus(rng) if len(t) < 4000]
        data = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(training), model_writer=data, vocab_size=1200, minloglevel=2,
                                                 character_coverage=0.999, normalization_rule_name="nmt_nfkc")  # fmt: skip
        model = sentencepiece.SentencePieceProcessor(model_proto=data.getvalue())
        vocab = [[model.id_to_piece(i), model.get_score(i)] for i in range(model.get_piece_size())]
        self.models["sentencepiece"] = unigram(vocab, model.unk_id())
        self.configs["sentencepiece"] = self.configs["xlm-roberta, newer nmt_nfkc"] | {"model": "sentencepiece", "post_processor": None, "added_tokens": []}
        counts, lines = collections.Counter(), []
        for group, text in texts(rng):
            if group not in ("review", "korean", "word", "small", "spaces", "hangul", "greek", "cyrillic", "kana", "han") or not isinstance(text, str):
                continue
            want = model.encode(text)
            agree = want == self.tokenizer("sentencepiece").encode(text).ids
            counts[group, agree] += 1
            if agree and (group not in ("spaces", "hangul") or counts[group, agree] % 3 == 0):
                lines.append(self.case("sentencepiece", "sentencepiece", text, text, want))
        groups = dict.fromkeys(group for group, _ in counts)
        print("agreeing with sentencepiece:", *(f"{g} {counts[g, True]} of {counts[g, True] + counts[g, False]}," for g in groups))
        return lines

    def sweeps(self):
        for name in ("ours", *NAMED):
            yield precompiled(name), "a", "b"
        for name in ("ours", "nmt_nfkc"):
            yield precompiled(name), "\uac00", "\u11a8\u0301 "
        yield precompiled("ours"), "e", "\u0301\u0323"
        yield precompiled("nmt_nfkc"), "A", "\u0301"
        yield precompiled("nmt_nfkc"), "\u0915\u094d", "\u200d"
        yield precompiled("nmt_nfkc"), "\u0600", "\U0001f1e9"
        yield {"type": "Nmt"}, "a", "b"
        yield strip(True, True), "", " a "
        yield regex("\\s+", "#"), "a", "b"

    def swept(self):
        for part, before, after in self.sweeps():
            tokenizer = Tokenizer.from_str(json.dumps(self.expand(self.configs["bare"] | {"model": "unknown", "normalizer": part})))
            blocks = []
            for low in range(0, 0x110000, 0x1000):
                points = [c for c in range(low, low + 0x1000) if not 0xD800 <= c < 0xE000]
                lines = "\n".join(tokenizer.normalizer.normalize_str(before + chr(c) + after) for c in points)
                blocks.append(hashlib.sha256(lines.encode()).hexdigest()[:8])
            yield {"sweep": {"normalizer": part}, "before": before, "after": after, "blocks": blocks}


def main():
    if tokenizers.__version__ != REFERENCE:
        sys.exit(f"tokenizers is {tokenizers.__version__}: want {REFERENCE}")
    rng = random.Random(21)
    golden = Golden(pathlib.Path(sys.argv[1]), rng)
    lines = golden.sentencepiece(rng) + list(golden.cases(rng))
    first = {"reference": REFERENCE, "models": golden.models, "charsmaps": golden.charsmaps,
             "configs": {name: {"tokenizer": config} for name, config in golden.configs.items()}}  # fmt: skip
    out = pathlib.Path(__file__).with_name("golden_unigram.jsonl.gz")
    lines = [first, *lines, *golden.swept()]
    with gzip.GzipFile(out, "wb", 9, mtime=0) as f:
        for line in lines:
            f.write((json.dumps(line, separators=(",", ":")) + "\n").encode())
    print(f"{sum('config' in line for line in lines)} cases, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
