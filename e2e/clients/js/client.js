// kafkajs, a client written in JavaScript alone. It has gzip built in; the other codecs are packages. What it does is in contract.md.
'use strict'

const { randomUUID } = require('node:crypto')
const { parseArgs } = require('node:util')
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')
const snappy = require('kafkajs-snappy')
const lz4 = require('lz4-napi')
const zstd = require('@mongodb-js/zstd')

CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer)
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: (encoder) => zstd.compress(encoder.buffer),
  decompress: (buffer) => zstd.decompress(buffer)
})
const codecs = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD
}

const BATCH = 10 // events in a transaction, or in a request
const QUIET_MS = 2000
const TIMEOUT_MS = 150000

const [command, ...rest] = process.argv.slice(2)
const text = { type: 'string' }
const { values: o } = parseArgs({
  args: rest,
  options: {
    brokers: text, topic: text, topics: text, prefix: text, count: text, keys: text, 'bad-every': text,
    compression: { type: 'string', default: 'none' }, idempotent: { type: 'boolean' }, transactional: text, 'abort-every': text
  }
})
const kafka = new Kafka({ clientId: 'foreign', brokers: o.brokers.split(','), logLevel: logLevel.ERROR })
const count = Number(o.count)

function event (id, n) {
  const key = `${o.prefix}-key-${n % Number(o.keys)}`
  let value = Buffer.from(JSON.stringify({ review_id: id, item_id: key, text: `Number ${n} is warm and light.` }))
  const badEvery = Number(o['bad-every'])
  if (n % badEvery === badEvery - 1) value = value.subarray(0, value.length / 2)
  return { key, value, headers: { event: id, tag: ['one', 'two'], empty: '' } }
}

async function write () {
  const transactional = o.transactional !== undefined
  const producer = kafka.producer({
    idempotent: transactional || o.idempotent === true,
    transactionalId: o.transactional,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false
  })
  await producer.connect()
  const send = (to, messages) => to.send({ topic: o.topic, acks: -1, compression: codecs[o.compression], messages })
  let aborted = 0
  for (let begin = 0; begin < count; begin += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, count - begin) }, (_, i) => begin + i)
    const events = numbers.map((n) => event(`${o.prefix}-${n}`, n))
    if (!transactional) {
      await send(producer, events)
      continue
    }
    const abortEvery = Number(o['abort-every'])
    if (begin / BATCH % abortEvery === abortEvery - 1) {
      const doomed = await producer.transaction()
      await send(doomed, numbers.map((n) => event(`${o.prefix}-aborted-${n}`, n)))
      await doomed.abort()
      aborted += numbers.length
    }
    const transaction = await producer.transaction()
    await send(transaction, events)
    await transaction.commit()
  }
  await producer.disconnect()
  console.log(JSON.stringify({ client: `kafkajs ${require('kafkajs/package.json').version}`, written: count, aborted }))
}

async function read () {
  // Read-committed is its default; it is said here since it is what readers of Nearline must set.
  const consumer = kafka.consumer({ groupId: `foreign-${randomUUID()}`, readUncommitted: false, maxWaitTimeInMs: 200 })
  await consumer.connect()
  await consumer.subscribe({ topics: o.topics.split(','), fromBeginning: true })
  let have = 0
  let quiet
  await new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, TIMEOUT_MS)
    consumer.on(consumer.events.CRASH, (e) => reject(e.payload.error))
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ topic, partition, message }) => {
        const headers = {}
        for (const [name, value] of Object.entries(message.headers)) headers[name] = [].concat(value).map(String)
        console.log(JSON.stringify({
          topic, partition, offset: Number(message.offset), key: String(message.key), value: String(message.value), headers
        }))
        if (++have >= count) {
          clearTimeout(timer)
          clearTimeout(quiet)
          quiet = setTimeout(resolve, QUIET_MS)
        }
      }
    }).catch(reject)
  })
  await consumer.disconnect()
}

({ write, read })[command]().catch((error) => {
  console.error(error)
  process.exit(1)
})
