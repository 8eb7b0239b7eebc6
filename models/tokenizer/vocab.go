package tokenizer

import (
	"fmt"
	"math"
)

// parseVocab checks the ids and returns a number above all of them.
func parseVocab(at string, ids map[string]uint32) (vocab map[string]int32, limit int64, err error) {
	vocab = make(map[string]int32, len(ids))
	for token, id := range ids {
		if id >= math.MaxInt32 {
			return nil, 0, fmt.Errorf("%s.vocab[%q] is %d: want an id below %d", at, token, id, math.MaxInt32)
		}
		vocab[token] = int32(id)
		limit = max(limit, int64(id)+1)
	}
	return vocab, limit, nil
}
