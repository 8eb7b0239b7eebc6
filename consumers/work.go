package consumers

import (
	"context"
	"time"
)

// work is what is done with the records of one cycle, as the quarantine sees it. Poll begins it, and a member has one at a time. It ends in two steps:
//
//   - The records are done with. Publish says so before it publishes anything (survived). Until then the work takes room in the process, which all
//     members share; a record on trial takes all of the room, and every other member waits for it.
//   - The cycle is over. Commit says so (committed). Abort, Close and a commit that the group took back give the work up (giveUp), which ends the first step, too,
//     where that is still to come. Until then the marks may have to be taken back.
//
// So whoever gets a work from begin ends it, whatever happens: one that is forgotten shuts the other members out for good. A nil work is none, and all its
// methods do nothing.
type work struct {
	quarantine *quarantine       // nil where nothing is marked
	marks      map[int32]attempt // by partition, as long as nothing says that they were survived
	weight     int64             // of the process's room; 0 once it was left
	until      int64             // offset of the partition in doubt up to which the cycle goes
}

// enter the process's room with a cycle of that weight.
func (q *quarantine) enter(ctx context.Context, weight int64) (*work, error) {
	if err := q.attempts.room.Acquire(ctx, weight); err != nil {
		return nil, context.Cause(ctx)
	}
	return &work{quarantine: q, weight: weight}, nil
}

// leave the room: nobody works on the records any more.
func (w *work) leave() {
	if w.weight > 0 {
		w.quarantine.attempts.room.Release(w.weight)
		w.weight = 0
	}
}

// mark the attempt at the records. Where that fails the work is given up.
func (w *work) mark(ctx context.Context, marks map[int32]attempt) error {
	w.marks = marks // first: a mark that fails may stand in the topic all the same
	err := w.write(ctx, marks)
	if err != nil {
		w.giveUp()
	}
	return err
}

func (w *work) write(ctx context.Context, marks map[int32]attempt) error {
	q := w.quarantine
	return q.attempts.mark(ctx, q.group, q.topic, marks)
}

// survived is called when the work on the records is done, before their commit. From here on the records are not to blame for what goes wrong. An ordinary
// cycle writes no mark here: its commit will say the same.
func (w *work) survived(ctx context.Context) error {
	if w == nil {
		return nil
	}
	w.leave()
	if _, _, on := w.quarantine.current(); !on || len(w.marks) == 0 {
		return nil
	}
	return w.clear(ctx)
}

// clear the records of the suspicion that they ended the process.
func (w *work) clear(ctx context.Context) error {
	marks := w.marks
	w.marks = nil
	for partition, mark := range marks {
		mark.Survived = true
		marks[partition] = mark
	}
	return w.write(ctx, marks)
}

// clearTimeout is how long giving up a cycle waits for its marks.
const clearTimeout = time.Second

// giveUp the cycle while the process lives: whoever takes the records next need not doubt them. Where the mark cannot be
// written, they are doubted without need, and nothing worse.
func (w *work) giveUp() {
	if w == nil {
		return
	}
	w.leave()
	if len(w.marks) == 0 {
		return
	}
	clear(w.quarantine.marked) // what is taken again is marked again
	ctx, cancel := context.WithTimeout(context.Background(), clearTimeout)
	defer cancel()
	if err := w.clear(ctx); err != nil {
		w.quarantine.logger.Debug("an attempt that was given up stays marked", "error", err)
	}
}

// committed is told that the cycle was.
func (w *work) committed() {
	if w == nil || w.quarantine == nil {
		return
	}
	w.marks = nil
	q := w.quarantine
	partition, doubt, on := q.current()
	switch {
	case !on:
	case w.until >= doubt.end:
		q.done(partition, doubt) // rather than wait for a next record, which need not come
	default:
		doubt.deaths = 0 // they were of the record that is now behind
		q.doubts[partition] = doubt
	}
}
