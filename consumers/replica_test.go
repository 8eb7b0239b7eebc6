//go:build linux

package consumers

import (
	"fmt"
	"log/slog"
	"os"
	"testing"
)

func TestReplicasOnOneHostHaveNamesOfTheirOwn(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	// Groups that no other process on this machine has, not even of another checkout.
	own := fmt.Sprint(t.Name(), "-", os.Getpid())
	both, one, other := own+"-both", own+"-one", own+"-other"
	start := func(want string, groups ...string) (stop func()) {
		t.Helper()
		named, stop := DefaultKafka().Named(groups, slog.New(slog.DiscardHandler))
		if named.replica() != want {
			t.Errorf("groups %v: got %s, want %s", groups, named.replica(), want)
		}
		return stop
	}
	first := start(host, both, one)
	second := start(host+"-1", both, one)
	third := start(host+"-2", other, both) // which has but one group in common with them
	fourth := start(host, other+"-alone")  // and this one none
	first()
	first = start(host, both, one) // started again, it has its name again
	second()
	second = start(host+"-1", both, one)
	for _, stop := range []func(){first, second, third, fourth} {
		stop()
	}
	start(host, both, one, other)()

	chosen := DefaultKafka()
	chosen.Replica = "a-name"
	for range 2 { // whoever chooses one has it
		if named, _ := chosen.Named([]string{both}, slog.New(slog.DiscardHandler)); named.Replica != "a-name" {
			t.Errorf("got %s, want the name that was chosen", named.Replica)
		}
	}
}
