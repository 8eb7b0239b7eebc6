//go:build redisserver

package redis

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"nearline/features"
)

// The slots of a real cluster move while keys are written and read: no lookup may miss one.
func TestKeysOfARealClusterAreThereWhileTheirSlotsMove(t *testing.T) {
	addresses := realServer(t)
	if len(addresses) < 2 {
		t.Log("one server has no slots to move")
		return
	}
	s := opened(t, ownPrefix(t, patient(addresses...)))
	cluster := s.client.(*goredis.ClusterClient)
	const n = 2000
	keys, entries := make([]string, n), make([]features.Entry, n)
	for i := range keys {
		keys[i] = fmt.Sprint("key-", i)
	}
	put := func(ctx context.Context, offset int64) error {
		for i := range entries {
			entries[i] = entry(keys[i], offset)
		}
		outcome, err := s.Put(ctx, entries)
		for _, unfit := range outcome.Unfit {
			t.Errorf("%s is not taken: %v", keys[unfit.Place], unfit.Err)
		}
		return err
	}
	if err := put(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	moving, moved := context.WithCancel(t.Context())
	var working sync.WaitGroup
	writes, reads := 0, 0
	working.Go(func() {
		for ; moving.Err() == nil; writes++ {
			for put(t.Context(), int64(writes+1)) != nil { // as whoever puts does
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
	working.Go(func() {
		for ; moving.Err() == nil; reads++ {
			found, err := s.Get(t.Context(), item, keys)
			if err != nil {
				continue // the caller hears of it, and does not take it for a key that is not there
			}
			for i, e := range found {
				if e == nil {
					t.Errorf("%s is gone in between", keys[i])
				}
			}
		}
	})
	move := func(from, to string) {
		t.Helper()
		ids := map[string]string{}
		nodes, err := cluster.ClusterNodes(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(nodes) {
			parts := strings.Fields(line)
			address, _, _ := strings.Cut(parts[1], "@")
			ids[address] = parts[0]
		}
		out, err := exec.CommandContext(t.Context(), "redis-cli", "--cluster", "reshard", from, "--cluster-from", ids[from], "--cluster-to", ids[to],
			"--cluster-slots", "500", "--cluster-yes", "--cluster-pipeline", "1").CombinedOutput() //nolint:gosec // of this test
		if err != nil {
			t.Errorf("move slots: %v: %s", err, out[max(0, len(out)-500):])
		}
	}
	move(addresses[0], addresses[1])
	move(addresses[1], addresses[0])
	moved()
	working.Wait()
	if writes < 2 || reads < 2 {
		t.Errorf("only %d rounds of writes and %d of reads while slots moved", writes, reads)
	}
	t.Logf("%d rounds of writes and %d of reads while slots moved", writes, reads)
	for i, e := range mustGet(t, s, keys...) {
		if e == nil {
			t.Errorf("%s is gone", keys[i])
		}
	}
}

// Each master of a real cluster has some of the places of marks.
func TestEveryMasterOfARealClusterHasMarks(t *testing.T) {
	s := opened(t, ownPrefix(t, patient(realServer(t)...)))
	c, err := s.Condition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Life == "" {
		t.Error("nothing says which starts of servers these are")
	}
	cluster, ok := s.client.(*goredis.ClusterClient)
	if !ok {
		return
	}
	masters := map[string]int{}
	for _, place := range c.Places {
		tag := strings.Trim(place, "{}")
		slot, err := cluster.ClusterKeySlot(t.Context(), tag).Result()
		if err != nil || int(slot) != slotOf(tag) {
			t.Fatalf("tag %s is in slot %d (%v), we say %d", tag, slot, err, slotOf(tag))
		}
		master, err := cluster.MasterForKey(t.Context(), tag)
		if err != nil {
			t.Fatal(err)
		}
		masters[master.Options().Addr]++
	}
	if err := cluster.ForEachMaster(t.Context(), func(_ context.Context, server *goredis.Client) error {
		if masters[server.Options().Addr] == 0 {
			return fmt.Errorf("master %s has none of the %d places", server.Options().Addr, len(c.Places))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
