package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/certs"
)

// guard is a connection that follows its login, since only there it is known which credentials an answer is about. The client library is told
// of a refusal what the standing of those credentials makes of it: an end, or a fault of the network that it gets over by itself.
//
// It relies on how that library works: a request is one Write; and during a login nothing else is under way, so that reads and writes come from one
// goroutine (kgo: brokerCxn.doSasl). Afterwards all passes as it is.
type guard struct {
	net.Conn
	credentials *credentials
	address     string
	pair        digest // the certificate shown

	// in says that an ordinary request was written: the first login is over.
	in atomic.Bool
	// heard says that the broker has answered anything.
	heard bool
	// served says that the broker has answered an ordinary request.
	served bool
	// asked is the request of the login that waits for its answer; its key is 0 where none does.
	asked struct{ key, version int16 }
	// shown in this login.
	shown shown
	// rest of an answer that was looked at.
	rest []byte

	once  sync.Once
	ended chan struct{}
}

// largestLogin bounds the answers that are looked at. A guess: they have a few hundred bytes.
const largestLogin = 1 << 20

// Write one request.
func (g *guard) Write(request []byte) (int, error) {
	if len(request) >= 8 {
		key, version := int16(binary.BigEndian.Uint16(request[4:])), int16(binary.BigEndian.Uint16(request[6:])) //nolint:gosec // bits
		switch kmsg.Key(key) {
		case kmsg.SASLHandshake, kmsg.SASLAuthenticate:
			if err := g.login(key, version, request); err != nil {
				return 0, err
			}
		case kmsg.ApiVersions:
		default:
			g.in.Store(true)
		}
	}
	n, err := g.Conn.Write(request)
	if err != nil && !g.heard && g.credentials.files != nil {
		err = g.unheard(certs.Ended(g.Conn, err))
	}
	return n, err
}

// login follows a request of one.
func (g *guard) login(key, version int16, request []byte) error {
	if g.in.Load() && kmsg.Key(key) == kmsg.SASLHandshake && g.credentials.login.another(g.shown.user) {
		// Brokers refuse another user on a connection that has one, and log that as a failure. A new connection is what it takes.
		return &passing{refusal{words: fmt.Sprintf("the user that logs in to %s has changed: want a new connection", g.address), login: true}}
	}
	if !g.in.Load() {
		g.asked.key, g.asked.version = key, version
	}
	if kmsg.Key(key) == kmsg.SASLAuthenticate {
		if shown, ok := g.credentials.login.issued(saidIn(version, request)); ok {
			g.shown = shown
		}
	}
	return nil
}

// saidIn a request of a login, nil where it cannot be read.
func saidIn(version int16, request []byte) []byte {
	said := kmsg.NewPtrSASLAuthenticateRequest()
	said.SetVersion(version)
	if len(request) < 12 {
		return nil
	}
	body := kbin.Reader{Src: request[12:]}
	body.NullableString() // the client's name
	if said.IsFlexible() {
		kmsg.SkipTags(&body)
	}
	if !body.Ok() || said.ReadFrom(body.Src) != nil {
		return nil
	}
	return said.SASLAuthBytes
}

// Read what the broker says.
func (g *guard) Read(into []byte) (int, error) {
	if len(g.rest) == 0 && g.asked.key != 0 {
		if err := g.answer(); err != nil {
			return 0, err
		}
	}
	if len(g.rest) > 0 {
		n := copy(into, g.rest)
		g.rest = g.rest[n:]
		return n, nil
	}
	n, err := g.Conn.Read(into)
	if n > 0 {
		if g.isTLS(into[:n]) {
			return 0, g.credentials.wantsTLS(g.address)
		}
		g.hear()
		g.serve()
	}
	if err != nil {
		err = g.unserved(g.unheard(err))
	}
	return n, err
}

// isTLS says that the first that is heard on a connection without TLS is an alert of it: no answer of a broker is as long as that would be.
func (g *guard) isTLS(said []byte) bool {
	const alert, major = 0x15, 0x03
	return !g.heard && g.credentials.files == nil && len(said) > 1 && said[0] == alert && said[1] == major
}

// hear the first answer: the broker has taken the certificate, or wants none.
func (g *guard) hear() {
	if !g.heard {
		g.heard = true
		g.credentials.acceptedPair(g.address, g.pair)
	}
}

// serve notes that an ordinary request was answered: there is nothing to log in for.
func (g *guard) serve() {
	if !g.served && g.in.Load() {
		g.served = true
		g.credentials.serves(g.address)
	}
}

// unserved says what it may mean that a broker ends the connection before it has served anything.
func (g *guard) unserved(err error) error {
	switch {
	case !errors.Is(err, io.EOF):
	case !g.heard:
		return g.credentials.mute(g.address, err)
	case g.in.Load() && !g.served:
		return g.credentials.noRequest(g.address, err)
	}
	return err
}

// unheard judges an error in place of the first answer. With TLS 1.3 a broker's refusal of the certificate arrives only there.
func (g *guard) unheard(err error) error {
	if g.heard || !certs.IsAlert(err) {
		return err
	}
	return g.credentials.refusedPair(g.address, g.pair, err, g.ended)
}

// answer reads all of the answer that is waited for, and judges it.
func (g *guard) answer() error {
	var size [4]byte
	if _, err := io.ReadFull(g.Conn, size[:]); err != nil {
		return g.unheard(err)
	}
	if g.isTLS(size[:]) {
		return g.credentials.wantsTLS(g.address)
	}
	g.hear()
	g.rest = size[:]
	n := binary.BigEndian.Uint32(size[:])
	if n > largestLogin {
		g.asked.key = 0 // no answer of a login: the client library has words for that
		return nil
	}
	g.rest = append(g.rest, make([]byte, n)...)
	if _, err := io.ReadFull(g.Conn, g.rest[4:]); err != nil {
		return err
	}
	asked := g.asked
	g.asked.key = 0
	if err := g.judge(asked.key, asked.version, g.rest[4:]); err != nil {
		g.rest = nil
		return err
	}
	return nil
}

// judge an answer; nil has the client library read it.
func (g *guard) judge(key, version int16, answer []byte) error {
	response := kmsg.ResponseForKey(key)
	response.SetVersion(version)
	body := kbin.Reader{Src: answer}
	body.Int32() // which request it answers
	if response.IsFlexible() {
		kmsg.SkipTags(&body)
	}
	if !body.Ok() || response.ReadFrom(body.Src) != nil {
		return nil //nolint:nilerr // the client library has words for what cannot be read
	}
	switch said := response.(type) {
	case *kmsg.SASLHandshakeResponse:
		switch said.ErrorCode {
		case kerr.UnsupportedSaslMechanism.Code:
			return g.credentials.wrongMechanism(g.address, said.SupportedMechanisms)
		case kerr.IllegalSaslState.Code:
			return g.credentials.noLogin(g.address)
		}
	case *kmsg.SASLAuthenticateResponse:
		if said.ErrorCode == kerr.SaslAuthenticationFailed.Code {
			words := ""
			if said.ErrorMessage != nil {
				words = strings.TrimSpace(*said.ErrorMessage)
			}
			return g.credentials.login.judge(g.address, g.shown, words, g.ended)
		}
	}
	return nil
}

// Close the connection.
func (g *guard) Close() error {
	g.end()
	return g.Conn.Close()
}

// SetDeadline of reads and writes. The client library ends a connection that way when it is closed.
func (g *guard) SetDeadline(at time.Time) error {
	if !at.IsZero() && !at.After(time.Now()) {
		g.end()
	}
	return g.Conn.SetDeadline(at)
}

// end of waiting for anything.
func (g *guard) end() { g.once.Do(func() { close(g.ended) }) }
