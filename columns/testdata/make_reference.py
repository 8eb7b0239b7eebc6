"""What numpy, scikit-learn, pandas and Python make of values, for the tests of columns.

    python make_reference.py > reference.json

Needs training/trees/requirements.txt. Numbers are written with all their digits; those that are random are from a fixed seed.
"""

import json
import math
import sys
from decimal import Decimal

import numpy as np
import pandas
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import murmurhash3_32

random = np.random.default_rng(15)

NUMBERS = [
    0.0, 1.0, -0.5, -0.999999, 1e-9, 1e-320, 0.1, 2.718281828459045, 12.5, 999.0, 1e6, 1e15, 9007199254740991.0, 9007199254740992.0, 1.7e300,
    *random.normal(0, 100, 40).round(6), *random.gamma(2, 1000, 40), *(10.0 ** random.uniform(-12, 18, 40)),
]
TEXTS = [
    "", "a", "shoes", "grün", "日本", "naïve ☕", "318", "318.0", "red_X_2", "x" * 1000, "\U0001f44c\U0001f3fd", "a\u0301", "line\nbreak", "\u00a0",
    "9007199254740993", "true", " leading and trailing ", *(f"item-{n:04d}" for n in range(40)),
]
# Numbers as JSON may have them, of which many are the same.
LITERALS = [
    "318", "318.0", "3.18e2", "31800e-2", "-7", "-7.00", "0", "0.0", "-0", "1e3", "1000", "1E+3", "9007199254740992", "9007199254740993", "9007199254740993.0",
    "9007199254740994", "18446744073709551617", "18446744073709551616", "7.5", "7.50", "0.1", "0.10", "1e-1", "0.000001", "1e-6", "123456789.000000001",
]


def scaled(scaler):
    """The scaler's parameters, and what it makes of NUMBERS, of which it has seen the moderate ones."""
    seen = np.array([n for n in NUMBERS if abs(n) < 1e7]).reshape(-1, 1)
    scaler.fit(seen)
    return scaler, [float(scaler.transform([[n]])[0, 0]) for n in NUMBERS]


def words():
    """Texts with each code point that any of Python's functions takes for a space or a control, and others, between letters."""
    separators = [chr(c) for c in range(sys.maxunicode + 1) if chr(c).isspace() or c < 0xa1] + list("\u180e\u200b\u2060\ufeff")
    texts = [f"a{s}b{s}{s}c" for s in separators] + ["", " ", "a", "  two  words "]
    return [{"text": t, "words": len(t.split()), "characters": len(t)} for t in texts]


def main():
    standard, standardised = scaled(StandardScaler())
    span, spanned = scaled(MinMaxScaler())
    bounds = [-100.0, 0.0, 0.1, 12.5, 1000.0]
    dummies = pandas.get_dummies(pandas.Series(["de", "fr", "at"]), prefix="shop")
    json.dump(
        {
            "numbers": NUMBERS,
            "log1p": [float(np.log1p(n)) if n > -1 else None for n in NUMBERS],
            "standard": {"mean": float(standard.mean_[0]), "deviation": float(standard.scale_[0]), "values": standardised},
            "span": {"min": float(span.data_min_[0]), "max": float(span.data_max_[0]), "values": spanned},
            "digitize": {"bounds": bounds, "values": [int(np.digitize(n, bounds)) for n in NUMBERS]},
            "texts": TEXTS,
            "hash": {str(n): [int(murmurhash3_32(t, positive=True)) % n for t in TEXTS] for n in (2, 1000, 1024, 2**31)},
            "words": words(),
            "dummies": {name: [int(v) for v in dummies[name]] for name in sorted(dummies)},
            "literals": LITERALS,
            "same": [[i for i, other in enumerate(LITERALS) if Decimal(other) == Decimal(text)] for text in LITERALS],
            "whole": [math.floor(Decimal(t)) == Decimal(t) for t in LITERALS],
        },
        sys.stdout,
        ensure_ascii=True,
    )
    print()


if __name__ == "__main__":
    main()
