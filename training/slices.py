"""Parts of a set by what a text is like, and the same texts as others would have typed them."""

from __future__ import annotations

import random
import re
from typing import Callable

NEGATION = re.compile(r"\b(?:not|no|never|nothing|nor|none|without|hardly|n't)\b|n't\b|n 't\b", re.IGNORECASE)
EMOTICON = re.compile(r"[:;=]-?[)(DPp/]|[\U0001F300-\U0001FAFF\u2600-\u27BF]")
CONTRAST = re.compile(r"\b(?:but|however|although|though|yet|despite)\b", re.IGNORECASE)

TAGS: dict[str, Callable[[str], bool]] = {
    "up to 12 words": lambda text: len(text.split()) <= 12,
    "13 to 50 words": lambda text: 12 < len(text.split()) <= 50,
    "51 to 250 words": lambda text: 50 < len(text.split()) <= 250,
    "over 250 words": lambda text: len(text.split()) > 250,
    "with a negation": lambda text: NEGATION.search(text) is not None,
    "with a contrast": lambda text: CONTRAST.search(text) is not None,
    "with an exclamation mark": lambda text: "!" in text,
    "with a word in capitals": lambda text: any(len(word) > 3 and word.isupper() for word in text.split()),
    "with an emoji or emoticon": lambda text: EMOTICON.search(text) is not None,
}


def typed_badly(text: str) -> str:
    """Every eighth word of four and more letters has two neighbours swapped, a letter lost, or one doubled."""
    chance = random.Random(text)

    def word(match: re.Match[str]) -> str:
        letters = match.group()
        if chance.random() > 1 / 8:
            return letters
        at = chance.randrange(1, len(letters) - 1)
        return chance.choice(
            [
                letters[:at] + letters[at + 1] + letters[at] + letters[at + 2 :],
                letters[:at] + letters[at + 1 :],
                letters[:at] + letters[at] + letters[at:],
            ]
        )

    return re.sub(r"[A-Za-z]{4,}", word, text)


CHANGES: dict[str, Callable[[str], str]] = {
    "typed badly": typed_badly,
    "all in capitals": str.upper,
    "without punctuation": lambda text: re.sub(r"[^\w\s']", " ", text),
    "after a sentence in Spanish": lambda text: f"Lo compr\u00e9 en la tienda el s\u00e1bado. {text}",
    "before a sentence in German": lambda text: f"{text} Ich habe es im Mai gekauft.",
}
