"""Writes bpe.jsonl.gz: small byte-pair vocabularies, trained here, and what the reference (tokenizers 0.23.3) answers.

    python make_bpe_golden.py TOKENIZER_JSON

The file has the form of golden.jsonl.gz, whose texts it uses too (see make_golden.py), and three things more: a
configuration may name another one as the `base` of its patch, sweeps are of patterns, and there are lines

    {"part": a pre-tokenizer, "text", "words": what it makes of the text}

The vocabularies are trained on words made of syllables, drawn from a fixed seed, and on make_golden.py's reviews.
"""

import gzip
import hashlib
import json
import pathlib
import random
import sys

import tokenizers
from make_golden import REFERENCE, added, bert_normalizer, review, template, texts, truncation
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
GPT2_SHORT = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CL100K.replace("{1,3}", "")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SUFFIXES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{SUFFIXES}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{SUFFIXES}?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")  # fmt: skip
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def byte_level(space=False, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": regex}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def in_turn(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def roberta(cls=0, sep=2):
    return {"type": "RobertaProcessing", "sep": ["</s>", sep], "cls": ["<s>", cls], "trim_offsets": True, "add_prefix_space": True}


def corpus(rng):
    """Sentences of words made of syllables, the first words more often than the last, and of letters of many scripts."""
    heads, tails = "b c d f g h k l m n p r s t v w st tr pl ch sh".split(), ["a", "e", "i", "o", "u", "ai", "ou", "en", "er", "ing", "ly"]
    words = ["".join(rng.choice(heads) + rng.choice(tails) for _ in range(rng.randint(1, 4))) for _ in range(3000)]
    weights = [1 / (i + 3) for i in range(len(words))]
    scripts = ["\u0430\u0435\u0438\u043e\u043d\u0442\u0441\u0440\u0432\u043b", "\u4e2d\u6587\u65e5\u672c\u597d\u4eba\u5927\u5c0f", "\u03b1\u03b5\u03bf\u03bd\u03c4\u03c3\u03af\u03ce",
               "\u00e4\u00f6\u00fc\u00dfaenrt", "\uac00\ub098\ub2e4\ub77c\ub9c8", "\u0627\u0644\u0645\u0646\u0648\u064a", "\u0915\u093e\u0928\u0940\u0930\u094d"]  # fmt: skip
    for _ in range(4000):
        sentence = rng.choices(words, weights, k=rng.randint(4, 16))
        if rng.random() < 0.3:
            sentence.insert(0, rng.choice(["I'm", "don't", "we'll", "it's", "  x", "\n\n", "...", "!!!", "12", "2024", "3.14", "$5", "50%", "\t"]))
        if rng.random() < 0.3:
            sentence.append("".join(rng.choices(rng.choice(scripts), k=rng.randint(2, 6))))
        sentence[0] = sentence[0].capitalize() if rng.random() < 0.7 else sentence[0].upper()
        yield " ".join(sentence) + rng.choice([".", "!", "?", ",", "\n", ""])
    for _ in range(400):
        yield review(rng, 20)
    for emoji in "\U0001f600\U0001f44d\u2764\U0001f525":
        yield emoji * 40


def trained(sentences, size, pre_tokenizer, alphabet=(), specials=(), **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizer
    keys = {k: v for k, v in options.items() if k in ("continuing_subword_prefix", "end_of_word_suffix")}
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=list(specials), limit_alphabet=400,
                                  initial_alphabet=list(alphabet), min_frequency=2, **keys)  # fmt: skip
    tokenizer.train_from_iterator(sentences, trainer)
    return json.loads(tokenizer.to_str()) | {"truncation": None, "padding": None}


def configs(rng):
    sentences = list(corpus(rng))
    level = pre_tokenizers.ByteLevel.alphabet()
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    fallback = [f"<0x{b:02X}>" for b in range(256)]
    words = pre_tokenizers.Whitespace()
    made = {
        "bytes": trained(sentences, 2300, pre_tokenizers.ByteLevel(add_prefix_space=False), sorted(level), names),
        "chars": trained(sentences, 1200, words, specials=names, unk_token="<unk>"),
        "suffix": trained(sentences, 1000, pre_tokenizers.ByteLevel(add_prefix_space=False), sorted(level), names,
                          unk_token="<unk>", end_of_word_suffix="</w>"),
        "prefix": trained(sentences, 1000, words, specials=names, unk_token="<unk>", continuing_subword_prefix="##"),
        "pieces": trained([s.replace(" ", "\u2581") for s in sentences[:1500]], 900, pre_tokenizers.Split("\u2581", "merged_with_next"),
                          specials=names + fallback, unk_token="<unk>"),
        # A part of the alphabet is missing.
        "few bytes": trained(sentences[:300], 500, pre_tokenizers.ByteLevel(add_prefix_space=False), specials=names),
    }  # fmt: skip
    made = {name: {"tokenizer": t} for name, t in made.items()}
    vocab = made["few bytes"]["tokenizer"]["model"]["vocab"]
    lines = [" ".join(pair) for pair in made["few bytes"]["tokenizer"]["model"]["merges"]]

    mask = added("<mask>", special=True, lstrip=True, normalized=False)
    more = [added("kettle"), added(" new york"), added("new"), added("Solo", single_word=True), added("<l>", lstrip=True, normalized=False),
            added("<r>", rstrip=True, normalized=False), added("<lr>", lstrip=True, rstrip=True), added("\u4e2d\u6587", normalized=False),
            added("zebra", normalized=False), added("[SEP]", normalized=True, special=True)]  # fmt: skip

    def patch(name, base, **keys):
        made[name] = {"base": base, "patch": keys}

    level, spaced, plain = byte_level(), byte_level(True), byte_level(False, False)
    patch("gpt2", "bytes", post_processor={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False})
    patch("gpt2, strings", "few bytes", model={"merges": ["#version: 0.2", *lines], "dropout": 0.0, "continuing_subword_prefix": "", "end_of_word_suffix": ""})
    patch("roberta", "bytes", pre_tokenizer=spaced, post_processor=roberta(), added_tokens=[mask])
    patch("roberta 128", "bytes", pre_tokenizer=spaced, post_processor=roberta(), added_tokens=[mask], truncation=truncation(128))
    patch("roberta, left 16", "bytes", pre_tokenizer=spaced, post_processor=roberta(), truncation=truncation(16, "Left"))
    patch("added", "bytes", pre_tokenizer=spaced, post_processor=roberta(), added_tokens=[mask, *more])
    patch("added, lower", "bytes", normalizer={"type": "Lowercase"}, pre_tokenizer=spaced, added_tokens=[mask, *more], truncation=truncation(40))
    patch("deberta", "bytes", pre_tokenizer=level, post_processor=template(["[CLS]"], 1, ["[SEP]"]))
    patch("qwen2", "bytes", normalizer={"type": "NFC"}, pre_tokenizer=in_turn(split(QWEN2), plain), post_processor=byte_level())
    patch("llama3", "bytes", pre_tokenizer=in_turn(split(CL100K), plain), model={"ignore_merges": True},
          post_processor={"type": "Sequence", "processors": [byte_level(), template(["[CLS]"], 2, []), byte_level()]})  # fmt: skip
    patch("o200k", "bytes", pre_tokenizer=in_turn(split(O200K, "Removed", True), plain), model={"ignore_merges": True})
    patch("short", "bytes", pre_tokenizer=in_turn(split(GPT2_SHORT), plain))
    patch("processors", "bytes", post_processor={"type": "Sequence", "processors": [roberta(), roberta(5, 6), template(["[CLS]", "[TWO]"], 3, ["[SEP]"]), byte_level()]})
    patch("starcoder", "bytes", pre_tokenizer=in_turn({"type": "Digits", "individual_digits": True}, level))
    patch("falcon", "bytes", pre_tokenizer=in_turn({"type": "Punctuation", "behavior": "Contiguous"}, level, {"type": "Digits", "individual_digits": False},
          split("[0-9][0-9][0-9]")))  # fmt: skip
    patch("space each", "bytes", pre_tokenizer=in_turn({"type": "WhitespaceSplit"}, spaced))
    patch("space each, whole", "bytes", pre_tokenizer=in_turn({"type": "Whitespace"}, byte_level(True, False)), truncation=truncation(20))
    patch("space once, whole", "bytes", pre_tokenizer=byte_level(True, False))
    patch("twice", "bytes", pre_tokenizer=in_turn(spaced, spaced))
    patch("bert", "bytes", normalizer=bert_normalizer(), pre_tokenizer=spaced, post_processor=roberta(), truncation=truncation(128))
    patch("nfkc", "bytes", normalizer={"type": "NFKC"}, pre_tokenizer=level, truncation=truncation(64, "Left"))
    patch("digits before a space", "bytes", pre_tokenizer=in_turn({"type": "Digits", "individual_digits": False}, spaced))
    patch("delimiter", "bytes", pre_tokenizer=in_turn({"type": "CharDelimiterSplit", "delimiter": " "}, plain))
    patch("delimiter e", "bytes", pre_tokenizer=in_turn({"type": "CharDelimiterSplit", "delimiter": "e"}, level))
    patch("literal", "bytes", pre_tokenizer=in_turn(split(" ", "MergedWithNext", kind="String"), plain))
    patch("literal an", "bytes", pre_tokenizer=in_turn(split("an", "MergedWithPrevious", kind="String"), spaced))
    patch("mapped twice", "bytes", pre_tokenizer=in_turn(byte_level(True, False), level))
    patch("bytes and fallback", "bytes", model={"byte_fallback": True}, pre_tokenizer=spaced)
    patch("few, unknown", "few bytes", model={"unk_token": "<unk>"})
    patch("few, fused", "few bytes", model={"unk_token": "<unk>", "fuse_unk": True}, pre_tokenizer=spaced)
    patch("chars, fused", "chars", model={"fuse_unk": True})
    patch("chars, dropped", "chars", model={"unk_token": None})
    patch("chars, whole", "chars", pre_tokenizer=None)
    patch("chars, bert", "chars", normalizer=bert_normalizer(), pre_tokenizer={"type": "BertPreTokenizer"}, truncation=truncation(30))
    patch("clip", "suffix", normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
          pre_tokenizer=in_turn(split(CLIP, "Removed", True), level), post_processor=roberta())  # fmt: skip
    patch("suffix and fallback", "suffix", model={"byte_fallback": True, "fuse_unk": True}, pre_tokenizer={"type": "Whitespace"})
    patch("prefix, fused", "prefix", model={"fuse_unk": True}, pre_tokenizer={"type": "WhitespaceSplit"})
    patch("prefix, ignored", "prefix", model={"ignore_merges": True})
    patch("pieces and fallback", "pieces", model={"byte_fallback": True, "fuse_unk": True}, pre_tokenizer=split(" ", "MergedWithPrevious", kind="String"))
    patch("pieces, whole", "pieces", model={"byte_fallback": True, "fuse_unk": True}, pre_tokenizer=None)
    some = {t: i for t, i in made["pieces"]["tokenizer"]["model"]["vocab"].items() if t not in ("<0xC3>", "<0xE4>", "<0xF0>")}
    patch("some fallback", "pieces", model={"byte_fallback": True, "vocab": some})
    twins = vocab | {t: vocab["e"] for t in ("o", "er", "ai")}  # merges go by ids, of which some are two tokens
    patch("twins", "few bytes", model={"vocab": twins})
    level_words = {w: i + 3 for i, w in enumerate(sorted({w for s in sentences[:400] for w in s.split()}))}
    made["words"] = {"tokenizer": {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                                   "pre_tokenizer": {"type": "Whitespace"}, "post_processor": roberta(), "decoder": None,
                                   "model": {"type": "WordLevel", "vocab": {"<s>": 0, "<unk>": 1, "</s>": 2} | level_words, "unk_token": "<unk>"}}}  # fmt: skip
    made["mpnet"] = {"patch": {"truncation": None, "padding": None, "normalizer": bert_normalizer(), "pre_tokenizer": {"type": "BertPreTokenizer"},
                               "post_processor": roberta(), "added_tokens": [mask]}}  # fmt: skip
    return made


def whole(base, made, name):
    """The tokenizer.json that a configuration comes to."""
    config = made[name]
    if "tokenizer" in config:
        return config["tokenizer"]
    file = dict(whole(base, made, config["base"]) if "base" in config else base)
    for key, value in config.get("patch", {}).items():
        if key == "model":
            file[key] = file[key] | value
        elif key == "added_tokens":
            file[key] = file[key] + value
        else:
            file[key] = value
    return file


TOKENS = ["<s>", "</s>", "<mask>", "<unk>", "<|endoftext|>", "<|startoftext|>", "<0x41>", "kettle", "Kettle", " new york", "new", "NEW", "Solo", "solo", "<l>", "<r>",
          "<lr>", "\u4e2d\u6587", "zebra", "[SEP]", "[sep]", "\u0120", "\u0100", "\u2581", "##a", "</w>"]  # fmt: skip
PIECES = ["'s", "'S", "'\u017f", "'re", "'Re", "'VE", "'ll", "'lL", "'m", "'d", "'T", "'", "''", "'\u00e9", "I'm", "we'LL", "can't", " ", "  ", "   ", "\n", "\r\n", " \n", "\n ",
          "\n\n", "\t", "\u00a0", "\u3000", "\x85", "\u2028", "1", "12", "123", "1234", "12345", " 7", "\u0663", "\u00b2", "\u2167", "\U00010d43", "\U00016ff5", "\u00bd",
          "!", "!!", " !", "...", "/", "//", "\n/", "$", "a", "A", "aB", "Ab", "ABc", "abC", "HTMLParser", "\u00e9", "\u00c9", "e\u0301", "\u0301", " \u0301", "\u0903",
          "\u01c5", "\u02b0", "\u05d0", "\u0915\u094d", "\u4e2d", "\U0001f44d", "\U0001f44d\U0001f3fd", "\u200d", "\u00ad", "\x00", "\ufffd", "the", " the", "ing",
          "<mask>", " <mask>", "http://x.y/z?q=1"]  # fmt: skip


def own_texts(rng):
    for text in PIECES:
        yield "piece", text
    for _ in range(1200):
        yield "pieces", "".join(rng.choices(PIECES, k=rng.randint(2, 16)))
    for _ in range(500):
        yield "tokens", "".join(rng.choice(TOKENS + [" ", "  ", "\u3000", "\t", "a", "s", ".", " great"]) for _ in range(rng.randint(1, 14)))
    sentences = list(corpus(random.Random(7)))
    for _ in range(400):
        yield "sentences", " ".join(rng.choices(sentences, k=rng.randint(1, 8)))
    for _ in range(300):
        yield "word", "".join(rng.choices(rng.choice(["aeinrst", "aab", "'st", "e \n", "1 2", "shingaly"]), k=rng.choice([10, 47, 48, 49, 50, 100, 300])))
    for part in ("a", "er", "ing ", "1", "!", "\U0001f44d", "e\u0301", "x\n", "  ", "'s", "\u4e2d\u6587", "shing", " a  b", "7 "):
        yield "giant", [[part, 60_000 // len(part.encode())]]
        yield "giant", [["so ", 1], [part, 5000 // len(part.encode())], [" end", 2]]
    for spaces in range(4090, 4100):
        yield "giant", [["x", spaces], [" ", spaces % 3 + 1], ["y 12!", 30], [" z", 3000]]


CONFIGS_OF = {
    "tokens": ["added", "added", "added, lower", "gpt2", "roberta", "clip", "pieces and fallback", "llama3", "mpnet", "bert"],
    "long review": ["roberta 128", "gpt2", "llama3", "bert", "nfkc"], "review": ["roberta 128", "gpt2", "qwen2", "o200k", "chars", "clip"],
}  # fmt: skip


def cases(base, made, rng):
    tokenizer_of = {name: Tokenizer.from_str(json.dumps(whole(base, made, name))) for name in made}
    names = list(made)
    patterned = ["gpt2", "qwen2", "llama3", "o200k", "roberta", "clip", "short"]
    turn = 0
    for group, text in (*texts(rng), *own_texts(rng)):
        full = text if isinstance(text, str) else "".join(part * times for part, times in text)
        if len(full) > 70_000 or rng.random() < 0.6 and group not in ("small", "piece", "pieces", "giant", "tokens", "special", "word"):
            continue
        for _ in range(4 if group in ("small", "piece", "pieces") else 1):
            choice = CONFIGS_OF.get(group, names + patterned)
            name = choice[turn % len(choice)]
            turn += 1
            encoding = tokenizer_of[name].encode(full)
            case = {"config": name, "group": group}
            case |= {"text": text} if isinstance(text, str) else {"recipe": text}
            if len(encoding.ids) <= 300:
                case["ids"] = encoding.ids
            else:
                digest = hashlib.sha256(b"".join(i.to_bytes(4, "little") for i in encoding.ids)).hexdigest()
                case |= {"count": len(encoding.ids), "sha256": digest}
            if any(encoding.type_ids):
                case["types"] = encoding.type_ids
            yield case


# What is not written out by hand is translated.
PATTERNS = [
    CLIP, "[0-9][0-9][0-9]", r"\d+", r"\d{2,3}", r"\s+", r"\S+", r"\w+", r"[^\w\s]+", r"\W", r" ?[A-Za-z]+|\p{Nd}", r"(a|b)+?c", r"(?:ab|a)(?:c|bcd)?", "[a-zA-Z\u00e9-]+",
    r"\p{Lu}\p{Ll}*", r"\P{L}", r"[\p{M}\p{P}]+", r"[^\p{S}]", r"\p{Han}", r"[\n\r\t ]", r"\.\.\.|[.!?]", r"\u0041|\x42", "\u2581", r"[\]\[]", r"[\d.,]+|x", r"[\w']+", r"[^\W]", r"[\W]+",
]  # fmt: skip


def parts(rng):
    for pattern in (GPT2, GPT2_SHORT, CL100K, QWEN2, O200K, *PATTERNS):
        for behavior in BEHAVIORS:
            yield split(pattern, behavior, rng.random() < 0.3)
    for literal in (" ", "a", "aa", "the", ".", "\u4e2d", "  ", "'s"):
        for behavior in BEHAVIORS:
            for invert in (False, True):
                yield split(literal, behavior, invert, "String")
    for behavior in BEHAVIORS:
        yield {"type": "Punctuation", "behavior": behavior}
    yield {"type": "Punctuation"}
    for each in (False, True):
        yield {"type": "Digits", "individual_digits": each}
    for delimiter in ("a", " ", "\u4e2d", "'"):
        yield {"type": "CharDelimiterSplit", "delimiter": delimiter}
    for space in (False, True):
        for regex in (False, True):
            yield byte_level(space, regex)
            yield in_turn({"type": "Whitespace"}, byte_level(space, regex))
            yield in_turn(byte_level(space, regex), byte_level(space, regex))
            yield in_turn(byte_level(space, regex), split("\u0120", "MergedWithNext", kind="String"))


def pre_tokenizer(part):
    return Tokenizer.from_str(json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": part,
                                          "post_processor": None, "decoder": None, "model": {"type": "BPE", "vocab": {}, "merges": []}})).pre_tokenizer  # fmt: skip


def words(rng):
    for part in parts(rng):
        try:
            read = pre_tokenizer(part)
        except Exception as error:  # noqa: BLE001
            sys.exit(f"{part}: {error}")
        for _ in range(10):
            text = "".join(rng.choices([*PIECES, "abc", "aaa", "A1b22", "aabcd", "\u2581x", "[]"], k=rng.randint(1, 12)))
            yield {"part": part, "text": text, "words": [word for word, _ in read.pre_tokenize_str(text)]}


def sweeps():
    around = [("a", "b"), (" ", " "), ("'", "'s"), ("\n", "\n"), ("1", "2"), ("A", "B"), ("!", "/"), ("x\u0301", "")]
    for pattern in (GPT2, CL100K, O200K):
        for before, after in around:
            yield split(pattern), before, after
    for pattern in (r"\w+", r"\d", r"\s", r"[\p{Lu}\p{M}]", r"[\p{Ll}\p{N}]", r"\p{P}|\p{S}"):
        yield split(pattern), "a", "b"
    for part in ({"type": "Digits", "individual_digits": False}, {"type": "Punctuation", "behavior": "Isolated"}, byte_level(True, True)):
        yield part, "a", "1"


def swept():
    for part, before, after in sweeps():
        read = pre_tokenizer(part)
        blocks = []
        for low in range(0, 0x110000, 0x1000):
            if 0x34000 <= low < 0xE0000 or 0xF0000 < low < 0x10F000:
                blocks.append("")  # see TestEveryCodePointReadsAsInReference
                continue
            points = [c for c in range(low, low + 0x1000) if not 0xD800 <= c < 0xE000]
            lines = "\n".join("|".join(w for w, _ in read.pre_tokenize_str(before + chr(c) + after)) for c in points)
            blocks.append(hashlib.sha256(lines.encode()).hexdigest()[:8])
        yield {"sweep": {"pre_tokenizer": part}, "before": before, "after": after, "blocks": blocks}


def main():
    if tokenizers.__version__ != REFERENCE:
        sys.exit(f"tokenizers is {tokenizers.__version__}: want {REFERENCE}")
    base = json.loads(pathlib.Path(sys.argv[1]).read_text())
    rng = random.Random(21)
    made = configs(rng)
    out = pathlib.Path(__file__).with_name("bpe.jsonl.gz")
    count = 0
    with gzip.GzipFile(out, "wb", 9, mtime=0) as f:
        for line in ({"reference": REFERENCE, "configs": made}, *cases(base, made, rng), *words(rng), *swept()):
            f.write((json.dumps(line, separators=(",", ":")) + "\n").encode())
            count += "config" in line or "words" in line
    print(f"{count} cases, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
