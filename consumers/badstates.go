package consumers

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// badStates are the states of a topic that cannot be taken, as long as nothing later of their key has taken their place: a tombstone does at once,
// and not only when the topic is compacted. The zero one is none.
type badStates struct{ errs map[string]error }

// maxBad is how many bad states are remembered. There is no use in finding more: one is enough to stop.
const maxBad = 1000

// note what came of a record, and say whether its key is one more that is bad.
func (b *badStates) note(r *pipeline.Record, err error) bool {
	key := string(r.Key)
	if w := r.Verdict.Withheld; w != nil && w.KeyLength > 0 {
		key = string(w.KeySHA256[:])
	}
	if err == nil {
		if len(b.errs) > 0 {
			delete(b.errs, key)
			sum := sha256.Sum256(r.Key)
			delete(b.errs, string(sum[:]))
		}
		return false
	}
	if b.errs == nil {
		b.errs = make(map[string]error)
	}
	_, known := b.errs[key]
	if b.full() && !known {
		return false
	}
	b.errs[key] = fmt.Errorf("%s: %w", r.Coordinates(), err)
	return !known
}

func (b *badStates) full() bool { return len(b.errs) >= maxBad }

// toldBad is how many of them an error names.
const toldBad = 5

// err names the first of them.
func (b *badStates) err() error {
	if len(b.errs) == 0 {
		return nil
	}
	keys := slices.Sorted(maps.Keys(b.errs))
	var errs []error
	for _, key := range keys[:min(len(keys), toldBad)] {
		errs = append(errs, b.errs[key])
	}
	return fmt.Errorf("states that cannot be taken: %d, such as %w", len(keys), errors.Join(errs...))
}

// withheldError says that a state was left out of what was read; nil for one that is whole.
func withheldError(r *pipeline.Record) error {
	w := r.Verdict.Withheld
	if w == nil {
		return nil
	}
	return fmt.Errorf("%w: key %q: the state has %d bytes in a batch that holds more than may be kept in memory: nothing of ours writes such. "+
		"Raise kafka.fetch_max_decompressed; or write a tombstone for the key, which then begins anew", pipeline.ErrPermanent, r.Key, w.Length)
}

// refusedError says that a batch is too much, even without what is large in it.
func refusedError(e *kgo.ErrDecompressTooLarge) error {
	return fmt.Errorf("%s[%d]: the batch at offset %d, which ends before %d, holds more than may be kept in memory: nothing of ours writes such. "+
		"Raise kafka.fetch_max_decompressed and start again; or have the view begin anew, without the topic: delete it and the view's topic of updates, with the service stopped",
		e.Topic, e.Partition, e.Offset, e.NextOffset)
}

// goneError and anewError say that a topic, which has what cannot be made up, is not the one that was there before.
func goneError(topic string) error {
	return fmt.Errorf("%w: topic %s was deleted while running", errGone, topic)
}

func anewError(topic string) error {
	return fmt.Errorf("%w: topic %s was deleted and made anew while running", errGone, topic)
}

// errGone says what to do about a topic of a view that is gone.
var errGone = errors.New("a view's topic is gone, and the view does not begin anew by itself: stop the service, then either put the topic back, " +
	"or delete the view's topics of updates and of states both, so that the view begins with nothing; then start the service")
