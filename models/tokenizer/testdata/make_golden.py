"""Writes golden.jsonl.gz: texts, and the ids that the reference (tokenizers 0.23.3) gives them.

    python make_golden.py TOKENIZER_JSON

TOKENIZER_JSON has the BERT vocabulary of models/zoo/sentiment/2. Every text is made here, from a fixed seed. The first
line names the reference and the configurations: a whole tokenizer.json, or a patch on the given one in which `model` is
merged and `added_tokens` is appended. Then come lines of two kinds:

    {"config", "group", "text" or "recipe": [[part, times], ...], "ids" or "count" and "sha256" of the ids, "types"}
    {"sweep": part of a tokenizer.json, "before", "after", "blocks": a hash for every 4096 code points}
"""

import gzip
import hashlib
import json
import pathlib
import random
import sys
import unicodedata

import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

REFERENCE = "0.23.3"
WORDS = (
    "the a an it this that they we i you he she is was are were be been not no never very quite really too so and but or "
    "because although with without for from after before about over under into good great fine bad poor awful excellent "
    "lovely cheap sturdy flimsy soft loud quiet heavy light bright product item box cable charger battery screen keyboard "
    "camera lens strap bottle kettle blender pillow blanket shirt sleeve zipper shoe sole size colour smell taste flavour "
    "price seller shipping delivery refund warranty manual instructions plastic metal leather cotton arrived broke works "
    "worked stopped fits feels looks smells tastes bought returned ordered recommend recommended expected disappointed "
    "impressed satisfied happy angry surprised again twice daily week month year morning kitchen bathroom garage daughter "
    "husband neighbour unbelievably waterproof rechargeable bluetooth overpriced unscrewing microwaveable counterintuitive"
).split()
STARTS = ["I", "We", "They", "My husband", "This", "It", "The seller", "Honestly,", "Don't", "Can't", "5 stars!", "UPDATE:"]
HOSTILE = (
    "\x00\t\n\r\x0b\x0c\x1b\x7f\x85\xa0\xad\u034f\u061c\u115f\u1680\u180e\u2000\u2009\u200b\u200c\u200d\u200e\u200f\u2028"
    "\u2029\u202a\u202e\u202f\u205f\u2060\u2066\u2069\u3000\u3164\ufe0e\ufe0f\ufeff\uffa0\ufff9\ufffc\ufffd\ufffe\uffff"
    "\u0130\u0131\u017f\u1e9e\u212a\u212b\u03a3\u03c2\u03c3\u0345\u0344\u0340\u0341\u0301\u0323\u0327\u0302\u0307\u0338"
    "\u093c\u094d\u0e38\u0e48\u0f71\u0f72\u302a\u302e\u3099\u05b0\u064b\u0c3c\u1dfa\u0898\u0eba\u1133b\u1734\u1715\u1cf2"
    "\u1100\u1161\u11a8\uac00\uac01\ud7a3\ufb01\ufb1d\ufb4f\ufdfa\ufe20\uff21\uff5e\u4e00\u9fff\u3400\uf900\ufa0e\u2f00"
    "\U0001d15e\U0001d165\U0001d16d\U0001d400\U0001f1e9\U0001f1ea\U0001f44d\U0001f3fd\U0001f468\U0001f469\U0001f467\u2764"
    "\U00016ff0\U00011938\U00011930\U00011935\U0001e94a\U0001e8d0\U00020000\U0002a6df\U0002b81e\U0002b820\U0002f800"
    "\U000e0001\U000e0041\U000e007f\U000f0000\U0010fffd\U0001fbf9\U000110bd\U000110cd\U00013430\u08e2\u0890\u070f\u166d\u111c"
    "#[]'\"$+<=>^`|~_-.,!?@\u00bf\u2014\u2026\u20ac\u2e43\u2e52\u061d\u0a76\u1b7d"
)
SPECIALS = ["[SEP]", "[CLS]", "[MASK]", "[PAD]", "[UNK]", "[sep]", "[ MASK]", "[MASK", "[[MASK]]", "##ing", "[SEP][SEP]"]
SCRIPTS = {
    "arabic": (0x0620, 0x0652), "hebrew": (0x05B0, 0x05EA), "devanagari": (0x0900, 0x0963), "thai": (0x0E01, 0x0E5B),
    "tibetan": (0x0F40, 0x0FBC), "hangul": (0xAC00, 0xD7A3), "jamo": (0x1100, 0x11FF), "han": (0x4E00, 0x9FFF),
    "kana": (0x3041, 0x30FF), "greek": (0x0370, 0x03FF), "polytonic": (0x1F00, 0x1FFF), "cyrillic": (0x0400, 0x04FF),
    "vietnamese": (0x1EA0, 0x1EF9), "latin": (0x00C0, 0x024F), "marks": (0x0300, 0x036F), "emoji": (0x1F300, 0x1F6FF),
    "halfwidth": (0xFF01, 0xFFEE), "compatibility": (0xF900, 0xFAD9), "math": (0x1D400, 0x1D7FF), "tamil": (0x0B82, 0x0BD7),
}  # fmt: skip


def bert_normalizer(clean=True, chinese=True, strip=None, lower=True):
    return {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": strip,
            "lowercase": lower}  # fmt: skip


def truncation(length, direction="Right", strategy="LongestFirst"):
    return {"direction": direction, "max_length": length, "strategy": strategy, "stride": 0}


def added(content, **flags):
    token = {"id": 0, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": True,
             "special": False}  # fmt: skip
    return token | flags


def template(before, type_id, after):
    specials = {"[CLS]": [101], "[SEP]": [102], "[TWO]": [101, 103]}
    token = lambda name: {"SpecialToken": {"id": name, "type_id": type_id + 1}}  # noqa: E731
    return {
        "type": "TemplateProcessing",
        "single": [*map(token, before), {"Sequence": {"id": "A", "type_id": type_id}}, *map(token, after)],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {k: {"id": k, "ids": v, "tokens": [k] * len(v)} for k, v in specials.items()},
    }


def configs(rng):
    plain = {"truncation": None, "padding": None}
    bert = {"type": "BertPreTokenizer"}
    split = {"type": "WhitespaceSplit"}
    word = {"type": "Whitespace"}
    in_turn = lambda *n: {"type": "Sequence", "normalizers": list(n)}  # noqa: E731
    words_in_turn = lambda *p: {"type": "Sequence", "pretokenizers": list(p)}  # noqa: E731
    kind = lambda name: {"type": name}  # noqa: E731
    patches = {
        "plain": {},
        "cased": {"normalizer": bert_normalizer(lower=False)},
        "accents": {"normalizer": bert_normalizer(strip=False)},
        "cased without accents": {"normalizer": bert_normalizer(strip=True, lower=False)},
        "unclean": {"normalizer": bert_normalizer(clean=False, chinese=False)},
        "as it is": {"normalizer": bert_normalizer(False, False, False, False)},
        "right 16": {"truncation": truncation(16)},
        "left 16": {"truncation": truncation(16, "Left")},
        "left 3": {"truncation": truncation(3, "Left", "OnlyFirst")},
        "right 2": {"truncation": truncation(2)},
        "right 128": {"truncation": truncation(128)},
        "left 128": {"truncation": truncation(128, "Left")},
        "nfc": {"normalizer": in_turn(kind("NFC"), kind("Lowercase"))},
        "nfd": {"normalizer": in_turn(kind("NFD"), kind("StripAccents"), kind("Lowercase"))},
        "nfkc": {"normalizer": in_turn(in_turn(kind("Lowercase"), kind("NFKC")))},
        "nfkd": {"normalizer": in_turn(kind("NFKD"), kind("Lowercase"), kind("StripAccents"), bert_normalizer())},
        "bare": {"normalizer": None, "pre_tokenizer": None, "post_processor": None},
        "bare, cut": {"normalizer": None, "post_processor": None, "truncation": truncation(5, "Left")},
        "split": {"pre_tokenizer": split},
        "word": {"pre_tokenizer": word},
        "words in turn": {"pre_tokenizer": words_in_turn(split, words_in_turn(word, bert))},
        "no words in turn": {"normalizer": in_turn(), "pre_tokenizer": words_in_turn()},
        "bert processing": {"post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 102], "cls": ["[CLS]", 101]}},
        "template": {"post_processor": template(["[CLS]", "[TWO]"], 3, ["[SEP]", "[TWO]"]), "truncation": truncation(12)},
        "template without end": {"post_processor": template(["[TWO]"], 0, []), "truncation": truncation(9, "Left")},
        "short words": {"model": {"max_input_chars_per_word": 6}},
        "long words": {"model": {"max_input_chars_per_word": 1000000}},
        "joined": {"model": {"continuing_subword_prefix": ""}},
        "unknown prefix": {"model": {"continuing_subword_prefix": "@@"}},
        "added": {
            "added_tokens": [
                added("Gr\u00f6\u00dfe"), added("kettle"), added("new york"), added("new"), added("<s>", special=True, normalized=False),
                added("Solo", single_word=True), added("\u00c9tude", single_word=True, normalized=False),
                added("<l>", lstrip=True, normalized=False), added("<r>", rstrip=True, normalized=False),
                added("<lr>", lstrip=True, rstrip=True), added("<x>", lstrip=True, rstrip=True, normalized=False),
                added("\u4e2d\u6587", normalized=False), added("[MASK]x", normalized=False), added("\U0001f44d", rstrip=True),
                added("zebra", normalized=False), added("zebras", normalized=False, single_word=True),
            ],
            "truncation": truncation(40),
        },
        "added, left": {"added_tokens": [added("battery"), added("<l>", lstrip=True, normalized=False)],
                        "truncation": truncation(7, "Left")},
    }  # fmt: skip
    base = {"normalizer": bert_normalizer(), "pre_tokenizer": bert}
    made = {name: {"patch": plain | base | patch} for name, patch in patches.items()}
    made["tiny"] = {"tokenizer": tiny(rng)}
    made["tiny, bare"] = {"tokenizer": tiny(rng) | {"normalizer": None, "pre_tokenizer": None}}
    return made


def tiny(rng):
    """A vocabulary of 300 tokens, trained on our own sentences; long words keep it from being split by characters."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=40))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
                                        show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator([" ".join(WORDS)] * 20 + ["\u00e9\u00fc\u4e2d\u6587\u043f\u0440\u0438\u0432\u0435\u0442"], trainer)
    return json.loads(tokenizer.to_str())


def patched(base, config):
    if "tokenizer" in config:
        return config["tokenizer"]
    made = dict(base)
    for key, value in config["patch"].items():
        if key == "model":
            made[key] = base[key] | value
        elif key == "added_tokens":
            made[key] = base[key] + value
        else:
            made[key] = value
    return made


def review(rng, words):
    parts = []
    while words > 0:
        n = min(words, rng.randint(3, 14))
        words -= n
        sentence = [rng.choice(STARTS)] + [rng.choice(WORDS) for _ in range(n - 1)]
        if rng.random() < 0.1:
            sentence[rng.randrange(len(sentence))] = rng.choice(["$19.99", "50%", "AAA", "2-in-1", "caf\u00e9", "\u201cas is\u201d", "USB-C", "<br />"])
        parts.append(" ".join(sentence) + rng.choice([".", ".", ".", "!", "!!", "?", "...", ";", " :)", "\n"]))
    return " ".join(parts)


def assigned(low, high):
    return [chr(c) for c in range(low, high) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]


def texts(rng):
    """Yields (group, text or recipe)."""
    for text in ("", " ", "\t\n\r ", "\u3000\u00a0", "\x00", "\ufffd", "\ufffd\ufffdx\ufffd", "a", "#", "##", "##a", "\u0301", "\u0301a", "a\u0301"):
        yield "small", text
    for n in range(300):
        yield "review", review(rng, 1 + int(rng.expovariate(1 / 62)))
    for n in range(12):
        yield "long review", review(rng, rng.randint(800, 1200))
    for low in [*range(0, 0x30000, 0x80), *range(0xE0000, 0xE0200, 0x80), 0xF0000, 0x10FF80]:
        letters = assigned(low, low + 0x80) or ([chr(low), chr(low + 0x7F)] if rng.random() < 0.05 and not 0xD800 <= low < 0xE000 else [])
        if not letters or 0xB000 <= low < 0xD700 or 0x4F00 <= low < 0x9F00 and low % 0x400 or 0x20100 <= low < 0x2A600 and low % 0x1000:
            continue
        for text in ("".join(letters), " ".join(rng.sample(letters, min(len(letters), 24))), "x".join(rng.choices(letters, k=24))):
            yield "block", text if len(text) < 60 else text[:60]
    for name, (low, high) in SCRIPTS.items():
        letters = assigned(low, high + 1)
        for _ in range(40):
            text = " ".join("".join(rng.choices(letters, k=rng.randint(1, 7))) for _ in range(rng.randint(1, 8)))
            form = rng.choice(["", "NFC", "NFD", "NFKC", "NFKD"])
            yield name, unicodedata.normalize(form, text) if form else text
    pool = list(HOSTILE) + SPECIALS + ["a", "e", "b ", " ", "A", "\u00e9", "the", "ing", " un"]
    for _ in range(1500):
        yield "hostile", "".join(rng.choices(pool, k=rng.randint(1, 30)))
    marks = [c for c in assigned(0x300, 0x20000) if unicodedata.category(c)[0] == "M"]
    for _ in range(600):
        yield "marks", "".join(rng.choice("aeiouy\u00e9\u1e63\u0915\u05d0\uac00\u3042 \x00\u200d") + "".join(rng.choices(marks, k=rng.randint(0, 6))) for _ in range(6))
    for _ in range(300):
        people = rng.choices("\U0001f468\U0001f469\U0001f467\U0001f44b\u2764\U0001f3f3\U0001f1eb\U0001f1f7", k=rng.randint(1, 5))
        yield "emoji", rng.choice(["love it ", "", "5"]) + "".join(p + rng.choice(["", "\ufe0f", "\U0001f3fe", "\u200d", " ", "\u20e3"]) for p in people)
    for _ in range(400):
        yield "special", "".join(rng.choice(SPECIALS + [" ", "  ", "a", " great ", "\n", "\u00a0"]) for _ in range(rng.randint(1, 12)))
    tokens = ["gr\u00f6\u00dfe", "GR\u00d6\u00dfE", "kettle", "Kettle", "new york", "NEW YORK", "new", "<s>", "solo", "SOLO", "\u00c9tude", "\u00e9tude",
              "<l>", "<r>", "<lr>", "<x>", "\u4e2d\u6587", "[MASK]x", "\U0001f44d", "zebra", "zebras", "battery", "[SEP]", "_", "\u0301", "-"]  # fmt: skip
    for _ in range(700):
        yield "added", "".join(rng.choice(tokens + [" ", "  ", "\u3000", "\t", "a", "s", ".", "\u4e2d"]) for _ in range(rng.randint(1, 14)))
    for _ in range(400):
        letters = rng.choice(["abcdefghijklmnopqrstuvwxyz", "ABCdef0123456789", "\u00e4\u00f6\u00fca", "aeiou'-."])
        yield "word", "".join(rng.choices(letters, k=rng.choice([1, 5, 20, 99, 100, 101, 150])))
    for part in ("a", "ab", "\u00e9", "\u4e2d", "e\u0301", "\u0301", "\u0323\u0301", "\u0345\u0301\u302e", "\x00", " ", "!", "[", "[SEP]", "[MASK] ", "un", "\U0001f468\u200d", "\uac01", "\ufffd"):
        for times in (100, 101, 5000, 100_000 // len(part.encode())):
            yield "giant", [[part, times]]
            yield "giant", [["so ", 1], [part, times], [" end", 2]]
    for words in (900, 2000):
        yield "giant", [[review(rng, 40) + " ", words // 40], ["caf\u00e9 \u0301\u0323x ", 50], ["q" * 50, 100], [" tail", 3]]
    for spaces in (4093, 4094, 4095, 4096, 4097):
        yield "giant", [["x", spaces], [" ", 1], ["\u0301b", 3], [" y", 4096]]


CONFIGS_OF = {
    "review": ["right 128", "plain", "cased", "left 128"], "long review": ["right 128", "left 128", "plain"],
    "added": ["added", "added", "added, left"], "special": ["plain", "left 16", "bare", "added", "right 16"],
}  # fmt: skip


def cases(base, rng):
    made = configs(rng)
    tokenizers_of = {name: Tokenizer.from_str(json.dumps(patched(base, c))) for name, c in made.items()}
    names = list(made)
    yield {"reference": REFERENCE, "configs": made}
    turn = 0
    for group, text in texts(rng):
        whole = text if isinstance(text, str) else "".join(part * times for part, times in text)
        for _ in range(2 if group in ("small", "hostile", "marks", "block") else 1):
            choice = CONFIGS_OF.get(group, names)
            if len(whole) > 3000:  # the reference takes time quadratic in the length of a word
                choice = [n for n in choice if n != "long words"]
            name = choice[turn % len(choice)]
            turn += 1
            encoding = tokenizers_of[name].encode(whole)
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


def sweeps():
    only = {
        "clean": bert_normalizer(True, False, False, False), "chinese": bert_normalizer(False, True, False, False),
        "strip": bert_normalizer(False, False, True, False), "lower": bert_normalizer(False, False, False, True),
        "bert": bert_normalizer(),
    }  # fmt: skip
    kinds = ["NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Lowercase"]
    parts = [*only.values(), *({"type": kind} for kind in kinds)]
    for part in parts:
        yield "normalizer", part, "a", "b"
    for part in (only["strip"], {"type": "NFC"}, {"type": "NFD"}, {"type": "NFKC"}):
        yield "normalizer", part, "a\u302e\u0301", "\u0323\u0334\u0345\u302a\u302fb"
    for kind in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit"):
        yield "pre_tokenizer", {"type": kind}, "a", "b"


def swept(base):
    for key, part, before, after in sweeps():
        parts = {"normalizer": None, "pre_tokenizer": None} | {key: part}
        tokenizer = Tokenizer.from_str(json.dumps(base | parts))
        if key == "normalizer":
            read = tokenizer.normalizer.normalize_str
        else:
            read = lambda text: "|".join(w for w, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text))  # noqa: E731
        blocks = []
        for low in range(0, 0x110000, 0x1000):
            points = [c for c in range(low, low + 0x1000) if not 0xD800 <= c < 0xE000]
            lines = "\n".join(read(before + chr(c) + after) for c in points)
            blocks.append(hashlib.sha256(lines.encode()).hexdigest()[:8])
        yield {"sweep": {key: part}, "before": before, "after": after, "blocks": blocks}


def main():
    if tokenizers.__version__ != REFERENCE:
        sys.exit(f"tokenizers is {tokenizers.__version__}: want {REFERENCE}")
    base = json.loads(pathlib.Path(sys.argv[1]).read_text())
    rng = random.Random(20)
    out = pathlib.Path(__file__).with_name("golden.jsonl.gz")
    count = 0
    with gzip.GzipFile(out, "wb", 9, mtime=0) as f:
        for line in (*cases(base, rng), *swept(base)):
            f.write((json.dumps(line, separators=(",", ":")) + "\n").encode())
            count += "config" in line
    print(f"{count} cases, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
