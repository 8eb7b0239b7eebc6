package faults

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/e2e/cluster"
	"nearline/kafka"
)

// TestFaultsEndWithTheirCaller has a fault that would last for an hour, and whose caller goes away: nothing may stay hurt.
func TestFaultsEndWithTheirCaller(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{Brokers: 1})
	socket := filepath.Join(t.TempDir(), "hurt.sock")
	serving, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	listening := make(chan struct{})
	go func() { served <- Serve(serving, c, socket, func() { close(listening) }) }()
	<-listening
	answers := func() error {
		client, err := kafka.Connection{Brokers: c.Proxied()}.Client(kgo.RetryTimeout(time.Second), kgo.RequestTimeoutOverhead(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return client.Ping(ctx)
	}

	calling, hangUp := context.WithTimeout(t.Context(), 2*time.Minute)
	defer hangUp()
	made := ""
	err := Ask(calling, socket, Request{Kind: "network-cut", Lasts: time.Hour}, func(what string) {
		made = what
		if err := answers(); err == nil {
			t.Error("the broker answers through the network that was cut")
		}
		hangUp()
	})
	if err != nil {
		t.Errorf("mend: %v", err)
	}
	if want := "network-cut: nothing passes to or from broker 1"; made != want {
		t.Errorf("the fault is %q, want %q", made, want)
	}
	late := time.Now().Add(time.Minute) // the first answers of a busy machine
	for err = answers(); err != nil && time.Now().Before(late); {
		err = answers()
	}
	if err != nil {
		t.Errorf("the broker does not answer after its fault: %v", err)
	}

	err = Ask(t.Context(), socket, Request{Kind: "earthquake"}, func(string) {})
	if err == nil || !strings.Contains(err.Error(), `fault "earthquake" is not known: want one of broker-kill`) {
		t.Errorf("an unknown fault gives %v, want that it says which there are", err)
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	if err := Ask(t.Context(), socket, Request{}, func(string) {}); err == nil {
		t.Error("a fault was done though nobody serves, want an error")
	}
}
