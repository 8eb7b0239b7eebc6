// Package deadletters reads topics of dead letters, finds the originals that they tell of, and puts originals back: what
// `nearline dlq` does. It reads only what is committed, one partition after another, and keeps no more in memory than one fetch, one
// transaction, and a bit for each offset of the topic.
//
// How a dead letter is written, and read back, is the business of producers.
package deadletters
