package torture

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// progress of a run, as last heard.
type progress struct {
	written atomic.Int64 // records that the load has handed over
	behind  atomic.Int64 // records of the input that the group has not committed
}

const (
	askEvery  = 500 * time.Millisecond
	tellEvery = 10 * time.Second
)

// follow asks the cluster how far the group is until ctx ends, and tells it now and then. Where nothing moves any more, it
// gives the run up.
func (r *run) follow(ctx context.Context, giveUp context.CancelCauseFunc) error {
	admin, err := r.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	told, moved, before := time.Now(), time.Now(), int64(0)
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		asking, cancel := context.WithTimeout(ctx, 10*time.Second)
		behind, err := r.behind(asking, admin)
		cancel()
		if err == nil {
			r.progress.behind.Store(behind)
		}
		now := time.Now()
		if sum := r.progress.written.Load() - r.progress.behind.Load() + r.watch.seen(); sum != before {
			moved, before = now, sum
		}
		if now.Sub(moved) > longPatience {
			giveUp(fmt.Errorf("nothing was written, scored or committed for %v", longPatience))
		}
		if now.Sub(told) >= tellEvery {
			told = now
			r.tell.progress(r.progress.written.Load(), r.watch.seen(), r.progress.behind.Load())
		}
	}
}

// behind is how many records of the input the group has not committed. A commit whose transaction is still open does not
// count.
func (r *run) behind(ctx context.Context, admin *kadm.Client) (int64, error) {
	ends, err := admin.ListEndOffsets(ctx, r.topics.input)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, err
	}
	committed, err := admin.FetchOffsets(kadm.RequireStable(ctx), r.group)
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return 0, err
	}
	behind := int64(0)
	ends.Each(func(end kadm.ListedOffset) {
		done, _ := committed.Lookup(end.Topic, end.Partition)
		behind += end.Offset - max(0, done.At)
	})
	return behind, nil
}

// finish waits until the replicas have committed all of the input and, after it, all of the view's updates, and says how many records of the
// two they have not, -1 for unknown, when there is no progress any more.
func (r *run) finish(ctx context.Context) (unread int64) {
	admin, err := r.admin()
	if err != nil {
		return -1
	}
	defer admin.Close()
	unread = finished(ctx, func(ctx context.Context) (int64, error) { return r.behind(ctx, admin) })
	if unread != 0 || r.view.Name == "" {
		return unread
	}
	// What lies behind the last update of a partition are marks of transactions, which nobody commits.
	ends := map[int32]int64{}
	err = r.readAll(ctx, func(record *kgo.Record) { ends[record.Partition] = record.Offset + 1 }, r.view.updates())
	if err != nil {
		return -1
	}
	return finished(ctx, func(ctx context.Context) (left int64, err error) {
		committed, err := admin.FetchOffsets(kadm.RequireStable(ctx), r.view.group())
		if err == nil {
			err = committed.Error()
		}
		for partition, end := range ends {
			done, _ := committed.Lookup(r.view.updates(), partition)
			left += max(0, end-max(0, done.At))
		}
		return left, err
	})
}

// finished waits until nothing is left, or there is no progress any more.
func finished(ctx context.Context, ask func(context.Context) (left int64, err error)) (left int64) {
	left = -1
	for moved := time.Now(); time.Since(moved) < patience; {
		asking, cancel := context.WithTimeout(ctx, 10*time.Second)
		now, err := ask(asking)
		cancel()
		switch {
		case err == nil && now == 0:
			return 0
		case err == nil && (left < 0 || now < left):
			left, moved = now, time.Now()
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return left
		}
	}
	return left
}
