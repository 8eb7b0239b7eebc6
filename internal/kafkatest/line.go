//go:build synctests

package kafkatest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"reflect"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Act is what happens to one request on a line.
type Act struct {
	// Before cuts the connection before the broker sees the request.
	Before bool
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
	armed    map[kmsg.Key][]arm
	requests []Request
	sniff    func(kmsg.Key)
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

// Dial as a kgo.Dialer.
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
	c := &conn{Conn: under, line: l, closed: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		_ = under.Close()
		return nil, errCut
	}
	if l.conns == nil {
		l.conns = make(map[*conn]struct{})
	}
	l.conns[c] = struct{}{}
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

// Hang makes the line swallow everything, with all connections open, until Mend.
func (l *Line) Hang() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hung = true
}

// Mend undoes Cut and Hang. What was swallowed stays so.
func (l *Line) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.hung = false, false
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

// conn follows the frames of one connection.
type conn struct {
	net.Conn
	line *Line
	// closed when the connection is.
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex // guards pending
	pending []asked    // in the order of their answers
	answer  bytes.Reader
}

type asked struct {
	key     int16
	version int16
	act     Act
}

func (c *conn) Write(frame []byte) (int, error) {
	if len(frame) < 12 || int(binary.BigEndian.Uint32(frame)) != len(frame)-4 {
		panic("kafkatest: a request that is not written at once")
	}
	key, version := int16(binary.BigEndian.Uint16(frame[4:])), int16(binary.BigEndian.Uint16(frame[6:])) //nolint:gosec // bits
	act, hung := c.line.sent(kmsg.Key(key))
	if hung {
		return len(frame), nil
	}
	if act.Before {
		c.shut()
		if act.Then != nil {
			act.Then()
		}
		return 0, errCut
	}
	c.mu.Lock()
	c.pending = append(c.pending, asked{key, version, act})
	c.mu.Unlock()
	return c.Conn.Write(frame)
}

// Close the connection.
func (c *conn) Close() error {
	c.line.mu.Lock()
	delete(c.line.conns, c)
	c.line.mu.Unlock()
	c.shut()
	return nil
}

func (c *conn) shut() {
	c.once.Do(func() { close(c.closed) })
	_ = c.Conn.Close()
}

func (c *conn) Read(into []byte) (int, error) {
	for c.answer.Len() == 0 {
		frame, err := c.frame()
		if err != nil {
			return 0, err
		}
		if frame != nil {
			c.answer.Reset(frame)
		}
	}
	return c.answer.Read(into)
}

// frame reads one answer and does to it what was armed; nil when it is swallowed.
func (c *conn) frame() ([]byte, error) {
	var size [4]byte
	if err := readFull(c.Conn, size[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, 4+binary.BigEndian.Uint32(size[:]))
	copy(frame, size[:])
	if err := readFull(c.Conn, frame[4:]); err != nil {
		return nil, err
	}
	c.mu.Lock()
	to := c.pending[0]
	c.pending = c.pending[1:]
	c.mu.Unlock()
	if c.line.swallows() {
		return nil, nil
	}
	act := to.act
	if act.Delay > 0 {
		timer := time.NewTimer(act.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.closed:
			return nil, errCut
		}
	}
	if act.Then != nil {
		defer act.Then()
	}
	switch {
	case act.After:
		c.shut()
		return nil, errCut
	case act.Lose:
		return nil, nil
	case act.Answer != nil:
		return reanswer(frame, to, act.Answer)
	}
	return frame, nil
}

func readFull(r net.Conn, into []byte) error {
	for len(into) > 0 {
		n, err := r.Read(into)
		if err != nil {
			return err
		}
		into = into[n:]
	}
	return nil
}

// reanswer puts the error into every place of an answer that has room for one.
func reanswer(frame []byte, to asked, with *kerr.Error) ([]byte, error) {
	response := kmsg.ResponseForKey(to.key)
	response.SetVersion(to.version)
	body := kbin.Reader{Src: frame[8:]}
	head := frame[:8:8]
	if response.IsFlexible() && to.key != int16(kmsg.ApiVersions) {
		kmsg.SkipTags(&body)
		head = append(head, 0)
	}
	if err := response.ReadFrom(body.Src); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", kmsg.NameForKey(to.key), err)
	}
	setErrors(reflect.ValueOf(response).Elem(), with.Code)
	changed := response.AppendTo(head)
	binary.BigEndian.PutUint32(changed, uint32(len(changed)-4)) //nolint:gosec // small
	return changed, nil
}

func setErrors(v reflect.Value, code int16) {
	switch v.Kind() {
	case reflect.Struct:
		if field := v.FieldByName("ErrorCode"); field.IsValid() && field.Kind() == reflect.Int16 {
			field.SetInt(int64(code))
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type().Field(i).Name != "UnknownTags" {
				setErrors(v.Field(i), code)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			for i := range v.Len() {
				setErrors(v.Index(i), code)
			}
		}
	}
}
