package service

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nearline/consumers"
	"nearline/features"
)

const (
	// fillingInterval is how often a store is asked whether it still has what was put into it.
	fillingInterval = 5 * time.Second
	// fillingPause is between the end of one filling and the next.
	fillingPause = time.Second
	// The pauses between one filling for evicted keys and the next, which grow as long as keys go on being evicted. They are guesses.
	leastEvictionPause = time.Minute
	mostEvictionPause  = time.Hour
)

// filler keeps a store that outlives the process up to what is committed to a view's topic of states.
type filler struct {
	*view
	shared     features.Lasting
	partitions int // of the topic of states
	sink       features.Sink
	// last is when keys that were evicted were put again, and pause how long to wait until they may be again.
	last    time.Time
	pause   time.Duration
	evicted int64 // of those, how many are counted
	// short says that keys were evicted and there is no room for them: marks may be among them.
	short atomic.Bool
	// reason that a filling was named anew by this replica, "" for none.
	reason string
}

// run until ctx ends.
func (f *filler) run(ctx context.Context) error {
	before := ""
	for ctx.Err() == nil {
		filling := f.current(ctx)
		if filling == nil {
			return nil
		}
		if before != "" && filling.Name != before {
			f.evicted = 0
			if filling.Renewed == 0 {
				f.reason = features.RefillEmptied
			}
			f.metrics.StoreBehind(true)
			f.logger.Warn("the store of features has lost what it had, and is filled anew", "before", before, "now", filling.Name)
			if f.reason != "" {
				f.metrics.StoreRefilled(f.reason)
			}
		}
		before, f.reason = filling.Name, ""
		if err := f.fill(ctx, filling); err != nil {
			return err
		}
		pause := time.NewTimer(fillingPause) // a store that comes back older all the time is not worth a core
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
	return nil
}

// again does something until it succeeds; false when ctx has ended.
func (f *filler) again(ctx context.Context, what string, do func(ctx context.Context) error) bool {
	ticker := time.NewTicker(fillingInterval)
	defer ticker.Stop()
	for told := false; ; {
		trying, cancel := context.WithTimeout(ctx, 3*fillingInterval)
		err := do(trying)
		cancel()
		if err == nil {
			return true
		}
		if ctx.Err() == nil && !told {
			told = true
			f.logger.Warn("the store of features does not do what it should, which is tried again", "attempt", what, "error", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// current filling of the store, nil when ctx has ended.
func (f *filler) current(ctx context.Context) (filling *features.Filling) {
	if !f.again(ctx, "ask what it has", func(ctx context.Context) (err error) {
		filling, err = features.CurrentFilling(ctx, f.shared, f.View, f.partitions)
		return err
	}) {
		return nil
	}
	return filling
}

// group of the replicas that fill the store: named after the filling, so that one which was lost begins anew, for all of them.
func (f *filler) group(filling *features.Filling) string {
	// A topic that was made anew is another one, too.
	named := fnv.New32a()
	_, _ = named.Write([]byte(f.sink.Source))
	return fmt.Sprintf("%s-store-%s-%08x", f.config.Group(f.Name()), filling.Name, named.Sum32())
}

// fill the store as long as it has what was put into it under the filling's name.
func (f *filler) fill(ctx context.Context, filling *features.Filling) error {
	group := f.group(filling)
	var older error
	if !f.again(ctx, "look whether it has what was put into it", func(ctx context.Context) error {
		committed, err := f.state.Committed(ctx, group)
		if err == nil {
			err = filling.Open(ctx, committed)
		}
		if errors.Is(err, features.ErrOlder) || errors.Is(err, features.ErrRestarted) {
			older, err = err, nil
		}
		return err
	}) {
		return nil
	}
	if older != nil {
		f.lost(ctx, filling, older)
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex // guards why
	var why error
	end := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if why == nil {
			why = err
		}
		stop()
	}
	var both errgroup.Group
	both.Go(func() error {
		end(f.watch(ctx, filling, group))
		return nil
	})
	both.Go(func() error {
		err := f.state.Follow(ctx, consumers.Following{Group: group, Apply: f.sink.Apply, Mark: func(ctx context.Context, committed, next map[int32]int64) error {
			err := filling.Mark(ctx, committed, next)
			if errors.Is(err, features.ErrOlder) && !f.short.Load() || errors.Is(err, features.ErrRestarted) {
				return errors.Join(consumers.ErrLeave, err)
			}
			return err
		}})
		end(err)
		if err != nil && !errors.Is(err, consumers.ErrLeave) {
			return err
		}
		return nil
	})
	if err := both.Wait(); err != nil {
		return err
	}
	f.lost(context.WithoutCancel(ctx), filling, why)
	return nil
}

// errEvicted is why a filling is named anew although the store does not look older.
var errEvicted = errors.New("the store of features has removed keys for want of memory, and has room for them again")

// lost does what is to be done about an error of a filling.
func (f *filler) lost(ctx context.Context, filling *features.Filling, why error) {
	reason := features.RefillOlder
	switch {
	case errors.Is(why, errEvicted):
		reason = features.RefillEvicted
	case errors.Is(why, features.ErrOlder):
	case errors.Is(why, features.ErrRestarted):
		f.logger.Info("what was put into the store of features last is put again", "reason", why)
		return
	default:
		return
	}
	f.metrics.StoreBehind(true)
	f.logger.Warn("the store of features is filled anew from the topic of states; lookups have what it has meanwhile, older values or defaults",
		"topic", f.states(), "filling", filling.Name, "reason", why)
	renewing, cancel := context.WithTimeout(ctx, 3*fillingInterval)
	defer cancel()
	if err := filling.Renew(renewing); err != nil {
		f.logger.Warn("the store of features was not named anew, which is tried again", "error", err)
		return
	}
	f.reason = reason
}

// watch a filling until the store has lost something, or ctx ends.
func (f *filler) watch(ctx context.Context, filling *features.Filling, group string) error {
	ticker := time.NewTicker(fillingInterval)
	defer ticker.Stop()
	ends := make(map[int32]int64) // of the topic, where they were when the filling began
	var known map[int32]int64     // offsets that are committed
	filled, whole, told := false, false, false
	for {
		asking, cancel := context.WithTimeout(ctx, 3*fillingInterval)
		err := func(ctx context.Context) error {
			now, err := features.CurrentFilling(ctx, f.shared, f.View, f.partitions)
			if err != nil {
				return err
			}
			if now.Name != filling.Name {
				return fmt.Errorf("%w: it is filled anew", features.ErrRestarted)
			}
			committed, err := f.state.Committed(ctx, group)
			if err != nil {
				return err
			}
			evicted, full, err := filling.Check(ctx, committed)
			if err != nil && !errors.Is(err, features.ErrOlder) {
				return err
			}
			f.short.Store(evicted > 0 && full)
			if again := f.evictions(evicted, full); again != nil {
				return again
			}
			if f.short.Load() && errors.Is(err, features.ErrOlder) && !f.paused() {
				err = nil // what is lost was most likely evicted
			}
			whole = err == nil && !filled && evicted == 0
			known = committed
			return err
		}(asking)
		cancel()
		if err == nil && whole {
			filled, err = f.progress(ctx, filling, known, ends)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, features.ErrOlder), errors.Is(err, features.ErrRestarted), errors.Is(err, errEvicted):
			return err
		case err != nil && !told:
			f.logger.Warn("the store of features does not say what it has; it is asked again", "error", err)
		}
		told = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// evictions counts keys that the store's servers have removed, and returns an error when they are to be put again. Not while there is no room,
// since each key that is put would cost another; and not again and again.
func (f *filler) evictions(evicted int64, full bool) error {
	if evicted == 0 {
		return nil
	}
	if evicted > f.evicted {
		if f.evicted == 0 {
			f.logger.Warn("the store of features removes keys for want of memory, and lookups of these have defaults; give it more memory (maxmemory), and "+
				"maxmemory-policy noeviction; it is filled anew once a tenth of its memory is free", "keys", evicted)
		}
		f.metrics.StoreEvicted(evicted - f.evicted)
		f.metrics.StoreBehind(true)
		f.evicted = evicted
	}
	if full || !f.paused() {
		return nil
	}
	return errEvicted
}

// paused says that the store may be filled for want of evicted keys, and begins the next pause.
func (f *filler) paused() bool {
	since := time.Since(f.last)
	if since < f.pause {
		return false
	}
	if f.pause = min(max(leastEvictionPause, 2*f.pause), mostEvictionPause); since > 2*mostEvictionPause {
		f.pause = leastEvictionPause
	}
	f.last = time.Now()
	return true
}

// progress of a filling: whether all that was committed when it began has been put. Ends is where that is, by partition; it is found once, and kept there.
func (f *filler) progress(ctx context.Context, filling *features.Filling, committed, ends map[int32]int64) (filled bool, err error) {
	if filled, err = filling.Filled(ctx); err != nil {
		return false, err
	}
	if !filled {
		if len(ends) == 0 {
			found, err := f.state.Ends(ctx, f.partitions)
			maps.Copy(ends, found)
			return false, err
		}
		for p, end := range ends {
			if committed[p] <= end {
				return false, nil
			}
		}
		removed, swept, err := filling.Sweep(ctx, f.sink.Source, func(ctx context.Context, partition int32, apply func(key, value []byte) error) (int64, error) {
			return f.state.Restore(ctx, partition, 0, apply)
		})
		if err != nil || !swept {
			return false, err
		}
		f.metrics.StoreRemoved(removed)
		if err := filling.Done(ctx); err != nil {
			return false, err
		}
		f.logger.Info("the store of features has all that the topic of states has", "topic", f.states(), "filling", filling.Name, "removed", removed)
	}
	f.metrics.StoreBehind(false)
	return true, nil
}
