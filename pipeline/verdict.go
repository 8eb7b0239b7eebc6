package pipeline

import "crypto/sha256"

// Verdict is what was found about a record before anybody works on it: whoever fetched it could not keep all of it, or it has ended processes. The zero Verdict,
// which nearly all records have, says nothing against the record.
//
// A record may have both kinds. Then its fault is that it ended processes, and its dead letter is a reference all the same.
type Verdict struct {
	// Deaths is how often a process ended while it had this record alone in its hands.
	Deaths int
	// Withheld says what of the record was not kept, because it was too much for memory; nil for a record that is whole. Such a record
	// cannot be read, and its value is empty.
	Withheld *Withheld
}

// Fault that ends the record; nil for one that is to be worked on.
func (v Verdict) Fault() *Fault {
	switch {
	case v.Deaths > 0:
		return Faultf(ClassCrash, StagePredict, "the process ended %d times while it had nothing but this record in its hands", v.Deaths)
	case v.Withheld != nil:
		return Faultf(ClassTooLarge, StageFetch,
			"the value is %d bytes, in a batch that decompresses to more than %v: raise kafka.fetch_max_decompressed, which bounds two such batches, or send smaller ones",
			v.Withheld.Length, v.Withheld.Limit)
	}
	return nil
}

// Withheld is what is known of a record that did not fit into memory.
type Withheld struct {
	Limit  ByteSize // of the batch that it came in
	Length int64    // of the value, in bytes
	SHA256 [sha256.Size]byte
	// FirstBytes of the value.
	FirstBytes []byte
	// KeyLength and KeySHA256 tell of a key that was left out too; otherwise the length is 0.
	KeyLength int64
	KeySHA256 [sha256.Size]byte
	// Headers and HeadersLength tell of the headers, which are left out always: how many, and their bytes.
	Headers       int
	HeadersLength int64
}
