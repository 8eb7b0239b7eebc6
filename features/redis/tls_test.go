package redis

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"nearline/internal/certs"
	"nearline/internal/harness/certstest"
	"nearline/internal/secret"
)

// wire is what a store has dialled, and can be cut.
type wire struct {
	mu   sync.Mutex
	open []net.Conn
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.open = append(w.open, conn)
	}
	return conn, err
}

// cut all connections, so that the next call dials.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.open {
		_ = conn.Close()
	}
	w.open = nil
}

func TestStoreIsReachedByTLSWithTheFilesOfNow(t *testing.T) {
	folder, first, second := t.TempDir(), certstest.New("first"), certstest.New("second")
	ca := certstest.Write(folder, "ca.crt", first.PEM)
	hosts := certstest.Options{Hosts: []string{"127.0.0.1"}}
	var own, its certs.Config
	own.CA, its.CA = ca, ca
	own.Cert, own.Key = first.Issue("joe", certstest.Options{}).Write(folder, "client")
	its.Cert, its.Key = first.Issue("redis", hosts).Write(folder, "server")
	server := miniredis.NewMiniRedis()
	if err := server.StartTLS(certs.New("server", its).Server(tls.RequireAndVerifyClientCert)); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.RequireUserAuth("ann", "password-one")
	password := certstest.Write(folder, "password", []byte("password-one\n"))

	c := patient(server.Addr())
	c.TLS = &own
	user := certstest.Write(folder, "user", []byte("ann\n"))
	c.Username = secret.Name{Text: secret.New("features.store.redis.username", "${file:user}", func() (string, error) { return secret.File(user) })}
	c.Password = secret.New("features.store.redis.password", "${file:password}", func() (string, error) { return secret.File(password) })
	if err := c.Validate(path); err != nil {
		t.Fatal(err)
	}
	var w wire
	s := open(c, w.dial)
	defer s.Close()
	answers := func(when string) {
		t.Helper()
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		w.cut()
	}
	answers("at first")
	certstest.Write(folder, "ca.crt", slices.Concat(first.PEM, second.PEM))
	second.Issue("redis", hosts).Write(folder, "server")
	answers("with a server of another authority")
	second.Issue("joe", certstest.Options{}).Write(folder, "client")
	certstest.Write(folder, "ca.crt", second.PEM)
	answers("with all of the other authority")
	server.RequireUserAuth("ann", "password-two")
	certstest.Write(folder, "password", []byte("password-two\n"))
	answers("with another password")
	server.RequireUserAuth("joe", "password-three")
	certstest.Write(folder, "user", []byte("joe\n"))
	certstest.Write(folder, "password", []byte("password-three\n"))
	server.RequireUserAuth("ann", "nothing that is known here")
	answers("with another user")
	if s.Certificates() == nil {
		t.Error("nobody knows when the certificates expire")
	}

	certstest.Write(folder, "ca.crt", first.PEM)
	wants(t, s.Ping(t.Context()), "features.store.redis.tls: ", "was issued by CN=second, which is not among the authorities of features.store.redis.tls.ca")
	w.cut()
	certstest.Write(folder, "ca.crt", slices.Concat(first.PEM, second.PEM))
	bare := certs.Config{CA: ca}
	c.TLS = &bare
	wants(t, opened(t, c).Ping(t.Context()), "features.store.redis.tls: ", "asks for a certificate, and no certificate was shown: want one in features.store.redis.tls.cert")
	c.TLS = nil
	if err := opened(t, c).Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "whether its port wants TLS, for which features.store.redis.tls stands") {
		t.Errorf("without TLS: got %v, want that the key is named", err)
	}
}

func TestAStoreWithoutTLSIsToldByItsKey(t *testing.T) {
	server := miniredis.RunT(t)
	c := patient(server.Addr())
	c.TLS = &certs.Config{}
	wants(t, opened(t, c).Ping(t.Context()), "whether its port wants TLS, for which features.store.redis.tls stands: TLS with "+server.Addr()+": EOF")
}

func TestMissingFilesOfTLSAreProblemsOfTheConfiguration(t *testing.T) {
	c := patient("redis:6379")
	c.TLS = &certs.Config{CA: filepath.Join(t.TempDir(), "none")}
	if _, err := os.Stat(c.TLS.CA); err == nil {
		t.Fatal("it is there")
	}
	wants(t, c.Validate(path), path+".tls.ca is ", "no such file")
}
