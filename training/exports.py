"""Tiny models of many architectures, exported by the tools that people export with, for TestExportsLoad.

    python exports.py models/testdata/exports [CASE ...]

Each case becomes CASE.zip, with the files that its exporter wrote, and an entry of golden.json: the ids and the logits
that transformers and PyTorch give in float32, and how far a run of the exported graph may be from them.
Needs, beside requirements.txt: transformers 4.57.6, optimum 2.1.0, optimum-onnx 0.1.0, onnxscript 0.7.2, sentencepiece 0.2.3
and sympy 1.14.0.

Weights are random and mean nothing. They are wide, so that a wrong token, position or mask moves the logits by far more than
the tolerance, which `check` makes sure of; and they lie on a coarse grid, so that they compress. The text that the vocabularies
are made of is ours. What the exporters write of the machine (paths, stack traces) is taken out.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import shutil
import sys
import tempfile
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

warnings.filterwarnings("ignore")

import numpy as np
import onnx
import onnxruntime
import sentencepiece
import torch
import transformers
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
    shape_inference,
)
from onnxruntime.transformers import float16
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

MAX_TOKENS = 48
LABELS = {0: "complaint", 1: "praise", 2: "question"}
SEED = 3

# What a probability may be off by, against PyTorch in float32. Networks this small suffer from int8 as no real one does, so such
# graphs are also held to what onnxruntime makes of them here, which another kind of CPU may round differently.
TOLERANCES = {"fp32": 1e-4, "fp16": 0.01, "int8": 0.15}
ROUNDING = 0.02

TEXTS = [
    "good",
    "The kettle is fine, the lid is not.",
    "Where is my order? I wrote to you twice and nobody answers.",
    "I have worn this coat every day since autumn, and it still looks new; the zip is a little stiff, that is all.",
    "Zu klein, und die Farbe ist anders als auf dem Bild!",
    "Très jolie robe, mais elle est arrivée en retard…",
    "思ったより軽くて、とても使いやすいです。",
    "WOW!!! best 12.50 I ever spent 😀 <3",
    "  two   spaces\tand a tab,\na new line  ",
    "It broke after a week, they sent another one, it broke as well, I asked for my money, they offered a voucher, I said no, "
    "they did not write again, and so I am left with two broken lamps and no money; do not buy it, do not buy it, do not buy it.",
]

CORPUS = TEXTS + [
    "The shop answered within an hour and sent a new one without any question.",
    "Does it fit a child of seven years? The table of sizes does not say.",
    "Warm, soft and light: I would order it again, in another colour.",
    "The parcel came late, the box was open and one of the cups was broken.",
    "It does what it should and no more. For the price that is enough.",
    "How long does the battery last, and can I change it without a tool?",
    "My daughter loves the dress, my son loves the box that it came in.",
    "I washed it once, at thirty degrees, and now it fits the dog.",
    "Die Jacke ist warm und leicht, ich würde sie wieder kaufen.",
    "Wann kommt mein Paket? Seit zwei Wochen warte ich auf eine Antwort.",
    "La bouilloire est belle, mais le couvercle ne ferme pas.",
    "Où est ma commande ? Personne ne répond.",
    "色がきれいで、とても気に入りました。",
    "届くのが遅かったです。もう買いません。",
] + [f"Item {number} of {number * 7} was {word}." for number in range(1, 20) for word in ("good", "late", "broken", "too small")]


def seeded() -> None:
    torch.manual_seed(SEED)
    np.random.seed(SEED)


# Tokenizers, one a family, as transformers writes them.


def wordpiece(kind: str, specials: list[str], unknown: str) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        trained = Tokenizer(models.WordPiece(unk_token=unknown))
        trained.normalizer = normalizers.BertNormalizer(lowercase=True)
        trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trained.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=400, special_tokens=specials, show_progress=False))
        pieces = sorted(trained.get_vocab(), key=trained.get_vocab().get)
        (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
        return getattr(transformers, kind)(vocab_file=str(folder / "vocab.txt"), model_max_length=MAX_TOKENS)

    return make


def bytelevel(kind: str, specials: list[str]) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        trained = Tokenizer(models.BPE())
        trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trained.train_from_iterator(
            CORPUS,
            trainers.BpeTrainer(
                vocab_size=480, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
            ),
        )
        trained.model.save(str(folder))
        return getattr(transformers, kind)(
            vocab_file=str(folder / "vocab.json"), merges_file=str(folder / "merges.txt"), model_max_length=MAX_TOKENS
        )

    return make


def modernbert(folder: Path) -> Any:
    """ModernBERT has no tokenizer class of its own; its tokenizer.json is of this form."""
    specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=480, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]",
        model_max_length=MAX_TOKENS, model_input_names=["input_ids", "attention_mask"],
    )


# The rules that models ship with are long and not ours; these exercise the same part of tokenizer.json.
CHARACTER_RULES = "\n".join(
    [
        *(f"{ord('Ａ') + i:X}\t{ord('A') + i:X}" for i in range(26)),
        *(f"{ord('ａ') + i:X}\t{ord('a') + i:X}" for i in range(26)),
        "2026\t2E 2E 2E",
        "9\t20",
        "A\t20",
        "3000\t20",
    ]
)


def sentence_pieces(kind: str, file: str, **options: Any) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        (folder / "rules.tsv").write_text(CHARACTER_RULES + "\n")
        (folder / "corpus.txt").write_text("\n".join(CORPUS * 3) + "\n")
        with contextlib.chdir(folder):  # the model keeps the names of what it was made from
            sentencepiece.SentencePieceTrainer.train(
                input="corpus.txt", model_prefix="trained", vocab_size=380, hard_vocab_limit=False, model_type="unigram",
                character_coverage=1.0, normalization_rule_tsv="rules.tsv", minloglevel=2, num_threads=1, **options,
            )
        (folder / "trained.model").rename(folder / file)
        return getattr(transformers, kind)(vocab_file=str(folder / file), model_max_length=MAX_TOKENS)

    return make


ALBERT_PIECES = dict(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols="[CLS],[SEP],[MASK]")
DEBERTA_PIECES = dict(
    pad_id=0, pad_piece="[PAD]", bos_id=1, bos_piece="[CLS]", eos_id=2, eos_piece="[SEP]", unk_id=3, unk_piece="[UNK]"
)


# Architectures.


@dataclass
class Family:
    model: str  # transformers' name, without what follows it
    tokenizer: Callable[[Path], Any]
    config: dict[str, Any]
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")


SHAPE = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
PLAIN = SHAPE | dict(max_position_embeddings=MAX_TOKENS)
# The first positions are for padding.
OFFSET = SHAPE | dict(max_position_embeddings=MAX_TOKENS + 2, pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1)
TYPED = ("input_ids", "attention_mask", "token_type_ids")
BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
RELATIVE = dict(relative_attention=True, position_biased_input=False, pos_att_type=["p2c", "c2p"], pooler_hidden_size=32)

FAMILIES = {
    "bert": Family("Bert", wordpiece("BertTokenizerFast", BERT_SPECIALS, "[UNK]"), PLAIN, TYPED),
    "distilbert": Family(
        "DistilBert",
        wordpiece("DistilBertTokenizerFast", BERT_SPECIALS, "[UNK]"),
        dict(dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=MAX_TOKENS),
    ),
    "electra": Family(
        "Electra", wordpiece("ElectraTokenizerFast", BERT_SPECIALS, "[UNK]"), PLAIN | dict(embedding_size=16), TYPED
    ),
    "mpnet": Family("MPNet", wordpiece("MPNetTokenizerFast", ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"], "[UNK]"), OFFSET),
    "roberta": Family("Roberta", bytelevel("RobertaTokenizerFast", ROBERTA_SPECIALS), OFFSET),
    "xlm-roberta": Family("XLMRoberta", sentence_pieces("XLMRobertaTokenizerFast", "sentencepiece.bpe.model"), OFFSET),
    "camembert": Family("Camembert", sentence_pieces("CamembertTokenizerFast", "sentencepiece.bpe.model"), OFFSET),
    "albert": Family(
        "Albert",
        sentence_pieces("AlbertTokenizerFast", "spiece.model", **ALBERT_PIECES),
        PLAIN | dict(embedding_size=16, pad_token_id=0, bos_token_id=2, eos_token_id=3),
        TYPED,
    ),
    "deberta": Family(
        "Deberta",
        bytelevel("DebertaTokenizerFast", ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]),
        PLAIN | RELATIVE | dict(pad_token_id=1, type_vocab_size=0, max_relative_positions=-1),
    ),
    "deberta-v2": Family(
        "DebertaV2",
        sentence_pieces("DebertaV2TokenizerFast", "spm.model", **DEBERTA_PIECES),
        PLAIN | RELATIVE | dict(position_buckets=16, share_att_key=True, norm_rel_ebd="layer_norm", type_vocab_size=0),
    ),
    "gpt2": Family(
        "GPT2",
        bytelevel("GPT2TokenizerFast", ["<|endoftext|>"]),
        dict(n_embd=32, n_layer=2, n_head=2, n_positions=MAX_TOKENS, bos_token_id=0, eos_token_id=0, pad_token_id=0),
    ),
    "modernbert": Family(
        "ModernBert",
        modernbert,
        PLAIN | dict(local_attention=16, pad_token_id=3, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2,
                     reference_compile=False),
    ),
}


def widened(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for name, p in model.named_parameters():
            plain = "norm" in name.lower() or name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight"))
            if plain:
                continue
            scale = 0.05 if p.dim() < 2 else 0.25
            p.copy_((torch.randn_like(p) * scale * 32).round() / 32)


@dataclass
class Made:
    """A family's model and tokenizer, as from_pretrained would give them, and the folder that has them."""

    family: Family
    model: Any
    tokenizer: Any
    folder: Path

    def encode(self, texts: list[str], **options: Any) -> dict[str, torch.Tensor]:
        encoded = self.tokenizer(texts, return_tensors="pt", truncation=True, max_length=MAX_TOKENS, **options)
        encoded = {name: value for name, value in encoded.items() if name in self.family.inputs}
        if "token_type_ids" in self.family.inputs and "token_type_ids" not in encoded:
            encoded["token_type_ids"] = torch.zeros_like(encoded["input_ids"])
        return encoded


def made(name: str, labels: int, work: Path, attention: str, **config: Any) -> Made:
    seeded()
    family = FAMILIES[name]
    folder = work / "source"
    scratch = work / "scratch"
    folder.mkdir()
    scratch.mkdir()
    tokenizer = family.tokenizer(scratch)
    if name == "gpt2" and config.get("pad_token_id", 0) is not None:
        tokenizer.pad_token = "<|endoftext|>"
    named = dict(id2label=LABELS, label2id={label: i for i, label in LABELS.items()}) if labels == len(LABELS) else {}
    if not named:
        named = dict(num_labels=labels)
    settings = getattr(transformers, family.model + "Config")(
        **(dict(vocab_size=len(tokenizer)) | family.config | named | config)
    )
    settings.architectures = [family.model + "ForSequenceClassification"]
    model = getattr(transformers, family.model + "ForSequenceClassification")(settings).eval()
    widened(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # What from_pretrained reads is what people export.
    model = type(model).from_pretrained(folder, attn_implementation=attention).eval()
    return Made(family, model, transformers.AutoTokenizer.from_pretrained(folder), folder)


# Exporters. Each writes a folder.


def beside(source: Made, out: Path) -> None:
    """The files that people copy to a graph that they exported themselves."""
    out.mkdir(exist_ok=True)
    source.model.config.save_pretrained(out)
    source.tokenizer.save_pretrained(out)


def optimum(source: Made, out: Path, **options: Any) -> None:
    from optimum.exporters.onnx import main_export

    main_export(str(source.folder), output=str(out), task="text-classification", do_validation=False, **options)


def legacy(source: Made, out: Path, opset: int = 17, dynamic: bool = True, positions: bool = False, narrow: bool = False,
           names: dict[str, str] | None = None, tokens: int | None = None, inputs: tuple[str, ...] | None = None,
           halved: bool = False) -> None:
    """torch.onnx.export by tracing."""
    beside(source, out)
    inputs = inputs or source.family.inputs
    padded = dict(padding="max_length") if tokens else dict(padding=True)
    texts = TEXTS[1:4] if dynamic else TEXTS[1:2]
    encoded = source.tokenizer(texts, return_tensors="pt", truncation=True, max_length=tokens or MAX_TOKENS, **padded)
    given = {name: encoded[name] if name in encoded else torch.zeros_like(encoded["input_ids"]) for name in inputs}
    if positions:
        given["position_ids"] = position_ids(source, given["input_ids"])
    if narrow:
        given = {name: value.to(torch.int32) for name, value in given.items()}
    order = list(given)

    class Flat(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: torch.Tensor) -> torch.Tensor:
            kept = dict(zip(order, values))
            if narrow:
                kept = {name: value.to(torch.int64) for name, value in kept.items()}
            return self.model(**kept).logits

    model = copy.deepcopy(source.model).half() if halved else source.model
    names = names or {}
    called = [names.get(name, name) for name in order]
    output = names.get("logits", "logits")
    axes = {name: {0: "batch", 1: "sequence"} for name in called} | {output: {0: "batch"}} if dynamic else None
    torch.onnx.export(
        Flat(model).eval(), tuple(given.values()), str(out / "model.onnx"), opset_version=opset, dynamo=False,
        input_names=called, output_names=[output], dynamic_axes=axes,
    )


def position_ids(source: Made, ids: torch.Tensor) -> torch.Tensor:
    if source.family.config.get("max_position_embeddings") == MAX_TOKENS + 2:
        real = (ids != 1).long()
        return torch.cumsum(real, 1) * real + 1
    return torch.arange(ids.shape[1]).expand(ids.shape)


def dynamo(source: Made, out: Path, opset: int = 18, external: bool = True) -> None:
    """torch.onnx.export by torch.export; weights lie in model.onnx.data."""
    beside(source, out)
    given = source.encode(TEXTS[1:4], padding=True)
    axes = {name: {0: "batch", 1: "sequence"} for name in given}
    torch.onnx.export(
        source.model, (), str(out / "model.onnx"), kwargs=given, opset_version=opset, dynamo=True, dynamic_shapes=axes,
        external_data=external,
    )


# Variants of a graph.


def half(keep: bool) -> Callable[[Path], None]:
    """Floats to half precision by onnxruntime's converter. onnxconverter-common's makes graphs that do not load of these."""

    def convert(graph: Path) -> None:
        onnx.save(float16.convert_float_to_float16(onnx.load(graph), keep_io_types=keep), graph)

    return convert


def dynamic_int8(graph: Path, out: Path | None = None, kind: QuantType = QuantType.QInt8) -> None:
    quantize_dynamic(graph, out or graph, weight_type=kind, per_channel=False, reduce_range=False)


class Calibration(CalibrationDataReader):
    def __init__(self, source: Made) -> None:
        self.rows = iter([{k: v.numpy() for k, v in source.encode([text]).items()} for text in TEXTS])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.rows, None)


def static_int8(source: Made) -> Callable[[Path], None]:
    """Of the products alone: with the sums in it as well, the scale of what the mask is added to cuts the mask off, so that a row
    is right alone and wrong with padding."""

    def convert(graph: Path) -> None:
        prepared = graph.with_name("prepared.onnx")
        shape_inference.quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
        quantize_static(prepared, graph, Calibration(source), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
                        op_types_to_quantize=["MatMul", "Gemm", "Gather"], activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        prepared.unlink()

    return convert


def at_hub(*graphs: str) -> Callable[[Path], None]:
    """The layout of transformers.js: all graphs in onnx/. Only those named stay."""

    def convert(graph: Path) -> None:
        folder = graph.parent / "onnx"
        folder.mkdir()
        graph.rename(folder / "model.onnx")
        for name in graphs:
            if name == "model_quantized.onnx":
                dynamic_int8(folder / "model.onnx", folder / name, QuantType.QUInt8)
            elif name == "model_fp16.onnx":
                shutil.copy(folder / "model.onnx", folder / name)
                half(True)(folder / name)
        if "model.onnx" not in graphs:
            (folder / "model.onnx").unlink()

    return convert


def external(graph: Path) -> None:
    """As optimum does for weights of 2 GB and more."""
    loaded = onnx.load(graph)
    graph.unlink()
    onnx.save(loaded, graph, save_as_external_data=True, location="model.onnx_data", size_threshold=0)


def optimized(source: Path, level: int) -> None:
    from optimum.onnxruntime import ORTModelForSequenceClassification, ORTOptimizer
    from optimum.onnxruntime.configuration import OptimizationConfig

    optimizer = ORTOptimizer.from_pretrained(ORTModelForSequenceClassification.from_pretrained(source))
    optimizer.optimize(OptimizationConfig(optimization_level=level), save_dir=source)
    (source / "model.onnx").unlink()  # what is left is model_optimized.onnx


def quantized(source: Path) -> None:
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    quantizer = ORTQuantizer.from_pretrained(source)
    quantizer.quantize(AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=False), save_dir=source)
    (source / "model.onnx").unlink()  # what is left is model_quantized.onnx


@dataclass
class Case:
    family: str
    export: Callable[[Made, Path], None]
    exporter: str
    precision: str = "fp32"
    labels: int = 3
    graph: str = "model.onnx"
    config: dict[str, Any] = field(default_factory=dict)
    attention: str | None = None  # which code of transformers; None is its choice
    alone: str = ""  # part of why rows run alone
    names: dict[str, str] = field(default_factory=dict)
    tokens: int = MAX_TOKENS
    fixed: bool = False  # runs have this many tokens, padded


def then(export: Callable[..., None], *steps: Callable[[Path], None], **options: Any) -> Callable[[Made, Path], None]:
    """An export, then changes to its graph."""

    def run(source: Made, out: Path) -> None:
        export(source, out, **options)
        for step in steps:
            step(out / "model.onnx")

    return run


def on_folder(step: Callable[..., None], *values: Any) -> Callable[[Path], None]:
    return lambda graph: step(graph.parent, *values)


def static(source: Made, out: Path) -> None:
    optimum(source, out)
    static_int8(source)(out / "model.onnx")


OLD_NAMES = {"attention_mask": "input_mask", "token_type_ids": "segment_ids", "logits": "output"}
DYNAMIC = "over the whole batch"

CASES = {
    "bert-optimum": Case("bert", optimum, "optimum 0.1"),
    "bert-opset11": Case("bert", then(legacy, opset=11, inputs=("input_ids", "attention_mask")), "torch, opset 11", labels=2,
                         attention="eager"),  # the other code needs opset 14
    "bert-old-names": Case("bert", then(legacy, opset=14, names=OLD_NAMES), "torch, opset 14", names=OLD_NAMES),
    "bert-int32": Case("bert", then(legacy, opset=17, narrow=True), "torch, opset 17"),
    "bert-fixed": Case("bert", then(legacy, opset=17, dynamic=False, tokens=32), "torch, opset 17, no dynamic axes", tokens=32,
                       fixed=True, alone="takes one row"),
    "bert-maskless": Case("bert", then(legacy, opset=17, inputs=("input_ids",)), "torch, opset 17", alone="no attention_mask"),
    "bert-dynamo": Case("bert", then(dynamo, opset=18), "torch dynamo, opset 18"),
    "bert-opset23": Case("bert", then(dynamo, opset=23, external=False), "torch dynamo, opset 23"),
    "bert-fp16": Case("bert", then(legacy, opset=17, halved=True), "torch, opset 17, model.half()", "fp16"),
    "bert-fp16-io": Case("bert", then(optimum, half(True)), "optimum, onnxruntime's float16", "fp16"),
    "bert-optimized": Case("bert", then(optimum, on_folder(optimized, 2)), "ORTOptimizer, level 2", graph="model_optimized.onnx"),
    "bert-quantized": Case("bert", then(optimum, on_folder(quantized)), "ORTQuantizer, dynamic", "int8",
                           graph="model_quantized.onnx", alone=DYNAMIC),
    "bert-static-int8": Case("bert", static, "quantize_static, QDQ", "int8"),
    "bert-regression": Case("bert", optimum, "optimum 0.1", labels=1, config=dict(problem_type="regression")),
    "bert-labels": Case("bert", optimum, "optimum 0.1", config=dict(problem_type="multi_label_classification")),
    "distilbert-optimum": Case("distilbert", optimum, "optimum 0.1", labels=2),
    "distilbert-hub": Case("distilbert", then(optimum, at_hub("model.onnx", "model_quantized.onnx", "model_fp16.onnx")),
                           "optimum, layout of transformers.js", graph="onnx/model.onnx"),
    "distilbert-hub-quantized": Case("distilbert", then(optimum, at_hub("model_quantized.onnx")),
                                     "optimum, layout of transformers.js", "int8", graph="onnx/model_quantized.onnx", alone=DYNAMIC),
    "electra-optimum": Case("electra", optimum, "optimum 0.1"),
    "mpnet-optimum": Case("mpnet", optimum, "optimum 0.1"),
    "mpnet-external": Case("mpnet", then(optimum, external), "optimum, external data"),
    "mpnet-positions": Case("mpnet", then(legacy, opset=17, positions=True), "torch, opset 17, position_ids"),
    "roberta-optimum": Case("roberta", optimum, "optimum 0.1"),
    "roberta-positions": Case("roberta", then(legacy, opset=17, positions=True), "torch, opset 17, position_ids"),
    "roberta-typed": Case("roberta", then(legacy, opset=20, inputs=TYPED), "torch, opset 20, token_type_ids"),
    "roberta-quantized": Case("roberta", then(optimum, dynamic_int8), "quantize_dynamic", "int8", alone=DYNAMIC),
    "xlm-roberta-optimum": Case("xlm-roberta", optimum, "optimum 0.1"),
    "xlm-roberta-dynamo": Case("xlm-roberta", then(dynamo, opset=20), "torch dynamo, opset 20"),
    "xlm-roberta-fp16": Case("xlm-roberta", then(optimum, half(False)), "optimum, onnxruntime's float16", "fp16"),
    "camembert-optimum": Case("camembert", optimum, "optimum 0.1"),
    "albert-optimum": Case("albert", optimum, "optimum 0.1"),
    "deberta-optimum": Case("deberta", optimum, "optimum 0.1"),
    "deberta-v2-optimum": Case("deberta-v2", optimum, "optimum 0.1"),
    "deberta-v2-fp16": Case("deberta-v2", then(optimum, half(True)), "optimum, onnxruntime's float16", "fp16"),
    "gpt2-optimum": Case("gpt2", optimum, "optimum 0.1"),
    "modernbert-optimum": Case("modernbert", optimum, "optimum 0.1"),
}


# Checks, and what is written.


def reference(source: Made, texts: list[str], tokens: int) -> tuple[list[list[int]], np.ndarray]:
    """Ids and float32 logits of each text alone."""
    ids, logits = [], []
    with torch.no_grad():
        for text in texts:
            encoded = {
                name: value[:, :tokens]
                for name, value in source.tokenizer(text, return_tensors="pt", truncation=True, max_length=tokens).items()
                if name in source.family.inputs
            }
            ids.append(encoded["input_ids"][0].tolist())
            logits.append(source.model(**encoded).logits[0].double().numpy())
    return ids, np.array(logits)


def run(session: onnxruntime.InferenceSession, source: Made, rows: list[list[int]], case: Case) -> np.ndarray:
    """Logits of rows as one batch, padded on the right."""
    pad = source.model.config.pad_token_id or 0
    longest = case.tokens if case.fixed else max(map(len, rows))
    ids = np.array([row + [pad] * (longest - len(row)) for row in rows])
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    values = {
        "input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids),
        "position_ids": position_ids(source, torch.tensor(ids)).numpy(),
    }
    values |= {renamed: values[name] for name, renamed in case.names.items() if name in values}
    fed = {i.name: values[i.name].astype(np.int32 if "int32" in i.type else np.int64) for i in session.get_inputs()}
    return np.asarray(session.run(None, fed)[0], dtype=np.float64)


def probabilities(logits: np.ndarray) -> np.ndarray:
    if logits.shape[1] == 1:
        return logits
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def check(name: str, case: Case, source: Made, folder: Path, ids: list[list[int]], logits: np.ndarray) -> tuple[float, np.ndarray]:
    """Has the exported graph agree with PyTorch, and sees to it that texts are far enough apart to tell a mistake."""
    tolerance = TOLERANCES[case.precision]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(folder / case.graph, options, providers=["CPUExecutionProvider"])
    got = np.concatenate([run(session, source, [row], case) for row in ids])
    off = np.abs(probabilities(got) - probabilities(logits)).max()
    assert off <= tolerance / 2, f"{name}: the graph is {off} off, want at most half of {tolerance}"
    spread = np.ptp(probabilities(logits), axis=0).max()
    least = 4 * (ROUNDING if case.precision == "int8" else tolerance)
    assert spread > least, f"{name}: texts are {spread} apart, want more than {least}"
    if not case.alone:
        padded = run(session, source, ids, case)
        moved = np.abs(probabilities(padded) - probabilities(got)).max()
        assert moved <= min(tolerance, ROUNDING), f"{name}: neighbours move answers by {moved}"
    return float(off), got


def cleaned(folder: Path, family: str) -> None:
    """Takes out what tells of the machine that exported."""
    for path in sorted(folder.rglob("*.onnx")):
        graph = onnx.load(path, load_external_data=False)
        for node in graph.graph.node:
            del node.metadata_props[:]
            node.ClearField("doc_string")
        for value in [*graph.graph.value_info, *graph.graph.input, *graph.graph.output, *graph.graph.initializer]:
            del value.metadata_props[:]
        del graph.graph.metadata_props[:]
        graph.ClearField("doc_string")
        graph.graph.ClearField("doc_string")
        path.write_bytes(graph.SerializeToString())
    for name in ("config.json", "ort_config.json"):
        path = folder / name
        if path.exists():
            content = json.loads(path.read_text())
            if "_name_or_path" in content:
                content["_name_or_path"] = family
            path.write_text(json.dumps(content, indent=2) + "\n")


def packed(folder: Path, to: Path) -> None:
    with zipfile.ZipFile(to, "w") as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), compresslevel=9)


def make(name: str, case: Case, into: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        source = made(case.family, case.labels, work, case.attention, **case.config)
        out = work / "out"
        case.export(source, out)
        ids, logits = reference(source, TEXTS, case.tokens)
        check(name, case, source, out, ids, logits)
        cleaned(out, case.family)
        off, got = check(name, case, source, out, ids, logits)
        left = [path for path in out.rglob("*") if path.is_file() and str(work).encode() in path.read_bytes()]
        assert not left, f"{name}: {left} name the folder {work}"
        packed(out, into / f"{name}.zip")
    labels = []
    if case.labels > 1:
        labels = list(LABELS.values()) if case.labels == 3 else [f"LABEL_{i}" for i in range(case.labels)]
    size = (into / f"{name}.zip").stat().st_size
    print(f"{name}: {size >> 10} KiB, {off:.2g} off", flush=True)
    return {
        "family": case.family,
        "exporter": case.exporter,
        "precision": case.precision,
        "graph": case.graph,
        "problem_type": case.config.get("problem_type", ""),
        "labels": labels,
        "max_tokens": case.tokens,
        "alone": case.alone,
        "tolerance": TOLERANCES[case.precision],
        "ids": ids,
        "logits": rounded(logits),
    } | ({"rounding": ROUNDING, quantized_key(): rounded(got)} if case.precision == "int8" else {})


def quantized_key() -> str:
    """Products of int8 saturate on CPUs without VNNI, and answers differ by up to 0.03. Run on the other kind of CPU for the other key,
    which stays as it is in golden.json."""
    return "quantized_logits_vnni" if "vnni" in Path("/proc/cpuinfo").read_text() else "quantized_logits"


def rounded(rows: np.ndarray) -> list[list[float]]:
    return [[round(v, 6) for v in row] for row in rows.tolist()]


def written(golden: dict[str, Any]) -> str:
    """JSON with a line for each text."""
    lines = ["{", ' "texts": [']
    lines += [f"  {json.dumps(text, ensure_ascii=False)}," for text in golden["texts"]]
    lines[-1] = lines[-1][:-1]
    lines += [" ],", ' "cases": {']
    for name in sorted(golden["cases"]):
        entry = golden["cases"][name]
        lines.append(f"  {json.dumps(name)}: {{")
        for key, value in entry.items():
            text = json.dumps(value)
            if value and isinstance(value, list) and isinstance(value[0], list):
                text = "[\n    " + ",\n    ".join(json.dumps(row) for row in value) + "\n   ]"
            lines.append(f"   {json.dumps(key)}: {text},")
        lines[-1] = lines[-1][:-1]
        lines.append("  },")
    lines[-1] = "  }"
    lines += [" }", "}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: exports.py FOLDER [CASE ...]")
    logging.disable(logging.WARNING)
    into = Path(sys.argv[1])
    into.mkdir(parents=True, exist_ok=True)
    path = into / "golden.json"
    golden = json.loads(path.read_text()) if path.exists() else {"cases": {}}
    golden["texts"] = TEXTS
    failed = []
    for name in sys.argv[2:] or CASES:
        try:
            entry, before = make(name, CASES[name], into), golden["cases"].get(name, {})
            other = {key: value for key, value in before.items() if key.startswith("quantized_logits")}
            golden["cases"][name] = other | entry if other and before["ids"] == entry["ids"] else entry
        except Exception as err:  # the others are worth having
            failed.append(name)
            print(f"{name}: {type(err).__name__}: {str(err)[:600]}", file=sys.stderr, flush=True)
        golden["cases"] = {name: entry for name, entry in golden["cases"].items() if name in CASES}
        path.write_text(written(golden))
    if failed:
        sys.exit(f"failed: {' '.join(failed)}")


if __name__ == "__main__":
    main()
