#!/usr/bin/env python3
"""Random tokenizer files and random texts, and what the reference makes of them.

    fuzz.py --seed 1 --files 400 >batch.jsonl
    NEARLINE_TOKENIZER_FUZZ=batch.jsonl go test -run TestFuzzedFilesEqualReference ./models/tokenizer

    go test -c -o tokenizer.test ./models/tokenizer
    fuzz.py --minutes 60 --test ./tokenizer.test --found found.jsonl

The second form makes batch after batch and keeps what the test did not agree with. Each line is a file, with what the
reference answers for each of its texts, or the error with which it refuses the file. A text on which it panics is left out.

It needs: pip install tokenizers==0.23.3
"""

import argparse
import base64
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

import tokenizers
from tokenizers import Tokenizer

REFERENCE = "0.23.3"

LETTERS = list("aabcdeeinorst") + ["A", "B", "E", "\u00e9", "\u00c9", "\u00fc", "\u00df", "\u0130", "\u0131", "\u017f", "\u01c5", "\u03a3", "\u03c2", "\u4e2d", "\u6587", "\u3042", "\u30ab", "\uac00", "\u1100", "\u1161", "\u0915", "\u0e01", "\u0627"]
MARKS = ["\u0301", "\u0323", "\u0308", "\u0345", "\u0334", "\u3099", "\u093c", "\u0670", "\u064b", "\u20e3", "\ufe0f", "\u0488", "\u0e33", "\u302e"]
SPACES = [" ", " ", " ", " ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u3000", "\u2003", "\u2028", "\u0085", "\u200b", "\u1680", "\u000b", "\u000c", "\u001c", "\u180e", "\u2581"]
NASTY = ["\x00", "\x01", "\x07", "\x1f", "\x7f", "\ufffd", "\ufeff", "\u200d", "\u200e", "\u00ad", "\u2060", "\ufffe", "\uffff", "\ue000", "\U000f0000", "\U0010ffff", "\U000e0001", "\u0378", "\u06dd", "\u070f", "\U000110bd", "\u0600"]
SYMBOLS = list("!#$%&'()*+,-./:;<=>?@[]^_`{|}~") + ["'s", "'ll", "'S", "##", "...", "\u20ac", "\u2019", "\u201c", "\u3002", "\uff01", "\u00a9", "\u2122", "\ufb01", "\uff21", "\u2460", "\u00bd", "\u00b2", "\u0663", "\u2167", "\u3231", "\u1e9b\u0323", "\u212b"]
DIGITS = ["0", "1", "2", "12", "2024", "3.14", "\u0661", "\u0967", "\u00be"]
EMOJI = ["\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "\U0001f1eb\U0001f1f7", "\U0001f600", "1\ufe0f\u20e3"]
WORDS = ["the", "The", "cat", "in", "test", "tests", "don't", "caf\u00e9", "cafe\u0301", "na\u00efve", "new york", "aaaa", "abab", "Stra\u00dfe", "\u4e2d\u6587", "\ud55c\uad6d", "\u1112\u1161\u11ab"]
SPECIALS = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "<s>", "</s>", "<pad>", "<unk>", "<mask>", "<|endoftext|>"]


def piece(rng):
    return rng.choice(rng.choices([LETTERS, MARKS, SPACES, NASTY, SYMBOLS, DIGITS, EMOJI, WORDS], [10, 2, 6, 1, 3, 2, 1, 6])[0])


def anywhere(rng):
    while True:
        c = rng.choice([rng.randrange(0x250), rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x20000)])
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def text(rng, own):
    """A text of pieces of all kinds, many of them the file's own."""
    kind = rng.random()
    if kind < 0.04:
        return rng.choice(["", " ", "  ", "\n", "\u3000", "\u0301", "\x00", "\ufffd", "\u2581", "a"])
    parts = []
    share = rng.choice([0.1, 0.4, 0.8])
    for _ in range(rng.choice([1, 2, 3, 5, 8, 13, 30])):
        roll = rng.random()
        if own and roll < share:
            parts.append(rng.choice(own))
        elif roll < 0.97:
            parts.append(piece(rng))
        else:
            parts.append(anywhere(rng))
        if rng.random() < 0.3:
            parts.append(" ")
    made = "".join(parts)
    if kind > 0.97:
        made = (made + rng.choice([" ", "", " a b "])) * rng.choice([20, 60])
    if rng.random() < 0.05:
        made = unicodedata.normalize(rng.choice(["NFC", "NFD", "NFKC", "NFKD"]), made)
    return made[:3000]


# --- parts -------------------------------------------------------------------------------------------------------------

PATTERNS = [
    {"String": " "}, {"String": "a"}, {"String": "ab"}, {"String": "\u2581"}, {"String": "  "}, {"String": "\n"}, {"String": "aa"}, {"String": "''"}, {"String": "\u00e9"}, {"String": "e\u0301"},
    {"Regex": " +"}, {"Regex": " {2,}"}, {"Regex": "\\s+"}, {"Regex": "\\d"}, {"Regex": "\\d{1,3}"}, {"Regex": "[a-c]+"}, {"Regex": "\\p{L}+"}, {"Regex": "\\p{N}"}, {"Regex": "[^\\s\\p{L}]+"},
    {"Regex": "a|ab"}, {"Regex": "\\w+"}, {"Regex": "\\W"}, {"Regex": "."}, {"Regex": "[\\r\\n]+"}, {"Regex": "\\p{P}"}, {"Regex": "\\p{M}+"}, {"Regex": "(?:a|b)+c?"}, {"Regex": "\\s{2,}|[\\n\\r\\t]"},
    {"Regex": "\\p{Han}+"}, {"Regex": "[\\w']+"}, {"Regex": "a+?b"}, {"Regex": "\\S+"}, {"Regex": "[^a]"}, {"Regex": "\\p{Lu}\\p{Ll}*"},
    {"Regex": "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
]  # fmt: skip

BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def flag(rng):
    return rng.random() < 0.5


def charsmap(rng):
    """A map as SentencePiece writes it: a double array, built with one key a byte string, then the texts."""
    keys = {}
    for _ in range(rng.randint(1, 6)):
        key = rng.choice(["\u00e9", "A", "\ufb01", "\uff21", "e\u0301", "\u3000", "\u00a0", "\t", "a\u0301", "\u0301", "\u200b", "\uac00", "b"])
        keys[key] = rng.choice(["e", "a", "fi", " ", "", "A\u0301", "xyz", "\u00e9"])
    texts, at = b"", {}
    for key, value in keys.items():
        at[key.encode()] = len(texts)
        texts += value.encode() + b"\0"
    # States hang on offsets; a free search for each.
    units = {}
    used = {0}

    def insert(place, group):
        bytes_of = sorted({k[0] for k in group if k})
        leaf = b"" in group
        base = 1
        labels = ([0] if leaf else []) + bytes_of
        while any((place ^ base ^ b) in used for b in labels) or base & 0x1FFFFF != base:
            base += 1
        for b in labels:
            used.add(place ^ base ^ b)
        unit = units.get(place, 0)
        units[place] = unit | base << 10 | (1 << 8 if leaf else 0)
        if leaf:
            units[place ^ base] = group[b""] | 1 << 31
        for b in bytes_of:
            child = place ^ base ^ b
            units[child] = b
            insert(child, {k[1:]: v for k, v in group.items() if k and k[0] == b})

    insert(0, at)
    size = (max(units) | 0xFF) + 1
    array = b"".join(struct.pack("<I", units.get(i, 0)) for i in range(size))
    return base64.b64encode(struct.pack("<I", len(array)) + array + texts).decode()


def normalizer(rng, depth=0):
    kinds = ["BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Strip", "Prepend", "Replace", "Nmt", "Precompiled"]
    kind = rng.choice(kinds + ["Sequence"] * (4 if depth == 0 else 1 if depth == 1 else 0))
    made = {"type": kind}
    if kind == "BertNormalizer":
        made |= {"clean_text": flag(rng), "handle_chinese_chars": flag(rng), "strip_accents": rng.choice([None, True, False]), "lowercase": flag(rng)}
    elif kind == "Strip":
        made |= {"strip_left": flag(rng), "strip_right": flag(rng)}
    elif kind == "Prepend":
        made |= {"prepend": rng.choice(["\u2581", " ", "x", "ab", "\u0301"])}
    elif kind == "Replace":
        made |= {"pattern": rng.choice(PATTERNS), "content": rng.choice(["", " ", "\u2581", "x", "ab", "\u0301", "  "])}
    elif kind == "Precompiled":
        made |= {"precompiled_charsmap": charsmap(rng)}
    elif kind == "Sequence":
        made |= {"normalizers": [normalizer(rng, depth + 1) for _ in range(rng.randint(0 if depth else 1, 4))]}
    return made


def pre_tokenizer(rng, depth=0):
    kinds = ["BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "Metaspace", "Punctuation", "Split", "Whitespace", "WhitespaceSplit"]
    kind = rng.choice(kinds + ["Split", "Metaspace"] + ["Sequence"] * (4 if depth == 0 else 1 if depth == 1 else 0))
    made = {"type": kind}
    if kind == "ByteLevel":
        made |= {"add_prefix_space": flag(rng), "trim_offsets": flag(rng), "use_regex": flag(rng)}
    elif kind == "CharDelimiterSplit":
        made |= {"delimiter": rng.choice([" ", "a", "-", "\u2581", "\u00e9"])}
    elif kind == "Digits":
        made |= {"individual_digits": flag(rng)}
    elif kind == "Metaspace":
        made |= {"replacement": rng.choice(["\u2581", "\u2581", "_", " ", "a"]), "prepend_scheme": rng.choice(["always", "first", "never"]), "split": rng.random() < 0.7}
    elif kind == "Punctuation":
        made |= {"behavior": rng.choice(BEHAVIORS)}
    elif kind == "Split":
        made |= {"pattern": rng.choice(PATTERNS), "behavior": rng.choice(BEHAVIORS), "invert": flag(rng)}
    elif kind == "Sequence":
        made |= {"pretokenizers": [pre_tokenizer(rng, depth + 1) for _ in range(rng.randint(0 if depth else 1, 4))]}
    return made


# --- models ------------------------------------------------------------------------------------------------------------

BYTES = {}
next_rune = 0x100
for b in range(256):
    if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or 0xAE <= b:
        BYTES[b] = chr(b)
    else:
        BYTES[b] = chr(next_rune)
        next_rune += 1


def chars(rng, byte_level):
    if byte_level:
        letters = list(BYTES.values())
        return letters if rng.random() < 0.6 else rng.sample(letters, rng.randint(60, 250))
    pool = LETTERS + MARKS + ["\u2581", " ", ".", ",", "!", "'", "-", "_", "1", "2", "0", "\u0120", "\u00c3", "\u00a9"]
    return list(dict.fromkeys(rng.sample(pool, rng.randint(8, len(pool)))))


def numbered(rng, tokens):
    tokens = list(dict.fromkeys(tokens))
    rng.shuffle(tokens)
    if rng.random() < 0.1:  # with gaps
        ids = rng.sample(range(len(tokens) + 20), len(tokens))
        return dict(zip(tokens, ids))
    return {token: i for i, token in enumerate(tokens)}


def subwords(rng, letters, n):
    made = []
    for _ in range(n):
        if rng.random() < 0.25:
            made.append(rng.choice(WORDS).split(" ")[0])
        else:
            made.append("".join(rng.choices(letters[:12] if rng.random() < 0.7 else letters, k=rng.choice([2, 2, 3, 4, 6]))))
    return made


def word_piece(rng, byte_level):
    letters = chars(rng, byte_level)
    prefix = rng.choice(["##", "##", "##", "", "@", "\u2581"])
    words = letters + subwords(rng, letters, 40)
    tokens = [w for w in words] + [prefix + w for w in words if rng.random() < 0.7]
    unknown = rng.choice(["[UNK]", "<unk>", "a"])
    return {"type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": prefix, "max_input_chars_per_word": rng.choice([100, 100, 4, 10, 1, 0]), "vocab": numbered(rng, tokens + [unknown])}


def word_level(rng, byte_level):
    letters = chars(rng, byte_level)
    return {"type": "WordLevel", "unk_token": "[UNK]", "vocab": numbered(rng, letters + WORDS + subwords(rng, letters, 40) + ["[UNK]"])}


def bpe(rng, byte_level):
    letters = chars(rng, byte_level)
    prefix = "" if rng.random() < 0.8 else rng.choice(["##", "@"])
    suffix = "" if rng.random() < 0.8 else rng.choice(["</w>", "$"])
    tokens = list(letters)
    if prefix:
        tokens += [prefix + c for c in letters if rng.random() < 0.9]
    if suffix:
        tokens += [c + suffix for c in letters if rng.random() < 0.9]
    if prefix and suffix:
        tokens += [prefix + c + suffix for c in letters]
    tokens = list(dict.fromkeys(tokens))
    merges = []
    common = letters[:14]
    for _ in range(rng.choice([0, 10, 60, 150])):
        pool = [t for t in tokens if t.replace(prefix, "").replace(suffix, "")[:1] in common] or tokens
        left, right = rng.choice(pool), rng.choice(pool)
        if prefix and not right.startswith(prefix) or len(left + right) > 14 or suffix and left.endswith(suffix):
            continue
        if [left, right] in merges:
            continue
        merges.append([left, right])
        tokens.append(left + right[len(prefix) :])
    for word in subwords(rng, letters, 8):
        tokens.append(word)
    fallback = rng.random() < 0.25
    if fallback:
        tokens += [f"<0x{b:02X}>" for b in range(256) if rng.random() < 0.97]
    unknown = rng.choice([None, "<unk>", "<unk>", tokens[0]])
    if unknown:
        tokens.append(unknown)
    rng.shuffle(merges)
    vocab = numbered(rng, tokens)
    made = {
        "type": "BPE", "dropout": None, "unk_token": unknown, "continuing_subword_prefix": prefix or rng.choice([None, ""]),
        "end_of_word_suffix": suffix or rng.choice([None, ""]), "fuse_unk": flag(rng), "byte_fallback": fallback, "ignore_merges": rng.random() < 0.2, "vocab": vocab, "merges": merges,
    }  # fmt: skip
    if rng.random() < 0.3 and all(" " not in t for pair in merges for t in pair):
        made["merges"] = [" ".join(pair) for pair in merges]
    return made


def unigram(rng, byte_level):
    letters = chars(rng, byte_level)
    scores = rng.choice([[-1.0, -2.0, -3.0], [-0.5 * i for i in range(20)], None])
    tokens = list(dict.fromkeys(["<unk>"] + rng.sample(letters, rng.randint(3, len(letters))) + subwords(rng, letters, 40)))
    fallback = rng.random() < 0.25
    if fallback:
        tokens += [f"<0x{b:02X}>" for b in range(256) if rng.random() < 0.99 or b > 0x20]
    if rng.random() < 0.5:
        tokens += ["\u2581" + t for t in tokens[1:30] if "\u2581" + t not in tokens]
    vocab = [[t, rng.choice(scores) if scores else round(-12 * rng.random(), rng.choice([2, 6, 15]))] for t in tokens]
    unknown = 0
    if rng.random() < 0.2:
        unknown = rng.randrange(len(vocab))
    return {"type": "Unigram", "unk_id": unknown, "vocab": vocab, "byte_fallback": fallback}


def own_of(model):
    vocab = model["vocab"]
    return [t if isinstance(t, str) else t[0] for t in vocab]


# --- the rest ----------------------------------------------------------------------------------------------------------


def added_tokens(rng, own):
    made = []
    for _ in range(rng.choice([0, 0, 1, 3, 8])):
        content = rng.choice([rng.choice(SPECIALS), rng.choice(own), piece(rng), piece(rng) + piece(rng), rng.choice(WORDS), rng.choice(["cat ", " cat", "new york", "a b", "\u2581", " ", "  ", "CAT", "\u00c9", "ab"])])
        special = flag(rng)
        made.append({
            "id": len(own) + len(made), "content": content, "single_word": rng.random() < 0.3, "lstrip": rng.random() < 0.3, "rstrip": rng.random() < 0.3,
            "normalized": rng.random() < 0.5, "special": special,
        })  # fmt: skip
    return made


def post_processor(rng, ids, depth=0):
    if not ids:
        return None
    tokens = rng.sample(list(ids), min(3, len(ids)))
    kind = rng.choice(["TemplateProcessing", "TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel"] + ["Sequence"] * (2 if depth == 0 else 0))
    if kind == "TemplateProcessing":
        single = []
        for _ in range(rng.randint(0, 2)):
            single.append({"SpecialToken": {"id": rng.choice(tokens), "type_id": rng.choice([0, 0, 1])}})
        single.append({"Sequence": {"id": "A", "type_id": rng.choice([0, 0, 0, 1])}})
        for _ in range(rng.randint(0, 2)):
            single.append({"SpecialToken": {"id": rng.choice(tokens), "type_id": rng.choice([0, 0, 1])}})
        pair = [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]
        return {"type": kind, "single": single, "pair": pair, "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in tokens}}
    if kind == "BertProcessing":
        return {"type": kind, "sep": [tokens[0], ids[tokens[0]]], "cls": [tokens[-1], ids[tokens[-1]]]}
    if kind == "RobertaProcessing":
        return {"type": kind, "sep": [tokens[0], ids[tokens[0]]], "cls": [tokens[-1], ids[tokens[-1]]], "trim_offsets": flag(rng), "add_prefix_space": flag(rng)}
    if kind == "ByteLevel":
        return {"type": kind, "add_prefix_space": flag(rng), "trim_offsets": flag(rng), "use_regex": flag(rng)}
    return {"type": kind, "processors": [post_processor(rng, ids, 1) for _ in range(rng.randint(1, 3))]}


def truncation(rng):
    if rng.random() < 0.5:
        return None
    return {"direction": rng.choice(["Right", "Left"]), "max_length": rng.choice([1, 2, 3, 5, 8, 20, 128]), "strategy": rng.choice(["LongestFirst", "OnlyFirst"]), "stride": rng.choice([0, 0, 0, 1, 2])}


def padding(rng, own):
    if rng.random() < 0.8:
        return None
    return {"strategy": "BatchLongest", "direction": rng.choice(["Right", "Left"]), "pad_to_multiple_of": None, "pad_id": rng.randrange(len(own)), "pad_type_id": 0, "pad_token": own[0]}


def untyped(rng, model):
    """As it was written before models had a type."""
    return {k: v for k, v in model.items() if k != "type" and not (rng.random() < 0.1 and k not in ("vocab", "merges"))}


def spoiled(rng, file):
    """A slip, which the reference may refuse."""
    place = rng.choice([file["model"], file["model"], file.get("pre_tokenizer") or file["model"], file.get("normalizer") or file["model"], file.get("post_processor") or file["model"], *(file["added_tokens"][:1] * 2), file["truncation"] or file["model"]])
    key = rng.choice(sorted(place))
    if rng.random() < 0.5 or key in ("vocab", "merges"):
        if key not in ("vocab",):
            del place[key]
    else:
        place[key] = rng.choice([None, "", "x", 1, True, [], -1, 1.5])
    if rng.random() < 0.3:
        place["surplus"] = 1


def tokenizer_file(rng):
    byte_level = rng.random() < 0.3
    model = rng.choice([word_piece, word_level, bpe, bpe, unigram, unigram])(rng, byte_level)
    own = own_of(model)
    pre = None if rng.random() < 0.15 else pre_tokenizer(rng)
    if byte_level and rng.random() < 0.8:
        last = {"type": "ByteLevel", "add_prefix_space": flag(rng), "trim_offsets": True, "use_regex": flag(rng)}
        pre = last if pre is None or flag(rng) else {"type": "Sequence", "pretokenizers": [pre, last]}
    added = added_tokens(rng, own)
    ids = {t: i for i, t in enumerate(own)} if isinstance(model["vocab"], list) else dict(model["vocab"])
    file = {
        "version": "1.0", "truncation": truncation(rng), "padding": padding(rng, own), "added_tokens": added, "normalizer": None if rng.random() < 0.3 else normalizer(rng),
        "pre_tokenizer": pre, "post_processor": None if rng.random() < 0.4 else post_processor(rng, ids), "decoder": None, "model": model,
    }  # fmt: skip
    if rng.random() < 0.15:
        file["model"] = untyped(rng, model)
    if rng.random() < 0.1:
        spoiled(rng, file)
    return file, own + [t.get("content", "") for t in added] * 5


def answers(tokenizer, texts):
    for t in texts:
        try:
            encoding = tokenizer.encode(t)
        except BaseException as err:  # noqa: BLE001: its panics are no Exceptions
            if isinstance(err, KeyboardInterrupt):
                raise
            yield {"text": t, "error": str(err)[:200]}
            continue
        case = {"text": t, "ids": [i for i, kept in zip(encoding.ids, encoding.attention_mask) if kept]}
        types = [i for i, kept in zip(encoding.type_ids, encoding.attention_mask) if kept]
        if any(types):
            case["types"] = types
        yield case


def case(seed, texts):
    rng = random.Random(seed)
    file, own = tokenizer_file(rng)
    return answered(seed, file, [text(rng, own) for _ in range(texts)])


def answered(seed, file, texts):
    line = {"seed": seed, "tokenizer": file}
    try:
        tokenizer = Tokenizer.from_str(json.dumps(file))
    except BaseException as err:  # noqa: BLE001
        if isinstance(err, KeyboardInterrupt):
            raise
        return line | {"refused": str(err)[:300]}
    return line | {"cases": list(answers(tokenizer, texts))}


def patient(seed, texts, seconds=5):
    """The case, or None if the reference does not come to an end: it is asked in a process of its own."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        signal.alarm(seconds)  # its default is death, which native code cannot put off
        try:
            with open(theirs, "w") as out:
                out.write(json.dumps(case(seed, texts)) + "\n")
            os._exit(0)
        finally:
            os._exit(1)
    os.close(theirs)
    with open(ours) as answer:
        line = answer.read()
    _, status = os.waitpid(child, 0)
    return line if status == 0 else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--texts", type=int, default=25)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--test")
    parser.add_argument("--found")
    args = parser.parse_args()
    if tokenizers.__version__ != REFERENCE:
        sys.exit(f"tokenizers is {tokenizers.__version__}: want {REFERENCE}")
    os.environ["RUST_BACKTRACE"] = "0"
    sys.stderr = open(os.devnull, "w")  # panics are told there
    os.dup2(sys.stderr.fileno(), 2)
    if not args.test:
        for i in range(args.files):
            sys.stdout.write(patient(args.seed + i, args.texts) or "")
            sys.stdout.flush()
        return
    seed, end = args.seed, time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        batch, disagreed = os.path.join(folder, "batch.jsonl"), os.path.join(folder, "disagreed.jsonl")
        while time.monotonic() < end:
            with open(batch, "w") as out:
                for i in range(args.files):
                    out.write(patient(seed + i, args.texts) or "")
                    out.flush()
            seed += args.files
            env = os.environ | {"NEARLINE_TOKENIZER_FUZZ": batch, "NEARLINE_TOKENIZER_FUZZ_FOUND": disagreed}
            ran = subprocess.run([args.test, "-test.run", "TestFuzzedFilesEqualReference$", "-test.v"], env=env, capture_output=True, text=True, check=False)
            print(seed, ran.returncode, *[line for line in ran.stdout.splitlines() if "compared" in line], flush=True)
            if ran.returncode and args.found:
                with open(args.found, "a") as out:
                    if os.path.exists(disagreed):
                        out.write(open(disagreed).read())
                        os.remove(disagreed)
                    else:
                        out.write(json.dumps({"output": ran.stdout[-5000:]}) + "\n")


if __name__ == "__main__":
    main()
