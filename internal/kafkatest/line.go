//go:build synctests

package kafkatest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
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

func (l *Line) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// waiting are the members on the line to whom the group owes an answer.
func (l *Line) waiting() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var members []string
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

// conn follows the frames of one connection. Requests are passed on as they are written, answers by a goroutine of its own,
// through a pipe.
//
// The broker's end outlives the client's where the group owes the member an answer. A broker gives a member that it let
// into a generation its session timeout, whether or not the answer arrives; kfake (group.reply) gives none where it sees
// that the connection is closed, and such a member would keep its place and its partitions for ever.
type conn struct {
	net.Conn // the client's end of the pipe
	far      net.Conn
	broker   net.Conn
	line     *Line
	port     string // of the broker
	// closed when the connection is, for the client.
	closed chan struct{}

	mu      sync.Mutex // guards closing and pending
	pending []asked    // in the order of their answers
}

type asked struct {
	key     int16
	version int16
	act     Act
	// member who waits for other members of the group with this request; empty for most.
	member string
}

func (c *conn) Write(frame []byte) (int, error) {
	if len(frame) < 12 || int(binary.BigEndian.Uint32(frame)) != len(frame)-4 {
		panic("kafkatest: a request that is not written at once")
	}
	key, version := int16(binary.BigEndian.Uint16(frame[4:])), int16(binary.BigEndian.Uint16(frame[6:])) //nolint:gosec // bits
	act, hung := c.line.sent(kmsg.Key(key))
	// kfake miscounts its joiners when a member leaves whose SyncGroup it has not answered (group.removeMember), and the group
	// may never settle. Such a leave is lost: the member's session ends a little later.
	if hung || kmsg.Key(key) == kmsg.LeaveGroup && c.line.syncs() {
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
	c.pending = append(c.pending, asked{key, version, act, waits(key, version, frame)})
	c.mu.Unlock()
	n, err := c.broker.Write(frame)
	if err != nil && c.isShut() {
		err = io.ErrClosedPipe
	}
	return n, err
}

// waits names the member who waits for the others until the group answers.
func waits(key, version int16, frame []byte) string {
	if kmsg.Key(key) != kmsg.JoinGroup && kmsg.Key(key) != kmsg.SyncGroup {
		return ""
	}
	request := kmsg.RequestForKey(key)
	request.SetVersion(version)
	body := kbin.Reader{Src: frame[12:]}
	body.NullableString() // the client's id
	if request.IsFlexible() {
		kmsg.SkipTags(&body)
	}
	if err := request.ReadFrom(body.Src); err != nil {
		panic(fmt.Sprintf("kafkatest: %s: %v", kmsg.NameForKey(key), err))
	}
	if join, ok := request.(*kmsg.JoinGroupRequest); ok {
		return join.MemberID
	}
	return request.(*kmsg.SyncGroupRequest).MemberID
}

// waiting are the members to whom the group owes an answer.
func (c *conn) waiting() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var members []string
	for _, a := range c.pending {
		if a.member != "" {
			members = append(members, a.member)
		}
	}
	return members
}

// owes says whether a request of that key has no answer yet.
func (c *conn) owes(key kmsg.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.pending, func(a asked) bool { return kmsg.Key(a.key) == key })
}

// Close the connection.
func (c *conn) Close() error {
	c.line.mu.Lock()
	delete(c.line.conns, c)
	c.line.mu.Unlock()
	c.shut()
	return nil
}

// shut closes the connection for the client.
func (c *conn) shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isShut() {
		return
	}
	close(c.closed)
	_ = c.Conn.Close()
	_ = c.broker.SetWriteDeadline(time.Unix(0, 0)) // whoever writes now
	if !slices.ContainsFunc(c.pending, func(a asked) bool { return a.member != "" }) {
		_ = c.broker.Close()
	}
}

func (c *conn) isShut() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// SetDeadline of reads and writes.
func (c *conn) SetDeadline(at time.Time) error {
	return errors.Join(c.SetReadDeadline(at), c.SetWriteDeadline(at))
}

// SetWriteDeadline of requests.
func (c *conn) SetWriteDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isShut() {
		return io.ErrClosedPipe
	}
	return c.broker.SetWriteDeadline(at)
}

// answer passes the answers on until the broker's end is closed, or the client's is and nothing is owed.
func (c *conn) answer() {
	defer c.line.forget(c)
	defer c.broker.Close()
	defer c.far.Close()
	for {
		frame, to, err := c.frame()
		if err != nil {
			return
		}
		if frame, err = c.meddle(frame, to); err != nil {
			c.shut()
		} else if frame != nil {
			_, _ = c.far.Write(frame)
		}
		if c.isShut() {
			for len(c.waiting()) > 0 {
				if _, _, err := c.frame(); err != nil {
					return
				}
			}
			return
		}
	}
}

// frame reads one answer.
func (c *conn) frame() ([]byte, asked, error) {
	var size [4]byte
	if err := readFull(c.broker, size[:]); err != nil {
		return nil, asked{}, err
	}
	frame := make([]byte, 4+binary.BigEndian.Uint32(size[:]))
	copy(frame, size[:])
	if err := readFull(c.broker, frame[4:]); err != nil {
		return nil, asked{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	to := c.pending[0]
	c.pending = c.pending[1:]
	return frame, to, nil
}

// meddle does to an answer what was armed; nil when it is swallowed.
func (c *conn) meddle(frame []byte, to asked) ([]byte, error) {
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
