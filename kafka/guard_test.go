package kafka

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/secret"
)

// wire is a connection whose other side says what is given.
type wire struct {
	net.Conn
	in      io.Reader
	written int
}

func (w *wire) Read(into []byte) (int, error) { return w.in.Read(into) }

func (w *wire) Write(request []byte) (int, error) {
	w.written++
	return len(request), nil
}

func (*wire) Close() error                { return nil }
func (*wire) SetDeadline(time.Time) error { return nil }

// FuzzGuardPassesOnWhatItDoesNotJudge: whatever a broker says in a login, the client library gets it as it was said, or a refusal.
func FuzzGuardPassesOnWhatItDoesNotJudge(f *testing.F) {
	for _, key := range []kmsg.Key{kmsg.SASLHandshake, kmsg.SASLAuthenticate} {
		for _, code := range []int16{0, 33, 34, 58, 1} {
			response := kmsg.ResponseForKey(int16(key))
			response.SetVersion(1)
			switch r := response.(type) {
			case *kmsg.SASLHandshakeResponse:
				r.ErrorCode, r.SupportedMechanisms = code, []string{"PLAIN"}
			case *kmsg.SASLAuthenticateResponse:
				r.ErrorCode, r.ErrorMessage = code, new("no")
			}
			body := response.AppendTo([]byte{0, 0, 0, 7})
			f.Add(key == kmsg.SASLAuthenticate, append([]byte{0, 0, 0, byte(len(body))}, body...))
		}
	}
	f.Add(true, []byte{0x15, 0x03, 0x03, 0x00, 0x02})
	f.Add(false, []byte{0, 0, 0, 0})
	f.Add(true, []byte{0, 0})
	f.Fuzz(func(t *testing.T, authenticate bool, answer []byte) {
		own := &credentials{}
		own.login = &login{name: "PLAIN", trouble: &own.trouble, source: &tokenFile{}}
		g := &guard{Conn: &wire{in: bytes.NewReader(answer)}, credentials: own, address: "k1:9092", ended: make(chan struct{})}
		request := []byte{0, 0, 0, 14, 0, 17, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0}
		if authenticate {
			request[5] = 36
		}
		if _, err := g.Write(request); err != nil {
			t.Fatalf("the first request of a login is not written: %v", err)
		}
		got, err := io.ReadAll(g)
		switch {
		case Refused(err), Passing(err):
			if len(got) > 0 {
				t.Errorf("a refusal came after %d bytes: the client may have read an answer", len(got))
			}
		case err == nil && !bytes.Equal(got, answer):
			t.Errorf("got %x, want %x as it was said", got, answer)
		case err != nil && len(answer) >= 4 && len(answer) >= 4+int(uint32(answer[0])<<24|uint32(answer[1])<<16|uint32(answer[2])<<8|uint32(answer[3])):
			t.Errorf("a whole answer ends in %v", err)
		}
	})
}

func TestAnotherUserGetsAnotherConnection(t *testing.T) {
	user, becomes := inFile(t, "kafka.sasl.user", "a")
	own, there := &credentials{}, &wire{in: strings.NewReader("")}
	own.login = &login{name: "PLAIN", trouble: &own.trouble, source: &password{&SASL{Mechanism: Plain, User: secret.Name{Text: user}, Password: secret.Plain("x")}}}
	g := &guard{Conn: there, credentials: own, address: "k1:9092", ended: make(chan struct{})}
	formatter := kmsg.NewRequestFormatter()
	write := func(request kmsg.Request) error {
		_, err := g.Write(formatter.AppendRequest(nil, request, 7))
		return err
	}
	logIn := func() error {
		if err := write(kmsg.NewPtrSASLHandshakeRequest()); err != nil {
			return err
		}
		_, first, err := own.login.Authenticate(t.Context(), "k1:9092")
		if err != nil {
			t.Fatal(err)
		}
		request := kmsg.NewPtrSASLAuthenticateRequest()
		request.SASLAuthBytes = first
		return write(request)
	}
	for range 2 { // the second time, the broker asks for a new login on the open connection
		if err := logIn(); err != nil {
			t.Fatalf("a login as the same user: %v", err)
		}
		if err := write(kmsg.NewPtrMetadataRequest()); err != nil {
			t.Fatal(err)
		}
	}
	becomes("b")
	written := there.written
	if err := logIn(); !Passing(err) || !errors.Is(err, kerr.SaslAuthenticationFailed) || there.written != written {
		t.Errorf("a login as another user on an open connection: %v, and %d requests; want what has the client try on a new connection, and none", err, there.written-written)
	}
}

// refusing answers every login with a refusal.
func refusing() io.Reader {
	response := kmsg.NewPtrSASLAuthenticateResponse()
	response.ErrorCode, response.ErrorMessage = kerr.SaslAuthenticationFailed.Code, new("no")
	body := response.AppendTo([]byte{0, 0, 0, 7})
	return bytes.NewReader(append([]byte{0, 0, 0, byte(len(body))}, body...))
}

func TestARefusedLoginWaitsForTheChangeOfItsFile(t *testing.T) {
	word, becomes := inFile(t, "kafka.sasl.password", "old")
	synctest.Test(t, func(t *testing.T) {
		own := &credentials{}
		own.login = &login{name: "PLAIN", trouble: &own.trouble, source: &password{&SASL{Mechanism: Plain, User: named("a"), Password: word}}}
		refused := func() (took time.Duration, err error) {
			g := &guard{Conn: &wire{in: refusing()}, credentials: own, address: "k1:9092", ended: make(chan struct{})}
			_, first, err := own.login.Authenticate(t.Context(), "k1:9092")
			if err != nil {
				t.Fatal(err)
			}
			request := kmsg.NewPtrSASLAuthenticateRequest()
			request.SASLAuthBytes = first
			if _, err := g.Write(kmsg.NewRequestFormatter().AppendRequest(nil, request, 7)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err = g.Read(make([]byte, 64))
			return time.Since(began), err
		}
		if took, err := refused(); !Refused(err) || took != 0 {
			t.Errorf("nothing was ever accepted: got %v after %v, want a refusal at once", err, took)
		}
		own.login.accept("k1:9092", digestOf("a", "old"))
		// Between two looks at the file: which of two timers of one instant comes first is not said.
		time.AfterFunc(8*lookAgain-time.Millisecond, func() { becomes("new") })
		if took, err := refused(); !Passing(err) || took != 8*lookAgain {
			t.Errorf("the brokers have changed, and then the file: got %v after %v, want what may pass at the next look at the file", err, took)
		}
		if took, err := refused(); !Passing(err) || took != time.Second {
			t.Errorf("the file has changed, and the brokers have not yet: got %v after %v, want what may pass after a second", err, took)
		}
	})
}

// What is asked in a login is read from the request, in every version and with any name of the client.
func TestTheMessageOfALoginIsFoundInItsRequest(t *testing.T) {
	for version := range int16(3) {
		for _, name := range []string{"", "nearline/a/0"} {
			request := kmsg.NewPtrSASLAuthenticateRequest()
			request.SetVersion(version)
			request.SASLAuthBytes = []byte("\x00svc\x00hunter2")
			formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID(name))
			if got := saidIn(version, formatter.AppendRequest(nil, request, 7)); string(got) != "\x00svc\x00hunter2" {
				t.Errorf("version %d of client %q: got %q", version, name, got)
			}
		}
	}
}
