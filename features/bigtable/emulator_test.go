//go:build emulators && !nocloud

package bigtable

import (
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"nearline/features"
	"nearline/features/storetest"
)

var tables atomic.Int64

// The tag, and the emulator, are e2e/stores.sh's. The tables are made by the command that Ping tells.
func TestStoreOnAnEmulator(t *testing.T) {
	storetest.Run(t, func(t *testing.T) features.Store {
		c := DefaultConfig()
		c.Project, c.Instance, c.Emulator, c.Timeout = "project", "instance", os.Getenv("NEARLINE_BIGTABLE"), time.Minute
		if c.Emulator == "" {
			t.Fatal("NEARLINE_BIGTABLE is not set: want host:port of an emulator")
		}
		c.Table = fmt.Sprintf("test-%d-%d", time.Now().UnixNano(), tables.Add(1))
		s, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, s.Ping(t.Context()), s.creation())
		command := exec.CommandContext(t.Context(), "sh", "-c", s.creation())
		command.Env = append(os.Environ(), "BIGTABLE_EMULATOR_HOST="+c.Emulator)
		if said, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", s.creation(), err, said)
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		return s
	}, spoils...)
}
