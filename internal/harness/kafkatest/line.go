//go:build synctests

package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Act is what happens to one request on a line.
type Act struct {
	// Before cuts the connection before the broker sees the request.
	Before bool
	// Hold keeps the request back before the broker sees it, as a process does that is frozen when it is about to write.
	Hold time.Duration
	// After cuts the connection when the broker has done what was asked, before the client hears of it.
	After bool
	// Lose swallows the answer and leaves the connection open: the client waits.
	Lose bool
	// Answer puts another error code into the answer, after the broker has done what was asked.
	Answer *kerr.Error
	// Delay holds the answer back.
	Delay time.Duration
	// Then is called when the act has taken place.
	Then func()
}

func (a Act) String() string {
	switch {
	case a.Before:
		return "cut before"
	case a.Hold > 0:
		return fmt.Sprintf("held back %v", a.Hold)
	case a.After:
		return "cut after"
	case a.Lose:
		return "answer lost"
	case a.Answer != nil:
		return "answered " + a.Answer.Message + " after"
	default:
		return fmt.Sprintf("delayed %v", a.Delay)
	}
}

// Line is the network of one client. It sees every request and answer on it, and can be cut: a client whose line is cut
// for good is as dead to the cluster as a process that was killed.
//
// A connection carries whole frames, since the client writes each request at once.
type Line struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu       sync.Mutex // guards all below
	conns    map[*conn]struct{}
	cut      bool
	hung     bool
	frozen   time.Time // until when
	armed    map[kmsg.Key][]arm
	requests []Request
	sniff    func(kmsg.Key)
	open     map[*conn]struct{} // whose broker's end is open
}

type arm struct {
	skip int
	act  Act
}

// Request is one request that a client sent, and when.
type Request struct {
	Key kmsg.Key
	At  time.Time
}

var errCut = errors.New("the line is cut")

// Dial as a kafka.Connection does.
func (l *Line) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	cut := l.cut
	l.mu.Unlock()
	if cut {
		return nil, errCut
	}
	under, err := l.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		_ = under.Close()
		return nil, errCut
	}
	c := &conn{line: l, port: port, broker: under, closed: make(chan struct{})}
	c.Conn, c.far = net.Pipe()
	go c.answer()
	if l.conns == nil {
		l.conns = make(map[*conn]struct{})
	}
	l.conns[c] = struct{}{}
	if l.open == nil {
		l.open = make(map[*conn]struct{})
	}
	l.open[c] = struct{}{}
	return c, nil
}

// Cut closes all connections and refuses new ones until Mend.
func (l *Line) Cut() {
	l.mu.Lock()
	l.cut = true
	conns := l.conns
	l.conns = nil
	l.mu.Unlock()
	for c := range conns {
		c.shut()
	}
}

// Blink closes all connections; new ones are welcome.
func (l *Line) Blink() {
	l.mu.Lock()
	conns := l.conns
	l.conns = nil
	l.mu.Unlock()
	for c := range conns {
		c.shut()
	}
}

// hangUp closes the connections to one port: a broker has one, and more than one name.
func (l *Line) hangUp(port string) {
	l.mu.Lock()
	var gone []*conn
	for c := range l.conns {
		if c.port == port {
			gone = append(gone, c)
			delete(l.conns, c)
		}
	}
	l.mu.Unlock()
	for _, c := range gone {
		c.shut()
	}
}

// Hang makes the line swallow everything, with all connections open, until Mend.
func (l *Line) Hang() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hung = true
}

// Freeze holds all requests and answers back, as a process does that is stopped and goes on (SIGSTOP, a paused machine). What it was about to send, it
// sends then.
func (l *Line) Freeze(lasts time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = time.Now().Add(lasts)
}

// ice is how long the line stays frozen.
func (l *Line) ice() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.frozen)
}

// Mend undoes Cut, Hang and Freeze. What was swallowed stays so.
func (l *Line) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.hung, l.frozen = false, false, time.Time{}
}

// Arm sets an act for the request of that key which comes after skip others of it.
func (l *Line) Arm(key kmsg.Key, skip int, act Act) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.armed == nil {
		l.armed = make(map[kmsg.Key][]arm)
	}
	l.armed[key] = append(l.armed[key], arm{skip: skip, act: act})
}

// Disarm forgets all acts that have not taken place, and says how many they were.
func (l *Line) Disarm() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, arms := range l.armed {
		n += len(arms)
	}
	l.armed = nil
	return n
}

// Sniff calls f for every request as it is sent. f must not block.
func (l *Line) Sniff(f func(kmsg.Key)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sniff = f
}

func (l *Line) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// waiting are the members on the line to whom the group owes an answer.
func (l *Line) waiting() []member {
	l.mu.Lock()
	defer l.mu.Unlock()
	var members []member
	for c := range l.open {
		members = append(members, c.waiting()...)
	}
	return members
}

// syncs says whether a SyncGroup on the line has no answer yet.
func (l *Line) syncs() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if c.owes(kmsg.SyncGroup) {
			return true
		}
	}
	return false
}

// Requests of one key so far.
func (l *Line) Requests(key kmsg.Key) []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Request
	for _, r := range l.requests {
		if r.Key == key {
			found = append(found, r)
		}
	}
	return found
}

// sent notes a request and says what shall happen to it.
func (l *Line) sent(key kmsg.Key) (act Act, hung bool) {
	l.mu.Lock()
	l.requests = append(l.requests, Request{key, time.Now()})
	sniff, hung := l.sniff, l.hung
	arms := l.armed[key]
	taken := -1
	for i := range arms {
		if arms[i].skip == 0 && taken < 0 {
			taken = i
			continue
		}
		if arms[i].skip > 0 {
			arms[i].skip--
		}
	}
	if taken >= 0 {
		act = arms[taken].act
		l.armed[key] = append(arms[:taken:taken], arms[taken+1:]...)
	}
	l.mu.Unlock()
	if sniff != nil {
		sniff(key)
	}
	return act, hung
}

func (l *Line) swallows() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hung
}
