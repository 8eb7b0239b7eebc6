// Package batching forms micro-batches: rows of many callers wait in queues, and whenever a slot of a device is free the
// best batch is made of what waits at that moment. It owns the order in which rows run, the bounds of a batch, back-pressure
// on those who add rows, and the search for the guilty row of a batch that fails. It is generic: what a row is, how it is
// computed, and what its error means to a record, it leaves to others.
package batching

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// DefaultMaxWait keeps an online answer within what people feel as prompt, and a stream's within its second. Guesses, but
// for one thing: a class that always waits longer than its MaxWait gets half of the device ahead of more urgent ones, so
// Stream's is best above Limits.Bound ÷ rows per second, the time that a full queue takes.
var DefaultMaxWait = [3]time.Duration{Online: 100 * time.Millisecond, Stream: time.Second, Backfill: time.Minute}

// DeviceConfig describes cores or a GPU that several queues share.
type DeviceConfig struct {
	Name string // in metrics and errors: cpu, gpu0
	// Slots is how many batches run at once. On CPU: cores ÷ threads of a session. On GPU: 2, so that one fills its input
	// while the other computes.
	Slots int
	// MaxWait is how long a row of each class may wait before it goes ahead of more urgent ones. 0 means for ever.
	MaxWait [3]time.Duration
	// HangTimeout is how long one run may last before Hung says so. 0 means for ever.
	HangTimeout time.Duration
}

// Validate returns everything wrong with the config, joined. Keys are those of the configuration.
func (c DeviceConfig) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("name is empty: want what metrics call the device, such as cpu"))
	}
	if c.Slots < 1 {
		errs = append(errs, fmt.Errorf("slots is %d: want at least 1", c.Slots))
	}
	for class, wait := range c.MaxWait {
		if wait < 0 {
			errs = append(errs, fmt.Errorf("max_wait.%v is %v: want 0 (no limit) or more", Class(class), wait))
		}
	}
	if c.HangTimeout < 0 {
		errs = append(errs, fmt.Errorf("hang_timeout is %v: want 0 (no limit), or well over the longest run", c.HangTimeout))
	}
	return errors.Join(errs...)
}

// Device owns the slots that several queues share. It is safe for concurrent use.
//
// What must hold:
//
//   - No slot idles while a row waits, and no batch is formed before a slot is free to run it. The two together are why there
//     is no linger timer: under load, rows gather while the slots are busy; without load, nothing is gained by waiting.
//   - A row that is added ends exactly once: it ran to its end, its caller withdrew it, or the device stopped.
//   - A row that has waited its class's MaxWait is in the next batch formed, or behind only batches of rows whose time ran
//     out before its own did, and at most one other batch for each of those.
//   - A batch keeps to the limits of its queue. A batch that fails ends in errors for the rows that fail alone, found in at
//     most 2k⌈log₂n⌉ + 1 runs for k of n rows, and in answers for the others.
//
// The obvious shape is a channel a queue and a goroutine that collects from it, as most batchers have. Then a row is bound
// to its place once sent: it cannot be withdrawn, overtaken by an online row, or matched by length; and batches of two
// queues meet only at a semaphore, which knows nothing of urgency. The next most obvious is a goroutine that owns all rows
// and hands batches to slots: two channel hops and two wake-ups for each batch, which at one row a batch is more than all
// else here together. So the waiting rows are plain data under one mutex, held for well under a microsecond: callers link
// their row in, and a slot that has become free enters the results of its last batch and picks its next one itself.
//
// Halves of a failed batch go back to the waiting rows rather than being run on the slot they came from: all slots help with
// the search, and online rows overtake it as they would overtake any other.
type Device struct {
	config  DeviceConfig
	epoch   time.Time // times are kept as durations since
	metrics metrics

	mu      sync.Mutex
	work    sync.Cond // there may be something to pick; for slots
	policy  policy
	backlog backlog
	seq     uint64          // rows added
	since   []time.Duration // by slot: when its run began, or idle
	free    int             // slots that are not running
	started bool
	stopped error // what rows get that come too late; nil until then
	stats   counters
}

// idle marks a slot without a run.
const idle time.Duration = -1

// NewDevice returns a device whose slots start with Run. The config must be valid; it panics otherwise.
func NewDevice(config DeviceConfig) *Device {
	if err := config.Validate(); err != nil {
		panic(fmt.Sprintf("batching: device %q: %v", config.Name, err))
	}
	d := &Device{
		config: config,
		epoch:  time.Now(),
		policy: policy{maxWait: config.MaxWait},
		since:  make([]time.Duration, config.Slots),
		free:   config.Slots,
	}
	for slot := range d.since {
		d.since[slot] = idle
	}
	d.work.L = &d.mu
	d.stats, d.metrics = newCounters(), newMetrics(config.Name)
	return d
}

// Run runs the slots, one goroutine each, and returns when all have ended: after ctx ends, once the batches that are running
// then have ended. Rows that still wait get ErrClosed with ctx's cause, and Add gives ErrClosed from then on. Run is called
// once; it returns an error only if it has been called before.
func (d *Device) Run(ctx context.Context) error {
	d.mu.Lock()
	if d.started {
		d.mu.Unlock()
		return fmt.Errorf("run device %s: it has run before", d.config.Name)
	}
	d.started = true
	d.stats.began = d.now()
	d.mu.Unlock()

	var slots errgroup.Group
	slots.Go(func() error {
		<-ctx.Done()
		d.stop(context.Cause(ctx))
		return nil
	})
	for slot := range d.config.Slots {
		slots.Go(func() error {
			d.slot(slot)
			return nil
		})
	}
	return slots.Wait()
}

// slot runs one batch after the other until the device stops.
func (d *Device) slot(slot int) {
	var b batch
	d.mu.Lock()
	for d.pick(slot, &b) {
		d.mu.Unlock()
		b.queue.release(b.entered)
		err := b.queue.run(slot, b.rows)
		d.mu.Lock()
		d.enter(slot, &b, err)
	}
	d.mu.Unlock()
}

// pick waits until there is a batch for a slot, and says false when the device has stopped. mu is held.
func (d *Device) pick(slot int, b *batch) bool {
	b.reset()
	for d.stopped == nil {
		now := d.now()
		if d.policy.next(now, d.free, &d.backlog, b) {
			d.free--
			d.since[slot] = now
			d.stats.formed(now, b)
			if d.free > 0 && d.backlog.rows > 0 {
				d.work.Signal()
			}
			return true
		}
		d.work.Wait()
	}
	return false
}

// enter takes note of what became of a batch. mu is held.
func (d *Device) enter(slot int, b *batch, err error) {
	d.stats.busy += d.now() - d.since[slot]
	d.since[slot] = idle
	d.free++
	if err != nil && len(b.rows) > 1 && !errors.Is(err, ErrDevice) {
		if d.stopped == nil {
			d.halve(b)
			return
		}
		err = d.stopped // who is guilty will not be known
	}
	if err != nil {
		b.queue.series.failed += uint64(len(b.rows))
	}
	for _, r := range b.rows {
		r.end(err)
	}
}

// halve puts back the rows of a failed batch, but for those withdrawn while it ran. mu is held.
func (d *Device) halve(b *batch) {
	b.rows = slices.DeleteFunc(b.rows, func(r *row) bool {
		gone := r.group.gone
		if gone != nil {
			r.end(gone)
		}
		return gone != nil
	})
	half := (len(b.rows) + 1) / 2
	for _, rows := range [...][]*row{b.rows[half:], b.rows[:half]} { // the last is run first
		if len(rows) > 0 {
			d.backlog.hold(rows)
		}
	}
}

// stop ends the rows that wait, and the slots as they become free.
func (d *Device) stop(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = fmt.Errorf("%w: device %s stopped: %w", ErrClosed, d.config.Name, cause)
	d.work.Broadcast()
	for {
		var b batch
		if !d.policy.next(d.now(), 1, &d.backlog, &b) {
			return
		}
		b.queue.release(b.entered)
		for _, r := range b.rows {
			r.end(d.stopped)
		}
	}
}

// add lets a row in, unless its queue or the device is closed.
func (d *Device) add(r *row) bool {
	d.mu.Lock()
	if r.queue.closed || d.stopped != nil {
		d.mu.Unlock()
		return false
	}
	d.seq++
	r.seq, r.arrived = d.seq, d.now()
	r.queue.unended++
	r.group.open++
	r.group.gone = nil
	d.backlog.push(r)
	wake := d.free > 0
	d.mu.Unlock()
	if wake {
		d.work.Signal()
	}
	return true
}

// withdraw ends with cause those rows of a group that are not on a slot.
func (d *Device) withdraw(t *tally, rows iter.Seq[*row], cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.gone = cause
	for r := range rows {
		switch r.state {
		case waiting:
			d.backlog.remove(r)
			r.queue.doors[r.class].Release(1)
		case held:
			d.backlog.rows--
		default:
			continue
		}
		r.end(cause)
	}
}

// watch returns a channel that is closed once all rows of a group have ended.
func (d *Device) watch(t *tally) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	done := make(chan struct{})
	if t.open == 0 {
		close(done)
	} else {
		t.done = done
	}
	return done
}

func (d *Device) attach(q *queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q.device = d
	q.series = d.stats.open(q.name)
	d.backlog.queues = append(d.backlog.queues, q)
}

// detach forgets a queue. mu is held.
func (d *Device) detach(q *queue) {
	d.stats.close(q.name)
	d.backlog.queues = slices.DeleteFunc(d.backlog.queues, func(other *queue) bool { return other == q })
}

// Slots returns how many batches run at once.
func (d *Device) Slots() int { return d.config.Slots }

// Busy returns how long slots have been running batches so far, those of all slots added up.
func (d *Device) Busy() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.busy(d.now())
}

// busy includes the runs that have not ended. mu is held.
func (d *Device) busy(now time.Duration) time.Duration {
	busy := d.stats.busy
	for _, since := range d.since {
		if since != idle {
			busy += now - since
		}
	}
	return busy
}

// Hung says whether a run has lasted longer than HangTimeout, and when the oldest such run began. Nothing here can end such a
// run: memory that it writes to must not be touched until it has ended. So the process has to end; liveness asks.
func (d *Device) Hung() (since time.Time, hung bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	oldest, running := d.oldest()
	if !running || d.config.HangTimeout == 0 || d.now()-oldest <= d.config.HangTimeout {
		return time.Time{}, false
	}
	return d.epoch.Add(oldest), true
}

// oldest returns when the run began that has lasted longest. mu is held.
func (d *Device) oldest() (since time.Duration, running bool) {
	for _, began := range d.since {
		if began != idle && (!running || began < since) {
			since, running = began, true
		}
	}
	return since, running
}

// now is the time since the device's epoch.
func (d *Device) now() time.Duration { return time.Since(d.epoch) }
