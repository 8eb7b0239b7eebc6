package kafka

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
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
		"at the first request": func(c *credentials) { _ = c.noRequest("k1:9093", io.EOF) },
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

// coded is an error of AWS's SDK.
type coded struct{ code string }

func (c coded) Error() string     { return c.code + ": no" }
func (c coded) ErrorCode() string { return c.code }

func TestACauseIsTheSameEachTime(t *testing.T) {
	reset := func(port int) error {
		return &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: port}, Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	for name, of := range map[string]func(try int) error{
		"AWS's code": func(try int) error {
			return fmt.Errorf("operation error STS: RequestID: %d, %w", try, coded{"AccessDenied"})
		},
		"a connection": func(try int) error { return fmt.Errorf("post: %w", reset(40000+try)) },
		"a lookup": func(try int) error {
			return &net.DNSError{Name: "login.example", Err: fmt.Sprintf("read udp 10.0.0.1:%d->10.0.0.2:53: i/o timeout", try)}
		},
	} {
		if one, two := of(1), of(2); one.Error() == two.Error() || steady(one) != steady(two) {
			t.Errorf("%s: %v and %v are %q and %q; want one cause of two errors", name, one, two, steady(one), steady(two))
		}
	}
	if steady(coded{"AccessDenied"}) == steady(coded{"ExpiredToken"}) || steady(errors.New("a")) == steady(errors.New("b")) {
		t.Error("two causes are the same")
	}
}

func TestARefusedLoginIsLoggedOnceWhateverItsWordsHaveOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, own := &journal{}, &credentials{}
		own.trouble.tell(log.logger())
		own.login = &login{name: "OAUTHBEARER", trouble: &own.trouble, source: &tokenFile{}}
		for try := range 3 {
			time.Sleep(time.Second)
			words := fmt.Sprintf("[95a1b7f2-0000-4000-8000-00000000000%d]: Access denied", try)
			err := own.login.judge("k1:9093", shown{content: digestOf(""), until: time.Now().Add(-time.Hour)}, words, nil)
			if !Refused(err) {
				t.Errorf("got %v, want a refusal", err)
			}
		}
		if n := log.lines("Access denied"); n != 1 {
			t.Errorf("it is logged %d times, want once:\n%s", n, log.text.String())
		}
	})
}
