package redis

import (
	"io"
	"testing"

	"nearline/internal/certs"
	"nearline/internal/harness/certstest"
)

func TestAWriteSaysWhatTheServerEndedTheConnectionFor(t *testing.T) {
	authority := certstest.New("first")
	address, end := certstest.Refusing(authority)
	dial := secured(nil, certs.New("features.store.redis.tls", certs.Config{CA: certstest.Write(t.TempDir(), "ca.pem", authority.PEM)}))
	conn, err := dial(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	end()
	if _, err := io.WriteString(conn, "PING"); !certs.IsAlert(err) {
		t.Errorf("got %v, want the alert of the server", err)
	}
}
