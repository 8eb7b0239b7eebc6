//go:build synctests

package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/features"
	"nearline/internal/harness/hostile"
)

// parted is a store of three parts, each of which may come back older by itself, as the masters of a cluster do.
type parted struct {
	mu      sync.Mutex // guards all that follows
	parts   [3]map[[2]string]features.Entry
	lives   [3]int
	evicted [3]int64
	full    bool
	puts    int // entries of the view
	away    bool
	silent  int // how often it does not list its keys
	// slow is how long the answer to Get is on its way.
	slow time.Duration
	// hit is called before each entry is put; mu is held.
	hit func(features.Entry)
}

var (
	_ features.Served = (*parted)(nil)
	_ features.Lister = (*parted)(nil)

	errAway = errors.New("the store is away")
)

func newParted() *parted {
	p := &parted{}
	for i := range p.parts {
		p.parts[i] = map[[2]string]features.Entry{}
	}
	return p
}

func (p *parted) part(key string) int {
	for i := range p.parts {
		if strings.HasSuffix(key, fmt.Sprintf("{%d}", i)) {
			return i
		}
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % 3)
}

func (p *parted) Put(ctx context.Context, entries []features.Entry) (features.Outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range entries {
		if p.away || ctx.Err() != nil {
			return features.Outcome{}, errors.Join(errAway, ctx.Err())
		}
		if p.hit != nil {
			p.hit(e)
		}
		part := p.parts[p.part(e.Key)]
		have, there := part[[2]string{e.View, e.Key}]
		if there && have.Source == e.Source && have.Offset >= e.Offset {
			continue
		}
		part[[2]string{e.View, e.Key}] = e
		if e.View == "item" {
			p.puts++
		}
	}
	return features.Outcome{}, nil
}

func (p *parted) Job(context.Context, string) (int64, error) { return 1, nil }

func (p *parted) Get(_ context.Context, view *features.View, keys []string) ([]*features.Entry, error) {
	p.mu.Lock()
	defer func() {
		slow := p.slow
		p.mu.Unlock()
		time.Sleep(slow)
	}()
	if p.away {
		return nil, errAway
	}
	found := make([]*features.Entry, len(keys))
	for i, key := range keys {
		if e, there := p.parts[p.part(key)][[2]string{view.Name(), key}]; there && !e.Deleted {
			found[i] = &e
		}
	}
	return found, nil
}

func (p *parted) Filling(_ context.Context, view string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return "", errAway
	}
	at := [2]string{"filling", view}
	e, there := p.parts[p.part(view)][at]
	if !there {
		e.Source = fmt.Sprint("f", p.puts, "-", len(p.parts[0]))
		p.parts[p.part(view)][at] = e
	}
	return e.Source, nil
}

func (p *parted) Condition(context.Context) (features.Condition, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return features.Condition{}, errAway
	}
	c := features.Condition{Life: fmt.Sprint(p.lives), Places: []string{"{0}", "{1}", "{2}"}, Evicted: map[string]int64{}, Full: p.full}
	for i, n := range p.evicted {
		c.Evicted[fmt.Sprint(i, "-", p.lives[i])] = n
	}
	return c, nil
}

func (p *parted) Keys(_ context.Context, view string, yield func(key, source string, offset int64)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent > 0 {
		p.silent--
		return errAway
	}
	for _, part := range p.parts {
		for at, e := range part {
			if at[0] == view && !e.Deleted {
				yield(at[1], e.Source, e.Offset)
			}
		}
	}
	return nil
}

func (p *parted) Close() error { return nil }

// snapshot of a part.
func (p *parted) snapshot(i int) map[[2]string]features.Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.parts[i])
}

// restore a part as it was, by a server that began anew.
func (p *parted) restore(i int, as map[[2]string]features.Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts[i] = maps.Clone(as)
	p.lives[i]++
	p.evicted[i] = 0
}

// do something to the store while nobody asks it.
func (p *parted) do(something func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	something()
}

// entries of the view that were put so far.
func (p *parted) entries() (puts int) {
	p.do(func() { puts = p.puts })
	return puts
}

// wrong says what the store has otherwise than wanted; "" is nothing.
func (p *parted) wrong(want map[string]*expected) (wrong string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		e, there := p.parts[p.part(key)][[2]string{"item", key}]
		got := "none"
		if there && !e.Deleted {
			values := map[string]json.RawMessage{}
			for _, f := range e.Values {
				values[f.Name] = json.RawMessage(features.FormatValue(f.Value))
			}
			text, _ := json.Marshal(values)
			got = string(text)
		}
		if got != want[key].values() {
			wrong += fmt.Sprintf("%s: got %s, want %s\n", key, got, want[key].values())
		}
	}
	return wrong
}

func (b *shop) holds(p *parted, limit time.Duration) {
	b.Helper()
	var wrong string
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		if wrong = p.wrong(b.want); wrong == "" || time.Now().After(end) {
			break
		}
	}
	if wrong != "" {
		b.Fatalf("not within %v:\n%s", limit, wrong)
	}
}

// put events, until the store has what they say.
func (b *shop) put(p *parted, events int) {
	b.Helper()
	b.load(events)
	b.holds(p, time.Minute)
}

// marked is put, until the last marks are there, too.
func (b *shop) marked(p *parted, events int) {
	b.Helper()
	b.put(p, events)
	time.Sleep(10 * time.Second)
}

// filling runs a replica that fills the store.
func (b *shop) filling(p *parted, replica int) *running {
	b.line = b.world.Line()
	c := b.config()
	c.Kafka.Replica, c.Kafka.SessionTimeout = fmt.Sprint("replica-", replica), 6*time.Second
	s := b.open(c)
	for _, v := range s.views {
		v.store = p
	}
	return b.run(s)
}

func number(m prometheus.Metric) float64 {
	var of dto.Metric
	if err := m.Write(&of); err != nil {
		panic(err)
	}
	return of.GetCounter().GetValue() + of.GetGauge().GetValue()
}

func refills(r *running, reason string) float64 {
	return number(r.views[0].metrics.Refills(reason))
}

func TestAStoreThatComesBackOlderIsFilledAnew(t *testing.T) {
	for _, c := range []struct {
		name    string
		parts   []int
		stopped bool // while it comes back
		unseen  bool // no server says that it began anew
	}{
		{"all of it, at rest", []int{0, 1, 2}, false, false},
		{"all of it, at rest, and nobody says so", []int{0, 1, 2}, false, true},
		{"the first of three parts", []int{0}, false, false},
		{"the second of three parts", []int{1}, false, true},
		{"the third of three parts, while nobody looks", []int{2}, true, false},
		{"all of it, while nobody looks", []int{0, 1, 2}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inShop(t, func(b *shop) {
				p := newParted()
				r := b.filling(p, 0)
				b.marked(p, 60)
				var older [3]map[[2]string]features.Entry
				for i := range older {
					older[i] = p.snapshot(i)
				}
				b.marked(p, 60)
				if c.stopped {
					r.end()
				}
				for _, i := range c.parts {
					p.restore(i, older[i])
					if c.unseen {
						p.do(func() { p.lives[i]-- })
					}
				}
				if p.wrong(b.want) == "" {
					t.Fatal("the older store has all values: this shows nothing")
				}
				if c.stopped {
					r = b.filling(p, 0)
				}
				b.holds(p, time.Minute)
				if n := refills(r, features.RefillOlder); n != 1 {
					t.Errorf("%v refills are counted of an older store, want 1", n)
				}
				r.until(time.Minute, "the end of the filling", func() bool { return number(r.views[0].metrics.Behind()) == 0 })
				before := p.entries()
				time.Sleep(time.Minute)
				if p.entries() != before || refills(r, features.RefillOlder) != 1 {
					t.Error("it is filled again and again")
				}
				r.end()
			})
		})
	}
}

func TestAStoreThatWasNotHurtIsNotFilledAnew(t *testing.T) {
	inShop(t, func(b *shop) {
		p := newParted()
		a := b.filling(p, 0)
		b.put(p, 60)
		c := b.filling(p, 1)
		b.put(p, 60)
		a.end()
		b.put(p, 60)
		p.do(func() { p.lives[1]++ }) // a server was started again, and lost nothing
		time.Sleep(20 * time.Second)
		b.put(p, 60)
		a = b.filling(p, 0)
		b.put(p, 60)
		for _, r := range []*running{a, c} {
			if older, emptied := refills(r, features.RefillOlder), refills(r, features.RefillEmptied); older+emptied != 0 {
				t.Errorf("it was filled anew %v and %v times, want never", older, emptied)
			}
			r.end()
		}
	})
}

// The marks are on their way while others put newer ones and commit: what is committed by then tells nothing of the marks that were read before.
func TestAStoreThatAnswersSlowlyIsNotTakenForAnOlderOne(t *testing.T) {
	inShop(t, func(b *shop) {
		p := newParted()
		p.slow = 2 * time.Second
		r := b.filling(p, 0)
		for range 60 {
			b.load(3)
			time.Sleep(time.Second)
		}
		b.holds(p, time.Minute)
		if older, emptied := refills(r, features.RefillOlder), refills(r, features.RefillEmptied); older+emptied != 0 {
			t.Errorf("it was filled anew %v and %v times, want never", older, emptied)
		}
		r.end()
	})
}

// What a server has lost since its last marks is put again, although the marks are whole.
func TestWhatAServerLosesInItsLastSecondIsPutAgain(t *testing.T) {
	inShop(t, func(b *shop) {
		p := newParted()
		r := b.filling(p, 0)
		b.marked(p, 60)
		for i := range 12 {
			part := i % 3
			before := p.snapshot(part)
			b.put(p, 3)
			p.restore(part, before)
			b.holds(p, time.Minute)
		}
		r.end()
	})
}

// A part comes back older while a filling is opened: before any of the marks that are put then, and with the store away right after it, or not.
func TestAServerThatComesBackOlderWhileAMarkIsPutHidesNoLoss(t *testing.T) {
	inShop(t, func(b *shop) {
		p := newParted()
		r := b.filling(p, 0)
		b.put(p, 20)
		n := 0
		for struck := true; struck; n++ {
			time.Sleep(10 * time.Second) // the last marks are put
			part := n % 3
			older := p.snapshot(part)
			b.marked(p, 20)
			marks := 0
			struck = false
			p.do(func() {
				p.lives[part]++ // it loses nothing; so the filling is opened anew, and its marks are put
				p.hit = func(e features.Entry) {
					if e.View != "item@marks" || struck {
						return
					}
					if marks++; marks > n/3 {
						p.parts[part] = maps.Clone(older)
						p.lives[part]++
						p.away, struck = n/3%2 == 1, true
					}
				}
			})
			time.Sleep(20 * time.Second)
			p.do(func() { p.hit, p.away = nil, false })
			b.holds(p, 3*time.Minute)
		}
		if n < 3*18 { // 3 partitions at 3 places, each promised and marked
			t.Errorf("there were only %d marks", n/3)
		}
		r.end()
	})
}

// The marks of a partition were put by the replica that had it before, and are lost since. Nobody has asked the store in between.
func TestWhoTakesOverAPartitionNoticesThatItsMarksAreLost(t *testing.T) {
	p, view := newParted(), features.NewView(features.ViewConfig{Name: "item", Key: "item", Source: "kept"})
	var fillings [2]*features.Filling
	for i := range fillings {
		var err error
		if fillings[i], err = features.CurrentFilling(t.Context(), p, view, 3); err != nil {
			t.Fatal(err)
		}
		if err := fillings[i].Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	older := p.snapshot(0)
	from, to := map[int32]int64{1: 0}, map[int32]int64{1: 28}
	if err := fillings[0].Mark(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	p.do(func() { p.parts[0] = older })
	if err := fillings[1].Mark(t.Context(), to, map[int32]int64{1: 30}); !errors.Is(err, features.ErrOlder) {
		t.Errorf("marks beside what was lost were put: %v, want that the store is older", err)
	}
}

// Parts come back older at random, while replicas come and go: in the end the store has what all events say.
func TestAStoreThatComesBackOlderAtRandomIsRightInTheEnd(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inShop(t, func(b *shop) {
				rng := rand.New(rand.NewPCG(seed, 3))
				p := newParted()
				kept := [3][]map[[2]string]features.Entry{}
				for i := range kept {
					kept[i] = append(kept[i], p.snapshot(i))
				}
				puts, strike, left := 0, 20+rng.IntN(60), 20
				pauses := rand.New(rand.NewPCG(seed, 4))
				p.hit = func(features.Entry) { // in the middle of what is put, with p.mu held, which guards rng from now on
					if puts++; puts%strike == 0 && left > 0 {
						left--
						i := rng.IntN(3)
						p.parts[i] = maps.Clone(kept[i][rng.IntN(len(kept[i]))])
						p.lives[i]++
					} else if rng.IntN(10) == 0 {
						i := rng.IntN(3)
						kept[i] = append(kept[i], maps.Clone(p.parts[i]))
					}
				}
				replicas := []*running{b.filling(p, 0), b.filling(p, 1)}
				for i := range 8 {
					b.load(10)
					time.Sleep(time.Duration(pauses.IntN(3000)) * time.Millisecond)
					if i == 4 {
						replicas[0].end()
						replicas[0] = b.filling(p, 0)
					}
				}
				p.do(func() { p.hit = nil })
				b.load(1)
				b.holds(p, 3*time.Minute)
				for _, r := range replicas {
					r.end()
				}
			})
		})
	}
}

func TestAKeyThatWasDeletedSinceIsRemovedFromAStoreThatComesBackOlder(t *testing.T) {
	deletedSince(t, 0)
}

// TestAKeyThatWasDeletedSinceIsRemovedAtTheNextTry where the store failed at the first one.
func TestAKeyThatWasDeletedSinceIsRemovedAtTheNextTry(t *testing.T) {
	deletedSince(t, 1)
}

// deletedSince has a store come back with a key that was deleted. It does not list its keys the first times that it is asked.
func deletedSince(t *testing.T, silent int) {
	inShop(t, func(b *shop) {
		p := newParted()
		p.silent = silent
		r := b.filling(p, 0)
		b.marked(p, 60)
		var older [3]map[[2]string]features.Entry
		for i := range older {
			older[i] = p.snapshot(i)
		}
		// A key of the older store of which the topic has not even a tombstone any more.
		gone := older[0][[2]string{"item", "item-1"}]
		for _, part := range older {
			if e, there := part[[2]string{"item", "item-1"}]; there {
				gone = e
			}
		}
		gone.Key = "deleted since"
		stranger := gone
		stranger.Key, stranger.Source = "of somebody else", "bulk"
		for _, e := range []features.Entry{gone, stranger} {
			older[p.part(e.Key)][[2]string{"item", e.Key}] = e
		}
		b.marked(p, 60)
		for i := range older {
			p.restore(i, older[i])
		}
		b.holds(p, time.Minute)
		r.until(time.Minute, "the deleted key to go", func() bool { return p.snapshot(p.part("deleted since"))[[2]string{"item", "deleted since"}].Deleted })
		if _, there := p.snapshot(p.part("of somebody else"))[[2]string{"item", "of somebody else"}]; !there {
			t.Error("a key that came from elsewhere was removed, too")
		}
		b.holds(p, time.Minute)
		r.end()
	})
}

// TestAStateThatIsLeftOutHasTheStoresReaderWait: nothing is marked then, and it must not turn for that. In a bubble no time would pass.
func TestAStateThatIsLeftOutHasTheStoresReaderWait(t *testing.T) {
	inShop(t, func(b *shop) {
		p := newParted()
		r := b.filling(p, 0)
		b.put(p, 60)
		b.write(b.config().Features.StateTopic("item"), hostile.NewGenerator(1).Bomb(2, kgo.CodecZstd, bombSize))
		b.load(60)
		time.Sleep(time.Minute)
		b.holds(p, time.Minute)
		r.end()
	})
}

func TestEvictedKeysComeBackOnceThereIsRoom(t *testing.T) {
	inShop(t, func(b *shop) {
		p := newParted()
		p.evicted = [3]int64{7, 0, 0} // before
		r := b.filling(p, 0)
		b.put(p, 60)
		time.Sleep(20 * time.Second)
		metrics := r.views[0].metrics
		if n := number(metrics.Evicted()); n != 0 {
			t.Errorf("%v keys count as evicted that were so before, want 0", n)
		}
		evict := func(full bool) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.full = full
			for key := range b.want {
				delete(p.parts[p.part(key)], [2]string{"item", key})
				p.evicted[p.part(key)]++
			}
		}
		evict(true)
		before := p.entries()
		time.Sleep(10 * time.Minute)
		if p.entries() != before {
			t.Error("keys are put while there is no room: each costs another")
		}
		if n := number(metrics.Evicted()); n != float64(len(b.want)) || number(metrics.Behind()) != 1 {
			t.Errorf("%v keys count as evicted, and behind is %v; want %d and 1", n, number(metrics.Behind()), len(b.want))
		}
		p.do(func() { p.full = false })
		b.holds(p, time.Minute)
		if n := refills(r, features.RefillEvicted); n != 1 {
			t.Errorf("%v refills of evicted keys are counted, want 1", n)
		}
		r.until(time.Minute, "the end of the filling", func() bool { return number(metrics.Behind()) == 0 })
		// A server that goes on evicting is not filled without end.
		for range 720 {
			evict(false)
			time.Sleep(10 * time.Second)
		}
		if n := refills(r, features.RefillEvicted); n < 2 || n > 12 {
			t.Errorf("in two hours of evictions it was filled %v times, want a few", n)
		}
		r.end()
	})
}
