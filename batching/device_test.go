package batching

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loose are limits that leave the batch to the load.
var loose = Limits{MaxItems: 64, MaxTokens: 1 << 16, MaxPadding: 100, Bound: 1000}

// task is the value of a row in tests.
type task struct {
	id   int
	fail error
	ran  int // completed runs
}

// launch runs a device for the length of a test.
func launch(t *testing.T, config DeviceConfig) *Device {
	t.Helper()
	config.Name = "test"
	d := NewDevice(config)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("device: %v", err)
		}
	})
	return d
}

// journal is a Run that takes time and writes down what it was given.
type journal struct {
	lasts time.Duration

	mu      sync.Mutex
	batches [][]int // ids
	slots   []int
}

func (j *journal) run(slot int, batch []Item[*task]) error {
	var ids []int
	var err error
	for _, item := range batch {
		ids = append(ids, item.Value.id)
		if item.Value.fail != nil {
			err = item.Value.fail
		}
	}
	j.mu.Lock()
	j.batches, j.slots = append(j.batches, ids), append(j.slots, slot)
	j.mu.Unlock()
	if j.lasts > 0 {
		time.Sleep(j.lasts)
	}
	if err == nil {
		for _, item := range batch {
			item.Value.ran++
		}
	}
	return err
}

// add hands rows of a cost over, numbered from id on. Those with a fault fail.
func add(t *testing.T, g *Group[*task], id, n, cost int, faults ...error) (tasks []*task) {
	t.Helper()
	for i := range n {
		row := &task{id: id + i}
		if i < len(faults) {
			row.fail = faults[i]
		}
		tasks = append(tasks, row)
		if err := g.Add(t.Context(), Item[*task]{Cost: cost, Value: row}); err != nil {
			t.Fatalf("add row %d: %v", row.id, err)
		}
	}
	return tasks
}

func wantErrors(t *testing.T, got []error, want ...error) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("errors: got %d %v, want %d", len(got), got, len(want))
	}
	for i := range want {
		if !errors.Is(got[i], want[i]) || want[i] == nil && got[i] != nil {
			t.Errorf("row %d: got error %v, want %v", i, got[i], want[i])
		}
	}
}

func TestDeviceFormsBatchesOnlyWhenASlotIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 1})
		j := &journal{lasts: time.Second}
		g := NewQueue(d, "q", loose, j.run).Group(Stream)
		began := time.Now()
		add(t, g, 0, 1, 10)
		synctest.Wait() // the first row is alone on the slot
		add(t, g, 1, 3, 10)
		time.Sleep(500 * time.Millisecond)
		add(t, g, 4, 2, 10)
		wantErrors(t, g.Wait(t.Context()), make([]error, 6)...)
		if got, want := fmt.Sprint(j.batches), "[[0] [1 2 3 4 5]]"; got != want {
			t.Errorf("batches: got %s, want %s", got, want)
		}
		if got, want := time.Since(began), 2*time.Second; got != want {
			t.Errorf("time for two runs of 1s: got %v, want %v", got, want)
		}
	})
}

func TestDeviceAnswersALoneRowAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 2})
		j := &journal{lasts: 3 * time.Millisecond}
		g := NewQueue(d, "q", loose, j.run).Group(Online)
		time.Sleep(time.Minute)
		began := time.Now()
		add(t, g, 0, 1, 10)
		wantErrors(t, g.Wait(t.Context()), nil)
		if got, want := time.Since(began), j.lasts; got != want {
			t.Errorf("time for a lone row: got %v, want that of its run, %v", got, want)
		}
	})
}

func TestDeviceRunsAnOverdueRowNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 1, MaxWait: [3]time.Duration{Stream: 50 * time.Millisecond}})
		one := loose
		one.MaxItems = 1
		j := &journal{lasts: 10 * time.Millisecond}
		q := NewQueue(d, "q", one, j.run)
		online, stream := q.Group(Online), q.Group(Stream)
		add(t, online, 0, 1, 1)
		synctest.Wait()
		add(t, stream, 100, 1, 1) // overdue when the 5th run ends, exactly
		add(t, online, 1, 9, 1)
		wantErrors(t, stream.Wait(t.Context()), nil)
		online.Wait(t.Context())
		if got, want := fmt.Sprint(j.batches), "[[0] [1] [2] [3] [4] [100] [5] [6] [7] [8] [9]]"; got != want {
			t.Errorf("batches: got %s, want %s", got, want)
		}
	})
}

func TestAddBlocksAtTheBoundOfItsClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 1})
		limits := loose
		limits.Bound, limits.MaxItems = 3, 2
		j := &journal{lasts: time.Second}
		q := NewQueue(d, "q", limits, j.run)
		g := q.Group(Stream)
		began := time.Now()
		add(t, g, 0, 1, 1)
		synctest.Wait()
		add(t, g, 1, 3, 1)
		if got := time.Since(began); got != 0 {
			t.Errorf("adding up to the bound took %v, want no time", got)
		}
		online := q.Group(Online)
		add(t, online, 10, 1, 1)
		if got := time.Since(began); got != 0 {
			t.Errorf("adding an online row while the stream is at its bound took %v, want no time", got)
		}

		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, errors.New("no patience"))
		defer cancel()
		err := g.Add(ctx, Item[*task]{Cost: 1, Value: &task{}})
		if err == nil || !strings.Contains(err.Error(), "no patience") {
			t.Errorf("add past the bound until ctx ends: got %v, want its cause", err)
		}
		add(t, g, 4, 1, 1) // waits for the first run to end, which lets one of the stream's rows go with the online one
		if got, want := time.Since(began), time.Second; got != want {
			t.Errorf("add past the bound returned after %v, want %v", got, want)
		}
		wantErrors(t, g.Wait(t.Context()), make([]error, 5)...)
		wantErrors(t, online.Wait(t.Context()), nil)
	})
}

func TestAddTakesRowsThatNoBatchCanHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 1})
		j := &journal{}
		limits := loose
		limits.MaxTokens = 100
		g := NewQueue(d, "q", limits, j.run).Group(Stream)
		for _, cost := range []int{100, 101, 0, 1, MaxCost + 1} {
			if err := g.Add(t.Context(), Item[*task]{Cost: cost, Value: &task{id: cost}}); err != nil {
				t.Errorf("add row of cost %d: got %v, want it taken", cost, err)
			}
		}
		if got := g.Len(); got != 5 {
			t.Errorf("len: got %d, want 5", got)
		}
		wantErrors(t, g.Wait(t.Context()), nil, ErrCost, ErrCost, nil, ErrCost)
	})
}

func TestGroupIsEmptyAfterWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 2})
		j := &journal{lasts: time.Millisecond}
		g := NewQueue(d, "q", loose, j.run).Group(Stream)
		wantErrors(t, g.Wait(t.Context()))
		for n := range 5 {
			tasks := add(t, g, 0, n, 1)
			wantErrors(t, g.Wait(t.Context()), make([]error, n)...)
			for _, task := range tasks {
				if task.ran != 1 {
					t.Errorf("round %d, row %d ran %d times, want once", n, task.id, task.ran)
				}
			}
		}
	})
}

func TestDeviceForgetsRowsThatHaveRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 1})
		var kept []Item[*task] // against the contract
		g := NewQueue(d, "q", loose, func(_ int, batch []Item[*task]) error {
			kept = batch
			return nil
		}).Group(Stream)
		add(t, g, 0, 1, 1)
		wantErrors(t, g.Wait(t.Context()), nil)
		if kept[0].Value != nil {
			t.Error("the slot holds on to a row that has ended: its memory stays until the next batch")
		}
	})
}

func TestWaitWithdrawsRowsThatNoSlotHasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 1})
		limits := loose
		limits.MaxItems, limits.Bound = 2, 10
		j := &journal{lasts: time.Second}
		q := NewQueue(d, "q", limits, j.run)
		g, other := q.Group(Stream), q.Group(Stream)
		began := time.Now()
		add(t, g, 0, 2, 1)
		synctest.Wait() // both are on the slot
		add(t, g, 2, 5, 1)
		add(t, other, 10, 1, 1)

		gone := errors.New("caller gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(300*time.Millisecond, func() { cancel(gone) })
		wantErrors(t, g.Wait(ctx), nil, nil, gone, gone, gone, gone, gone)
		if got, want := time.Since(began), time.Second; got != want {
			t.Errorf("wait returned after %v, want %v: when the rows that ran had ended", got, want)
		}
		wantErrors(t, other.Wait(t.Context()), nil)
		if got, want := fmt.Sprint(j.batches), "[[0 1] [10]]"; got != want {
			t.Errorf("batches: got %s, want %s", got, want)
		}
		add(t, g, 20, 10, 1) // the bound has room for all again
		wantErrors(t, g.Wait(t.Context()), make([]error, 10)...)
	})
}

func TestWaitWithdrawsRowsBetweenTheirRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 1})
		j := &journal{lasts: time.Second}
		q := NewQueue(d, "q", loose, j.run)
		first := q.Group(Stream)
		add(t, first, 100, 1, 1)
		synctest.Wait()
		g := q.Group(Stream)
		bad := errors.New("bad row")
		add(t, g, 0, 4, 1, bad) // [0 1 2 3], then [0 1] while [2 3] is held
		gone := errors.New("caller gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(2500*time.Millisecond, func() { cancel(gone) })
		wantErrors(t, g.Wait(ctx), gone, gone, gone, gone)
		first.Wait(t.Context())
		if got, want := fmt.Sprint(j.batches), "[[100] [0 1 2 3] [0 1]]"; got != want {
			t.Errorf("batches: got %s, want %s", got, want)
		}

		add(t, first, 100, 1, 1)
		synctest.Wait()
		add(t, g, 0, 2, 1, bad) // the group begins anew: what was withdrawn is forgotten
		time.Sleep(10 * time.Second)
		wantErrors(t, g.Wait(t.Context()), bad, nil)
		first.Wait(t.Context())
	})
}

// TestDeviceFindsGuiltyRows also holds the search to its bound: a batch of n rows of which k fail takes at most
// 2k⌈log₂n⌉ + 1 runs, and never more than the 2n - 1 that a tree with a leaf for every row has nodes.
func TestDeviceFindsGuiltyRows(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		n, slots := 1+rnd.IntN(64), 1+rnd.IntN(3)
		guilty := rnd.Perm(n)[:rnd.IntN(min(n, 6)+1)]
		if seed%10 == 0 {
			guilty = rnd.Perm(n)
		}
		synctest.Test(t, func(t *testing.T) {
			d := launch(t, DeviceConfig{Slots: slots})
			before, j := &journal{lasts: time.Second}, &journal{lasts: time.Millisecond}
			busy := NewQueue(d, "busy", loose, before.run).Group(Stream)
			for slot := range slots {
				add(t, busy, slot, 1, 1)
				synctest.Wait()
			}
			g := NewQueue(d, "q", loose, j.run).Group(Stream)
			want := make([]error, n)
			for _, i := range guilty {
				want[i] = fmt.Errorf("row %d", i)
			}
			tasks := add(t, g, 0, n, 1, want...)
			got := g.Wait(t.Context())
			busy.Wait(t.Context())
			for i := range n {
				if got[i] != want[i] {
					t.Errorf("seed %d, row %d of %d: got error %v, want its own, %v", seed, i, n, got[i], want[i])
				}
				if want[i] == nil && tasks[i].ran != 1 {
					t.Errorf("seed %d, row %d of %d: ran to the end %d times, want once", seed, i, n, tasks[i].ran)
				}
			}
			if len(j.batches[0]) != n {
				t.Fatalf("seed %d: first batch has %d rows, want all %d", seed, len(j.batches[0]), n)
			}
			most := min(2*len(guilty)*bits.Len(uint(n-1))+1, 2*n-1)
			if len(j.batches) > most {
				t.Errorf("seed %d: %d of %d rows were found in %d runs, want at most %d", seed, len(guilty), n, len(j.batches), most)
			}
		})
	}
}

func TestDeviceSearchesOnAllSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 2})
		j := &journal{lasts: time.Second}
		q := NewQueue(d, "q", loose, j.run)
		blocked := q.Group(Online)
		for id := range 2 {
			add(t, blocked, 100+id, 1, 1)
			synctest.Wait()
		}
		g := q.Group(Stream)
		bad := errors.New("bad")
		add(t, g, 0, 4, 1, bad, bad, bad, bad)
		began := time.Now()
		g.Wait(t.Context())
		blocked.Wait(t.Context())
		if got, want := time.Since(began), 5*time.Second; got != want {
			t.Errorf("blocked, then runs of 4, 2 and 2, 1 and 1, 1 and 1 rows on 2 slots: got %v, want %v", got, want)
		}
	})
}

func TestDeviceLetsUrgentRowsOvertakeASearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 1})
		j := &journal{lasts: time.Second}
		q := NewQueue(d, "q", loose, j.run)
		first := q.Group(Stream)
		add(t, first, 100, 1, 1)
		synctest.Wait()
		g, online := q.Group(Backfill), q.Group(Online)
		add(t, g, 0, 4, 1, nil, nil, nil, errors.New("bad"))
		time.Sleep(1500 * time.Millisecond)
		add(t, online, 50, 1, 1)
		for _, group := range []*Group[*task]{g, online, first} {
			group.Wait(t.Context())
		}
		if got, want := fmt.Sprint(j.batches), "[[100] [0 1 2 3] [50] [0 1] [2 3] [2] [3]]"; got != want {
			t.Errorf("batches: got %s, want %s", got, want)
		}
	})
}

func TestDeviceErrorsBlameNoRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 1})
		lost := fmt.Errorf("run: %w: out of memory", ErrDevice)
		runs := 0
		q := NewQueue(d, "q", loose, func(int, []Item[int]) error {
			time.Sleep(time.Second)
			runs++
			return lost
		})
		g := q.Group(Stream)
		for range 5 {
			if err := g.Add(t.Context(), Item[int]{Cost: 1}); err != nil {
				t.Fatal(err)
			}
		}
		wantErrors(t, g.Wait(t.Context()), lost, lost, lost, lost, lost)
		if runs > 2 {
			t.Errorf("runs: got %d, want at most one for the first row and one for the rest", runs)
		}
	})
}

func TestDeviceTakesPanicsForErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 1})
		q := NewQueue(d, "q", loose, func(_ int, batch []Item[int]) error {
			time.Sleep(time.Second)
			for _, item := range batch {
				if item.Value == 2 {
					panic(errors.New("no such token"))
				}
			}
			return nil
		})
		g := q.Group(Stream)
		for i := range 5 {
			if err := g.Add(t.Context(), Item[int]{Cost: 1, Value: i}); err != nil {
				t.Fatal(err)
			}
		}
		errs := g.Wait(t.Context())
		var panicked *PanicError
		if !errors.As(errs[2], &panicked) || !strings.Contains(string(panicked.Stack), "device_test.go") {
			t.Errorf("row 2: got error %v, want its panic with the stack", errs[2])
		}
		if got, want := fmt.Sprint(errs[2]), "panic: no such token"; got != want {
			t.Errorf("row 2: got error %q, want %q", got, want)
		}
		errs[2] = nil
		wantErrors(t, errs, make([]error, 5)...)
	})
}

func TestDeviceEndsWaitingRowsWhenItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDevice(DeviceConfig{Name: "test", Slots: 1})
		limits := loose
		limits.MaxItems, limits.Bound = 2, 4
		j := &journal{lasts: time.Second}
		q := NewQueue(d, "q", limits, j.run)
		g := q.Group(Stream)
		add(t, g, 0, 4, 1, errors.New("bad"))
		var late sync.WaitGroup
		for range 4 { // the bound has room for two of them once the first batch runs
			late.Go(func() {
				g := q.Group(Stream)
				if err := g.Add(t.Context(), Item[*task]{Cost: 1, Value: &task{id: 9}}); err == nil {
					wantErrors(t, g.Wait(t.Context()), ErrClosed)
				} else if !errors.Is(err, ErrClosed) {
					t.Errorf("add that was blocked when the device stopped: got %v, want ErrClosed", err)
				}
			})
		}

		shutdown := errors.New("shutdown")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(500*time.Millisecond, func() { cancel(shutdown) })
		began := time.Now()
		if err := d.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
		if got, want := time.Since(began), time.Second; got != want {
			t.Errorf("run returned after %v, want %v: when the batch in hand had ended", got, want)
		}
		late.Wait()
		// The batch in hand fails, but which of its rows is guilty will not be known.
		errs := g.Wait(t.Context())
		wantErrors(t, errs, ErrClosed, ErrClosed, ErrClosed, ErrClosed)
		wantErrors(t, errs, shutdown, shutdown, shutdown, shutdown)
		if err := g.Add(t.Context(), Item[*task]{Cost: 1}); !errors.Is(err, ErrClosed) {
			t.Errorf("add to a stopped device: got %v, want ErrClosed", err)
		}
		if err := q.Close(); err != nil {
			t.Errorf("close the queue of a stopped device: %v", err)
		}
		if err := d.Run(t.Context()); err == nil {
			t.Error("second run: got no error")
		}
	})
}

func TestQueueDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 1})
		limits := loose
		limits.MaxItems, limits.Bound = 1, 2
		j := &journal{lasts: time.Second}
		q, next := NewQueue(d, "q", limits, j.run), NewQueue(d, "q", limits, j.run)
		g := q.Group(Stream)
		add(t, g, 0, 3, 1)
		synctest.Wait()
		began := time.Now()
		var late sync.WaitGroup
		for range 3 {
			late.Go(func() {
				if err := q.Group(Stream).Add(t.Context(), Item[*task]{Cost: 1, Value: &task{}}); !errors.Is(err, ErrClosed) {
					t.Errorf("add that was blocked when the queue was retired: got %v, want ErrClosed", err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if err := q.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain past its deadline: got %v", err)
		}
		if err := g.Add(t.Context(), Item[*task]{Cost: 1}); !errors.Is(err, ErrClosed) {
			t.Errorf("add to a retired queue: got %v, want ErrClosed", err)
		}
		if err := q.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if got, want := time.Since(began), 3*time.Second; got != want {
			t.Errorf("close returned after %v, want %v: when the rows within had ended", got, want)
		}
		late.Wait()
		wantErrors(t, g.Wait(t.Context()), nil, nil, nil)
		if err := q.Close(); err != nil {
			t.Errorf("close again: %v", err)
		}
		d.mu.Lock()
		queues := len(d.backlog.queues)
		d.mu.Unlock()
		if queues != 1 {
			t.Errorf("queues of the device: got %d, want the one that is left", queues)
		}
		successor := next.Group(Stream)
		add(t, successor, 10, 1, 1)
		wantErrors(t, successor.Wait(t.Context()), nil)
	})
}

func TestDeviceTellsAHungRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 2, HangTimeout: 10 * time.Second})
		j := &journal{lasts: 11 * time.Second}
		g := NewQueue(d, "q", loose, j.run).Group(Stream)
		time.Sleep(time.Hour)
		began := time.Now()
		add(t, g, 0, 1, 1)
		time.Sleep(5 * time.Second)
		add(t, g, 1, 1, 1)
		time.Sleep(5 * time.Second)
		if since, hung := d.Hung(); hung {
			t.Errorf("at the timeout: hung since %v, want not yet", since)
		}
		time.Sleep(time.Nanosecond)
		if since, hung := d.Hung(); !hung || !since.Equal(began) {
			t.Errorf("past the timeout: got %v, %v, want hung since %v", since, hung, began)
		}
		if got, want := d.Busy(), 15*time.Second+2*time.Nanosecond; got != want {
			t.Errorf("busy: got %v, want %v", got, want)
		}
		g.Wait(t.Context())
		if _, hung := d.Hung(); hung {
			t.Error("after the run: still hung")
		}
	})
}

// TestDeviceInRandomLife drives a device with random callers and checks what must hold, at every quiet moment and in every
// batch.
func TestDeviceInRandomLife(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomLife(t, seed) })
		})
	}
}

func randomLife(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 4))
	slots := 1 + rnd.IntN(3)
	d := launch(t, DeviceConfig{Slots: slots, MaxWait: [3]time.Duration{50 * time.Millisecond, 200 * time.Millisecond, time.Second}})

	var mu sync.Mutex
	runs := map[*task]int{}
	onSlot := make([]bool, slots)
	bad, gone := errors.New("bad row"), errors.New("caller gone")
	var queues []*Queue[*task]
	for i := range 2 {
		limits := randomLimits(rnd)
		limits.Bound = 1 + rnd.IntN(30)
		queues = append(queues, NewQueue(d, fmt.Sprint("q", i), limits, func(slot int, batch []Item[*task]) error {
			mu.Lock()
			if onSlot[slot] {
				t.Errorf("slot %d runs two batches at once", slot)
			}
			onSlot[slot] = true
			longest, real, searching := 0, 0, false
			var err error
			for _, item := range batch {
				longest, real = max(longest, item.Cost), real+item.Cost
				searching = searching || runs[item.Value] > 0
				runs[item.Value]++
				if item.Value.fail != nil {
					err = item.Value.fail
				}
			}
			mu.Unlock()
			padded := limits.Width(longest, len(batch), real) * len(batch)
			if limits.Packed {
				padded = real
			}
			if len(batch) > limits.MaxItems || padded > limits.MaxTokens {
				t.Errorf("batch of %d rows and %d padded tokens: want at most %d and %d", len(batch), padded, limits.MaxItems, limits.MaxTokens)
			}
			// Half of a failed batch may be padded more than a whole one.
			if !searching && float64(padded) > limits.MaxPadding*float64(real) {
				t.Errorf("batch of %d padded and %d real tokens: want a ratio of at most %v", padded, real, limits.MaxPadding)
			}
			time.Sleep(time.Millisecond + time.Duration(padded)*10*time.Microsecond)
			mu.Lock()
			onSlot[slot] = false
			if err == nil {
				for _, item := range batch {
					item.Value.ran++
				}
			}
			mu.Unlock()
			return err
		}))
	}

	var callers sync.WaitGroup
	for caller := range 6 {
		rnd := rand.New(rand.NewPCG(seed, uint64(100+caller)))
		callers.Go(func() {
			g := queues[rnd.IntN(2)].Group(Class(rnd.IntN(3)))
			for range 8 {
				ctx, cancel := context.WithCancelCause(t.Context())
				if rnd.IntN(4) == 0 {
					time.AfterFunc(time.Duration(rnd.IntN(40))*time.Millisecond, func() { cancel(gone) })
				}
				var tasks []*task
				for range rnd.IntN(40) {
					row := &task{}
					if rnd.IntN(30) == 0 {
						row.fail = bad
					}
					if err := g.Add(ctx, Item[*task]{Cost: 1 + rnd.IntN(300), Value: row}); err != nil {
						if !errors.Is(err, gone) {
							t.Errorf("add: %v", err)
						}
						break
					}
					tasks = append(tasks, row)
					time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond)
				}
				errs := g.Wait(ctx)
				mu.Lock()
				if len(errs) != len(tasks) {
					t.Errorf("errors: got %d, want %d", len(errs), len(tasks))
				}
				for i, task := range tasks {
					switch ran := task.ran; {
					case errs[i] == nil && (ran != 1 || task.fail != nil),
						errs[i] == bad && (ran != 0 || task.fail == nil),
						errs[i] == gone && ran != 0,
						errs[i] != nil && errs[i] != bad && errs[i] != gone:
						t.Errorf("row %d: got error %v, with %d completed runs and a fault of %v", i, errs[i], ran, task.fail)
					}
					task.fail = errors.New("ran after its caller had gone")
				}
				mu.Unlock()
				cancel(nil)
				time.Sleep(time.Duration(rnd.IntN(30)) * time.Millisecond)
			}
		})
	}

	done := make(chan struct{})
	go func() { callers.Wait(); close(done) }()
	quiet := time.NewTicker(777 * time.Microsecond)
	defer quiet.Stop()
	for {
		select {
		case <-quiet.C:
			synctest.Wait()
			d.mu.Lock()
			if d.free > 0 && d.backlog.rows > 0 {
				t.Errorf("%d slots idle while %d rows wait", d.free, d.backlog.rows)
			}
			d.mu.Unlock()
		case <-done:
			for _, q := range queues {
				if err := q.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.backlog.rows != 0 || d.free != slots || len(d.backlog.queues) != 0 {
				t.Errorf("in the end: %d rows, %d free slots, %d queues, want 0, %d, 0", d.backlog.rows, d.free, len(d.backlog.queues), slots)
			}
			return
		}
	}
}
