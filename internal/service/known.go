package service

import (
	"strconv"
	"sync"
	"time"

	"nearline/internal/observe"
)

// known is what is told of a pipeline beside its members' own faults.
type known struct {
	mu     sync.Mutex // guards all below
	lag    map[int32]int64
	asked  time.Time // when the cluster said so; zero where it did not answer
	shared error     // that another process has a member's name
	since  time.Time // when that was last seen
}

// sharedFor is how long two replicas of one name are told of after the last time that one fenced the other: between two of them, each has its turn.
const sharedFor = 2 * time.Minute

func (k *known) namesake(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.shared, k.since = err, time.Now()
}

// lags takes note of what the cluster says; nil is that it does not.
func (k *known) lags(lag map[int32]int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lag, k.asked = lag, time.Now()
	if lag == nil {
		k.asked = time.Time{}
	}
}

// namesakes is why two replicas of one name have to be told apart; nil while that is not so.
func (k *known) namesakes() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shared != nil && time.Since(k.since) < sharedFor {
		return k.shared
	}
	return nil
}

// detail of a pipeline: how many records wait, in all and in each partition that has any, and the dead letters of this process by class.
func (w *worker) detail() map[string]any {
	w.known.mu.Lock()
	defer w.known.mu.Unlock()
	detail := map[string]any{"dead_letters": w.metrics.DeadLetters()}
	if w.known.asked.IsZero() {
		return detail
	}
	var total int64
	partitions := map[string]int64{}
	for partition, n := range w.known.lag {
		if total += n; n > 0 {
			partitions[strconv.Itoa(int(partition))] = n
		}
	}
	detail["lag"], detail["lag_at"], detail["lag_partitions"] = total, w.known.asked.UTC().Format(time.RFC3339), partitions
	return detail
}

// check says what the members wait for, or what keeps them from their work, and how far they are behind.
func (w *worker) check() observe.Finding {
	finding := observe.Finding{Detail: w.detail()}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, err := range []error{w.waiting, w.stands.Err(), w.known.namesakes()} {
		if err != nil {
			finding.Problem = err.Error()
			break
		}
	}
	return finding
}
