//go:build synctests

package kafkatest

import (
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
	member member
}

// member of a group.
type member struct{ group, id string }

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
	if !c.wait(act.Hold) || !c.thaw() {
		return 0, io.ErrClosedPipe
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
func waits(key, version int16, frame []byte) member {
	if kmsg.Key(key) != kmsg.JoinGroup && kmsg.Key(key) != kmsg.SyncGroup {
		return member{}
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
		return member{join.Group, join.MemberID}
	}
	sync := request.(*kmsg.SyncGroupRequest)
	return member{sync.Group, sync.MemberID}
}

// waiting are the members to whom the group owes an answer.
func (c *conn) waiting() []member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var members []member
	for _, a := range c.pending {
		if a.member.id != "" {
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
	if !slices.ContainsFunc(c.pending, func(a asked) bool { return a.member.id != "" }) {
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

// wait on the open connection; false if it was closed.
func (c *conn) wait(lasts time.Duration) bool {
	if lasts <= 0 {
		return true
	}
	timer := time.NewTimer(lasts)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.closed:
		return false
	}
}

// thaw waits until the line is no longer frozen; false if the connection was closed.
func (c *conn) thaw() bool {
	for ice := c.line.ice(); ice > 0; ice = c.line.ice() {
		if !c.wait(ice) {
			return false
		}
	}
	return true
}

// meddle does to an answer what was armed; nil when it is swallowed.
func (c *conn) meddle(frame []byte, to asked) ([]byte, error) {
	if c.line.swallows() {
		return nil, nil
	}
	act := to.act
	if !c.thaw() || !c.wait(act.Delay) {
		return nil, errCut
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
