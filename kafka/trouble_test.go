package kafka

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

func TestAFailureThatMayPassIsAReasonOnlyWhileItComesAgain(t *testing.T) {
	k1, k2 := place{kindBrokers, "k1:9093"}, place{kindBrokers, "k2:9093"}
	for name, story := range map[string]func(fails func(weight), is func(answered, want bool), accepted func(at place), after func(time.Duration)){
		"a hard one counts at once, whatever answers": func(fails func(weight), is func(answered, want bool), _ func(place), after func(time.Duration)) {
			fails(hard)
			is(true, true)
			after(forgotten - time.Second)
			is(true, true)
		},
		"a soft one counts after the grace": func(fails func(weight), is func(answered, want bool), _ func(place), after func(time.Duration)) {
			fails(soft)
			after(grace - time.Second)
			fails(soft)
			is(false, false)
			after(time.Second)
			is(false, true)
			is(true, true)
		},
		"one that never comes again does not": func(fails func(weight), is func(answered, want bool), _ func(place), after func(time.Duration)) {
			fails(soft)
			after(recurring + time.Second)
			is(false, false)
			fails(soft) // another one
			is(false, false)
		},
		"nor do those before others were accepted": func(fails func(weight), is func(answered, want bool), accepted func(place), after func(time.Duration)) {
			fails(soft)
			after(grace)
			fails(soft)
			after(time.Second)
			is(false, true)
			accepted(k2)
			is(false, false)
			after(time.Second)
			fails(soft)
			is(false, true)
			accepted(k1)
			is(false, false)
		},
		"a port that hangs up counts while nobody answers": func(fails func(weight), is func(answered, want bool), _ func(place), after func(time.Duration)) {
			for range 4 {
				fails(faint)
				after(grace / 2)
			}
			is(true, false)
			is(false, true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var of trouble
				story(
					func(w weight) { of.say(k1, "no", "k1:9093 says no", w) },
					func(answered, want bool) {
						t.Helper()
						if got := of.reason(answered); (got != "") != want {
							t.Errorf("where brokers answer, %t: the reason is %q, want one: %t", answered, got, want)
						}
					},
					func(at place) { of.clear(at, false) }, time.Sleep)
			})
		})
	}
}

func TestAPortThatHangsUpIsNoTroubleWhileBrokersAnswer(t *testing.T) {
	for name, ends := range map[string]func(*credentials){
		"in a handshake":       func(c *credentials) { _ = c.unfinished("k1:9093", "is ended by the other side") },
		"before an answer":     func(c *credentials) { _ = c.mute("k1:9093", io.EOF) },
		"at the first request": func(c *credentials) { c.noRequest("k1:9093") },
	} {
		synctest.Test(t, func(t *testing.T) {
			own := newCredentials(Config{})
			for range 4 {
				ends(own)
				time.Sleep(grace / 2)
			}
			if answered, alone := own.trouble.reason(true), own.trouble.reason(false); answered != "" || alone == "" {
				t.Errorf("%s: the trouble is %q, and %q where no broker answers; want none, and one", name, answered, alone)
			}
		})
	}
}
