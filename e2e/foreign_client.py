"""A client that none of us wrote (librdkafka) against a running service.

Writes events to an input topic, reads the results with read_committed, and checks that every event has exactly one
result or dead letter, in the order of its key. Exits 1 with the reason when that does not hold.

Usage: foreign_client.py BROKERS {reviews,feedback} [COUNT]
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections import Counter, defaultdict
from typing import Callable, NamedTuple

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

OPINIONS = [
    ("I love this kettle, it boils fast and looks wonderful.", "positive"),
    ("Broke after two days. A complete waste of money.", "negative"),
    ("The best coat I have ever bought, warm and light.", "positive"),
    ("Terrible service, and the parcel arrived damaged.", "negative"),
]
KEYS = 7
BAD = 11  # one event in so many is not JSON
TIMEOUT_SECONDS = 120


class Story(NamedTuple):
    """The topics of a pipeline, how an event is written for it, and where a result has its id."""

    raw: str
    scored: str
    dead: str
    event: Callable[[str, str], dict]
    result_id: str


STORIES = {
    "reviews": Story(
        "reviews.raw", "reviews.scored", "reviews.raw.dlq",
        lambda event_id, text: {"review_id": event_id, "item_id": "kettle", "text": text},
        "review_id",
    ),
    "feedback": Story(
        "feedback.events", "feedback.scored", "feedback.events.dlq",
        lambda event_id, text: {"meta": {"uuid": event_id, "shop": "north"}, "body": {"content": text}, "channel": "web"},
        "uuid",
    ),
}


def create_topics(brokers: str, topics: list[str]) -> None:
    """Create what is missing, six partitions each."""
    admin = AdminClient({"bootstrap.servers": brokers})
    have = admin.list_topics(timeout=30).topics
    missing = [NewTopic(topic, 6, 1) for topic in topics if topic not in have]
    if missing:
        for future in admin.create_topics(missing).values():
            future.result(30)


def subscribe_from_now(brokers: str, topics: list[str]) -> Consumer:
    """A read_committed consumer that stands at the end of every partition of the topics."""
    consumer = Consumer({
        "bootstrap.servers": brokers, "group.id": f"foreign-{uuid.uuid4()}", "isolation.level": "read_committed",
        "enable.auto.commit": False,
    })
    assignment = []
    for topic in topics:
        for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
            _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
            assignment.append(TopicPartition(topic, partition, high))
    consumer.assign(assignment)
    return consumer


def main() -> str | None:
    """Run the story. Returns what went wrong, or None."""
    brokers, story = sys.argv[1], STORIES[sys.argv[2]]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    create_topics(brokers, [story.raw, story.scored, story.dead])
    consumer = subscribe_from_now(brokers, [story.scored, story.dead])

    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "compression.type": "lz4"})
    sent: dict[str, tuple[int, str]] = {}
    order: dict[str, list[str]] = defaultdict(list)
    bad = 0
    run = uuid.uuid4().hex[:8]
    for n in range(count):
        key = f"{run}-{n % KEYS}"
        if n % BAD == BAD - 1:
            producer.produce(story.raw, b"{not json", key=key, headers={"run": run})
            bad += 1
            continue
        text, label = OPINIONS[n % len(OPINIONS)]
        event_id = f"{run}-{n:06d}"
        sent[event_id] = (n, label)
        order[key].append(event_id)
        producer.produce(story.raw, json.dumps(story.event(event_id, text)), key=key, headers={"run": run})
    producer.flush(30)

    seen: Counter[str] = Counter()
    got_order: dict[str, list[str]] = defaultdict(list)
    dead = agreed = 0
    deadline = time.monotonic() + TIMEOUT_SECONDS
    quiet_until = None
    while time.monotonic() < (quiet_until or deadline):
        message = consumer.poll(0.2)
        if message is None:
            if quiet_until is None and len(seen) == len(sent) and dead == bad:
                quiet_until = time.monotonic() + 2  # a double would still come
            continue
        if message.error():
            if message.error().code() == KafkaError._PARTITION_EOF:
                continue
            return f"the consumer failed: {message.error()}"
        headers = dict(message.headers() or [])
        if headers.get("run", b"").decode() != run:
            continue
        if message.topic() == story.dead:
            dead += 1
            if headers.get("nearline-dlq-class") != b"decode" or not headers.get("nearline-dlq-cause"):
                return f"a dead letter without its class and cause: {headers}"
            continue
        result = json.loads(message.value())
        event_id = result[story.result_id]
        seen[event_id] += 1
        got_order[message.key().decode()].append(event_id)
        sentiment = result["sentiment"]
        if not 0.5 <= sentiment["score"] <= 1:
            return f"a score that is no probability of its label: {result}"
        agreed += sentiment["label"] == sent[event_id][1]
    consumer.close()

    if lost := [e for e in sent if not seen[e]]:
        return f"{len(lost)} of {len(sent)} events have no result, the first: {lost[0]}"
    if doubled := [e for e, n in seen.items() if n > 1]:
        return f"{len(doubled)} events have more than one result, the first: {doubled[0]}"
    if dead != bad:
        return f"{dead} dead letters for {bad} bad events"
    if got_order != order:
        return "the results of a key are out of order"
    if agreed < len(sent):
        return f"only {agreed} of {len(sent)} plain opinions got the label that a person would give"
    print(f"{sys.argv[2]}: {len(sent)} results and {dead} dead letters for {count} events, each once and in order; "
          f"written and read by librdkafka")
    return None


if __name__ == "__main__":
    sys.exit(main())
