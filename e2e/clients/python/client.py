"""librdkafka, by confluent-kafka. What it does is in contract.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition

BATCH = 10  # events in a transaction
QUIET_SECONDS = 2
TIMEOUT_SECONDS = 150


def write(a: argparse.Namespace) -> None:
    """Write the events."""
    config = {"bootstrap.servers": a.brokers, "compression.type": a.compression, "linger.ms": 5,
              "enable.idempotence": a.idempotent or bool(a.transactional)}
    if a.transactional:
        config["transactional.id"] = a.transactional
    producer = Producer(config)
    failed = []

    def produce(event_id: str, n: int) -> None:
        key = f"{a.prefix}-key-{n % a.keys}"
        value = json.dumps({"review_id": event_id, "item_id": key, "text": f"Number {n} is warm and light."}).encode()
        if n % a.bad_every == a.bad_every - 1:
            value = value[:len(value) // 2]
        headers = [("event", event_id.encode()), ("tag", b"one"), ("tag", b"two"), ("empty", b"")]
        producer.produce(a.topic, value, key=key, headers=headers, on_delivery=lambda err, _: err and failed.append(err))
        producer.poll(0)

    aborted = 0
    if not a.transactional:
        for n in range(a.count):
            produce(f"{a.prefix}-{n}", n)
    else:
        producer.init_transactions(60)
        for number, begin in enumerate(range(0, a.count, BATCH)):
            numbers = range(begin, min(begin + BATCH, a.count))
            if number % a.abort_every == a.abort_every - 1:
                producer.begin_transaction()
                for n in numbers:
                    produce(f"{a.prefix}-aborted-{n}", n)
                producer.flush(60)  # so that the brokers have what is aborted
                producer.abort_transaction(60)
                aborted += len(numbers)
            producer.begin_transaction()
            for n in numbers:
                produce(f"{a.prefix}-{n}", n)
            producer.commit_transaction(60)
    if producer.flush(60) or failed:
        sys.exit(f"not everything was acknowledged: {failed[:3]}")
    client = f"confluent-kafka {confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}"
    print(json.dumps({"client": client, "written": a.count, "aborted": aborted}))


def read(a: argparse.Namespace) -> None:
    """Read the topics."""
    consumer = Consumer({"bootstrap.servers": a.brokers, "group.id": f"foreign-{uuid.uuid4()}", "isolation.level": "read_committed",
                         "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, confluent_kafka.OFFSET_BEGINNING)
                     for topic in a.topics.split(",") for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions])
    have, until = 0, time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < until:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            sys.exit(f"the consumer failed: {message.error()}")
        headers: dict[str, list[str]] = {}
        for name, value in message.headers() or []:
            headers.setdefault(name, []).append(value.decode())
        print(json.dumps({"topic": message.topic(), "partition": message.partition(), "offset": message.offset(),
                          "key": message.key().decode(), "value": message.value().decode(), "headers": headers}))
        have += 1
        if have == a.count:
            until = time.monotonic() + QUIET_SECONDS
    consumer.close()


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    writer = commands.add_parser("write")
    writer.set_defaults(run=write)
    for name, kind, default in [("topic", str, None), ("prefix", str, None), ("count", int, None), ("keys", int, None),
                                ("bad-every", int, None), ("compression", str, "none"), ("transactional", str, ""),
                                ("abort-every", int, 1)]:
        writer.add_argument(f"--{name}", type=kind, default=default, required=default is None)
    writer.add_argument("--idempotent", action="store_true")
    reader = commands.add_parser("read")
    reader.set_defaults(run=read)
    reader.add_argument("--topics", required=True)
    reader.add_argument("--count", type=int, required=True)
    for command in (writer, reader):
        command.add_argument("--brokers", required=True)
    a = parser.parse_args()
    a.run(a)


if __name__ == "__main__":
    main()
