// Package torture tries the promise on real processes: it writes numbered records over many keys, hurts the replicas (and
// the broker, where that is its own) on a schedule made from a seed, and at the end reads everything back as a
// read-committed consumer and counts what was lost, doubled or out of order.
//
// It judges by what the topics say and by nothing else: what an input record should have become follows from its bytes,
// and what an output record is the effect of follows from its headers.
package torture
