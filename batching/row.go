package batching

import "time"

// state is where a row stands. It only moves forward, except that a bisected row goes from running to held and back.
type state uint8

const (
	waiting state = iota // in its lane
	held                 // in a retry: its batch failed, and it will run again with half of that batch
	running              // on a slot
	ended                // its error is final
)

// row is one item's place in the scheduler. Its owner is the device: all fields are guarded by Device.mu once it is added,
// but for self, which never changes.
type row struct {
	next, prev    *row // in the lane, by arrival
	after, before *row // in the lane's bucket of rows of equal cost, by arrival
	queue         *queue
	group         *tally
	self          any // the *cell[T] that this row is part of
	err           error
	arrived       time.Duration // since the device's epoch
	seq           uint64        // order of arrival over the whole device
	cost          int
	class         Class
	state         state
}

// tally counts what a group still waits for.
type tally struct {
	open int           // rows that have not ended
	gone error         // why the caller wants no more of them, or nil
	done chan struct{} // closed when open falls to 0; nil while nobody waits
}

// end makes err the row's last word.
func (r *row) end(err error) {
	r.state, r.err = ended, err
	r.queue.unended--
	r.queue.detachIfDrained()
	r.group.open--
	if r.group.open == 0 && r.group.done != nil {
		close(r.group.done)
		r.group.done = nil
	}
}
