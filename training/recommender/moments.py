"""What was known of each item at a moment: how often it was rated lately, and how well. Nothing after the moment counts.

These stand for the features that the service keeps of its streams: `popularity`, a count that halves every HALF_LIFE, and
`sentiment`, the mean of what people thought, with the same decay; not a number where nobody has said anything. MovieLens has no
reviews, so ratings, mapped to 0..1, take the place of a sentiment model's probabilities. A user rates a film once, so what is
known of a film that the user has not had comes from others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data import Events, Floats, Ints

HALF_LIFE_DAYS = 365
DAY = 86_400


@dataclass(frozen=True)
class Known:
    """popularity and sentiment, float32 [moments, items + 1]. Column 0 is no item."""

    popularity: Floats
    sentiment: Floats


def at(events: Events, moments: Ints, items: int) -> Known:
    """What `events` tell strictly before each of the moments, in any order."""
    ordered = events.by_time()
    known = Known(*(np.zeros((len(moments), items + 1), np.float32) for _ in range(2)))
    count, liked = np.zeros(items + 1), np.zeros(items + 1)
    start, clock = 0, int(ordered.time[0])
    for place in np.argsort(moments, kind="stable"):
        moment = int(moments[place])
        end = int(np.searchsorted(ordered.time, moment, side="left"))
        decay = 0.5 ** ((moment - clock) / DAY / HALF_LIFE_DAYS) if moment > clock else 1.0
        count, liked, clock = count * decay, liked * decay, max(moment, clock)
        new = slice(start, end)
        weight = 0.5 ** ((clock - ordered.time[new]) / DAY / HALF_LIFE_DAYS)
        count += np.bincount(ordered.item[new], weight, items + 1)
        liked += np.bincount(ordered.item[new], weight * ordered.liked[new], items + 1)
        start = end
        known.popularity[place] = count
        with np.errstate(invalid="ignore", divide="ignore"):
            known.sentiment[place] = liked / count
    return known
