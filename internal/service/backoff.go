package service

import (
	"context"
	"time"

	"nearline/kafka"
)

// refusedPause is the longest that nobody asks a cluster that refuses credentials: each question is a login that fails, which locks users out and fills the
// logs of others.
const refusedPause = 30 * time.Second

// backoff is how long to leave a cluster alone that gave no answer, or not as it should. What it refuses it is asked less and less often, and at once when
// there is something else to show.
type backoff struct {
	connection kafka.Connection
	least      time.Duration
	next       time.Duration // after another refusal
	shown      kafka.Content // in the question
}

// ask notes what a question shows that is put now.
func (b *backoff) ask() { b.shown = b.connection.Content() }

// wait after an answer; false is that ctx has ended.
func (b *backoff) wait(ctx context.Context, answer error) bool {
	pause := b.least
	if kafka.Refused(answer) {
		pause = max(b.least, b.next)
		b.next = min(2*pause, refusedPause)
	} else {
		b.next = 0
	}
	for ; pause > 0; pause -= b.least {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(pause, b.least)):
		}
		if b.connection.Content() != b.shown {
			break
		}
	}
	return true
}
