//go:build synctests

package service

import (
	"testing"
	"time"
)

func TestServiceThatOnlyAggregatesIsReady(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		c.Pipelines = c.Pipelines[1:] // events are only counted: there is no model
		if err := c.Validate(); err != nil {
			b.Fatal(err)
		}
		s := b.open(c)
		report := s.Health().Ready.Report()
		if !report.OK {
			b.Errorf("once it is open: got %q missing, want a service without models to be ready", report.Missing)
		}
		r := b.run(s)
		r.streamed(time.Minute, true, "")
		if report := r.Health().Ready.Report(); !report.OK {
			b.Errorf("while it runs: got %q missing, want it ready", report.Missing)
		}
		r.end()
		if report := r.Health().Ready.Report(); report.OK {
			b.Error("got ready after the end, want it to say that it stops")
		}
	})
}
