#!/usr/bin/env python3
"""What transformers 4 and 5 make of the files that lie beside a tokenizer.json: writes settings.jsonl.gz.

    python -m venv four && four/bin/pip install 'transformers==4.57.6'
    python -m venv five && five/bin/pip install 'transformers==5.24.0'
    five/bin/python make_settings.py --four four/bin/python
"""

import argparse
import gzip
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

TEXTS = ["Hello w\u00f6rld", "HELLO", "caf\u00e9 \u4e2d\u6587", "a b a b a b a b a b a b", "x[SEP]y <s>z</s> [MASK] <mask>", "new york Extra", "<|endoftext|>ab", " ab", "ab<x>cd", "abab  abcd."]
LIMIT = 8

LETTERS = list("abcdehlnorwxyzkABEHLORW .,[]<>|/\u00e9\u00f6\u4e2d\u6587")


def bert(rng):
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + (["[MASK]"] if rng.random() < 0.8 else []) + [c for c in LETTERS if c != " "] + ["##" + c for c in LETTERS if c != " "] + ["hello", "ab", "##ab", "new"]
    ids = {t: i for i, t in enumerate(dict.fromkeys(vocab))}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [special(t, ids[t]) for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if t in ids and rng.random() < 0.9],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": rng.random() < 0.7, "strip_accents": rng.choice([None, None, True, False]), "lowercase": rng.random() < 0.6},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "post_processor": template("[CLS]", "[SEP]", ids),
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": ids},
    }  # fmt: skip


def special(token, i, **flags):
    return {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} | flags


def template(cls, sep, ids):
    return {
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": cls, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": sep, "type_id": 0}}],
        "pair": [{"SpecialToken": {"id": cls, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": sep, "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": sep, "type_id": 1}}],
        "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in (cls, sep)},
    }  # fmt: skip


def byte_level(rng, roberta):
    letters = [chr(b) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b else chr(256 + n) for n, b in enumerate(range(0))]
    extra, letters = 0, []
    for b in range(256):
        if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b:
            letters.append(chr(b))
        else:
            letters.append(chr(256 + extra))
            extra += 1
    tokens = (["<s>", "<pad>", "</s>", "<unk>"] if roberta else []) + letters + ["ab", "\u0120a", "\u0120ab"] + (["<mask>"] if roberta else ["<|endoftext|>"])
    ids = {t: i for i, t in enumerate(tokens)}
    added = [special("<s>", 0), special("<pad>", 1), special("</s>", 2), special("<unk>", 3), special("<mask>", ids["<mask>"], lstrip=True)] if roberta else [special("<|endoftext|>", ids["<|endoftext|>"])]
    prefix = rng.random() < 0.4
    post = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": prefix} if roberta else {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": True},
        "post_processor": post, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": ids, "merges": [["a", "b"], ["\u0120", "a"], ["\u0120", "ab"]]},
    }  # fmt: skip


def unigram(rng):
    tokens = ["<s>", "<pad>", "</s>", "<unk>"] + ["\u2581"] + LETTERS[:-2] + ["\u2581a", "ab", "\u2581ab", "\u2581hello"] + ["<mask>"]
    vocab = [[t, -float(i % 7)] for i, t in enumerate(dict.fromkeys(tokens))]
    ids = {t: i for i, (t, _) in enumerate(vocab)}
    scheme = rng.choice(["always", "always", "never"])
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [special("<s>", 0), special("<pad>", 1), special("</s>", 2), special("<unk>", 3), special("<mask>", ids["<mask>"], lstrip=True)], "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": True}]},
        "post_processor": template("<s>", "</s>", ids), "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": True},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": vocab, "byte_fallback": False},
    }  # fmt: skip


BASES = {
    "bert": (bert, ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizer", "MPNetTokenizer", "ConvBertTokenizer", "MobileBertTokenizer", "PreTrainedTokenizerFast", None], ["bert", "distilbert", "electra", None]),
    "roberta": (lambda rng: byte_level(rng, True), ["RobertaTokenizer", "RobertaTokenizerFast", "LongformerTokenizer", "BartTokenizer", "PreTrainedTokenizerFast", None], ["roberta", "bart", None]),
    "gpt2": (lambda rng: byte_level(rng, False), ["GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast", None], ["gpt2", "gpt_neo", None]),
    "xlm-roberta": (unigram, ["XLMRobertaTokenizer", "XLMRobertaTokenizerFast", "PreTrainedTokenizerFast", None], ["xlm-roberta", None]),
}  # fmt: skip


def token(rng, name):
    if rng.random() < 0.6:
        return name
    return {"__type": "AddedToken", "content": name, "single_word": rng.random() < 0.3, "lstrip": rng.random() < 0.4, "rstrip": rng.random() < 0.4, "normalized": rng.random() < 0.4, "special": rng.random() < 0.7}


def settings(rng, kind, classes):
    made = {}
    name = rng.choice(classes)
    if name:
        made["tokenizer_class"] = name
    bools = {"do_lower_case": 0.5, "strip_accents": 0.3, "tokenize_chinese_chars": 0.3} if kind == "bert" else {"add_prefix_space": 0.5}
    for key, chance in bools.items():
        if rng.random() < chance:
            made[key] = rng.choice([True, False] + ([None] if key == "strip_accents" else []))
    if rng.random() < 0.4:
        made["truncation_side"] = rng.choice(["left", "right"])
    if rng.random() < 0.2:
        made["padding_side"] = rng.choice(["left", "right"])
    if rng.random() < 0.2:
        made["split_special_tokens"] = rng.random() < 0.7
    if rng.random() < 0.3:
        made["additional_special_tokens"] = [token(rng, t) for t in rng.sample(["<x>", "new york", "ab", "<y>"], rng.randint(1, 2))]
    if rng.random() < 0.2:
        made["clean_up_tokenization_spaces"] = rng.random() < 0.5
    if rng.random() < 0.2:
        made["sep_token"] = token(rng, "[SEP]" if kind == "bert" else "</s>")
    return made


def folder(seed):
    rng = random.Random(seed)
    kind = rng.choice(list(BASES))
    base, classes, types = BASES[kind]
    made = {"tokenizer.json": base(rng)}
    if rng.random() < 0.15:
        made["tokenizer.json"]["truncation"] = {"direction": rng.choice(["Left", "Right"]), "max_length": 6, "strategy": "LongestFirst", "stride": 0}
    made["tokenizer_config.json"] = settings(rng, kind, classes)
    model_type = rng.choice(types) if "tokenizer_class" in made["tokenizer_config.json"] else types[0]
    made["config.json"] = {"model_type": model_type} if model_type else {}
    if rng.random() < 0.25:
        size = len(made["tokenizer.json"]["model"]["vocab"])
        decoder = {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in made["tokenizer.json"]["added_tokens"]}
        if rng.random() < 0.7:
            decoder[str(size)] = {"content": "<x>", "single_word": rng.random() < 0.2, "lstrip": rng.random() < 0.3, "rstrip": rng.random() < 0.3, "normalized": rng.random() < 0.5, "special": rng.random() < 0.5}
        made["tokenizer_config.json"]["added_tokens_decoder"] = decoder
    if rng.random() < 0.25:
        made["special_tokens_map.json"] = {rng.choice(["additional_special_tokens"]): [rng.choice(["<x>", "new york"])]} if rng.random() < 0.5 else {"pad_token": rng.choice(["<x>", "[PAD]", "<pad>"])}
    if rng.random() < 0.2:
        made["added_tokens.json"] = {rng.choice(["<x>", "new york", "Extra"]): len(made["tokenizer.json"]["model"]["vocab"])}
    return made


def asked(seed):
    from transformers import AutoTokenizer

    files = folder(seed)
    with tempfile.TemporaryDirectory() as path:
        for name, content in files.items():
            pathlib.Path(path, name).write_text(json.dumps(content))
        try:
            tokenizer = AutoTokenizer.from_pretrained(path)
            return [tokenizer(t, truncation=True, max_length=LIMIT)["input_ids"] for t in TEXTS]
        except BaseException as err:  # noqa: BLE001
            return f"{type(err).__name__}: {err}"[:300]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--four")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folders", type=int, default=300)
    parser.add_argument("--out", default=str(pathlib.Path(__file__).with_name("settings.jsonl.gz")))
    args = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "critical", "RUST_BACKTRACE": "0"}
    seeds = range(args.seed, args.seed + args.folders)
    if not args.four:
        for seed in seeds:
            print(json.dumps(asked(seed)), flush=True)
        return
    fours = subprocess.run([args.four, __file__, "--seed", str(args.seed), "--folders", str(args.folders)], capture_output=True, text=True, check=True).stdout.splitlines()
    with gzip.GzipFile(args.out, "wb", 9, mtime=0) as out:
        for seed, four in zip(seeds, fours, strict=True):
            line = {"seed": seed, "files": folder(seed), "texts": TEXTS, "limit": LIMIT, "four": json.loads(four), "five": asked(seed)}
            out.write((json.dumps(line, separators=(",", ":")) + "\n").encode())


if __name__ == "__main__":
    main()
