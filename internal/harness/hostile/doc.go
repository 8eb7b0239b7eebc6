// Package hostile makes records that hurt, from a seed, mixed with good ones, and checks what became of each: bytes that are no
// JSON, JSON that is no review, records and nests without end, and batches of a megabyte that hold gigabytes. It writes record
// batches by hand, since no client would.
package hostile
