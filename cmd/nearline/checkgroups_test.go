package main

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"nearline/kafka"
)

// TestCheckSaysWhichGroupsMayLoseTheirOffsets and what happens then.
func TestCheckSaysWhichGroupsMayLoseTheirOffsets(t *testing.T) {
	broker := startBroker(t)
	path := configFile(t, broker)
	before := execute(t, "", "check", "--config", path)
	wantAll(t, "standard output", before.out, "ok     offsets: the brokers keep those of a stopped group", "after that it goes on where topic nearline.progress.GROUP says")
	if strings.Contains(before.out, "has no members") {
		t.Errorf("check says of groups that there are not\n%s", before.out)
	}
	client, err := kafka.Connection{Brokers: []string{broker}}.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	offsets := kadm.Offsets{}
	offsets.AddOffset("reviews.raw", 0, 7, -1)
	if err := kadm.NewClient(client).CommitAllOffsets(t.Context(), "nearline-reviews", offsets); err != nil {
		t.Fatal(err)
	}
	wantAll(t, "standard output", execute(t, "", "check", "--config", path).out, "ok     group nearline-reviews has no members: the brokers forget its offsets")
}
