package redis

import (
	"fmt"
	"maps"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"nearline/features"
	"nearline/pipeline"
)

// A server may refuse any command of the script and keep what was done before it, as a cluster does that moves the key's slot.
func TestAKeyIsStillThereWhenItsWriteIsRefusedHalfway(t *testing.T) {
	young := entry("4711", 2)
	for i := range 1200 { // as many as need several commands
		young.Values = append(young.Values, pipeline.Field{Name: fmt.Sprint("more", i), Value: pipeline.IntValue(int64(i))})
	}
	for _, next := range []features.Entry{young, {View: "item", Key: "4711", Source: "topic/0", Offset: 2, Deleted: true}} {
		finished := false
		for refused := 0; !finished; refused++ {
			if refused > 20 {
				t.Fatal("the script has more than 20 commands that change something")
			}
			redis := miniredis.RunT(t)
			s := opened(t, patient(redis.Addr()))
			first := entry("4711", 1)
			first.Values = append(first.Values, pipeline.Field{Name: "gone", Value: pipeline.IntValue(1)})
			mustPut(t, s, first, entry("other", 1))
			changes := 0
			redis.Server().SetPreHook(func(c *server.Peer, command string, _ ...string) bool {
				switch command {
				case "HSET", "DEL", "UNLINK", "HDEL", "PEXPIRE", "PERSIST", "RENAME":
					if changes++; changes > refused {
						c.WriteError("ASK 3999 127.0.0.1:1")
						return true
					}
				}
				return false
			})
			_, err := s.Put(t.Context(), []features.Entry{next})
			redis.Server().SetPreHook(nil)
			if finished = err == nil; finished {
				if refused < 3 {
					t.Errorf("only %d commands change something: the test does not see them", refused)
				}
				continue
			}
			if !redis.Exists("nearline:item:4711") {
				t.Errorf("after %d commands the write was refused, and the key is gone", refused)
			}
			if got := redis.HGet("nearline:item:4711", "@offset"); got != "1" {
				t.Errorf("after %d commands the write was refused, and the offset is %q, want 1, so that it is taken again", refused, got)
			}
			mustPut(t, s, next)
			want := miniredis.RunT(t)
			mustPut(t, opened(t, patient(want.Addr())), next)
			if got, want := hash(t, redis, "nearline:item:4711"), hash(t, want, "nearline:item:4711"); !maps.Equal(got, want) {
				t.Errorf("after %d commands and once more there are %d fields, want %d", refused, len(got), len(want))
			}
		}
	}
}
