// Package producers builds the records to publish: results, dead letters and tombstones, each with its key, its
// headers and a size that the topic takes. It owns no client, since the consumer group's member publishes, and it does
// not know formats: an Encoder writes the value.
//
// Headers are text. What Nearline writes begins with "nearline-":
//
//	on results and tombstones         what
//	nearline-source-topic             where the input record came from:
//	nearline-source-partition         these three are its identity, and what a reader under
//	nearline-source-offset            at-least-once tells duplicates by
//	nearline-source-timestamp         the record's own timestamp, in milliseconds since 1970, where the result has the time of writing
//	nearline-model, -model-version    the last model that answered; not on tombstones
//
//	on dead letters                   what
//	nearline-dlq-class                decode, invalid, too_large, model, crash, encode, refused, no_key or full
//	nearline-dlq-stage                fetch, decode, predict, aggregate, encode or publish
//	nearline-dlq-cause                one sentence for a person
//	nearline-dlq-attempt              which attempt at the record this was, from 1
//	nearline-dlq-time                 when it was given up, RFC 3339
//	nearline-dlq-source-topic         where the record came from
//	nearline-dlq-source-partition
//	nearline-dlq-source-offset
//	nearline-dlq-source-timestamp     the record's own timestamp, RFC 3339; none where it has none
//	nearline-dlq-source-timestamp-ms  in its place, milliseconds since 1970: a time that RFC 3339 cannot say
//	nearline-dlq-model                the model that failed, if one did
//	nearline-dlq-model-version
//	nearline-dlq-tombstone            "true": the original is a tombstone, its value is null
//	nearline-dlq-reference            "true": the value is a reference to an original too large for the topic
//	nearline-dlq-dropped              "headers", "key" or "headers,key": what else was too large
//
//	on records that were replayed     what
//	nearline-replay-attempt           which replay of the record this is, from 1
//	nearline-replay-source            topic/partition/offset of where it was read first
//	nearline-replay-letter            the same of the dead letter that it came from
package producers
