package certstest

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// Refusing is a server that wants a certificate of its clients. The client's handshake ends, then the server's, by an alert: with TLS 1.3 it comes after. End
// resets the connection, as happens where a server has not read all that a client has written.
func Refusing(by *Authority) (address string, end func()) {
	shown := by.Issue("server", Options{Hosts: []string{"127.0.0.1"}})
	pair, err := tls.X509KeyPair(shown.Cert, shown.Key)
	must(err)
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	must(err)
	asked, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		must(errors.Join(err, listener.Close()))
		config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
		if err := tls.Server(conn, config).HandshakeContext(context.Background()); err == nil {
			panic("the handshake succeeded: this shows nothing")
		}
		<-asked
		must(conn.(*net.TCPConn).SetLinger(0)) //nolint:errcheck // a listener of TCP has such; its close is a reset
		must(conn.Close())
	}()
	return listener.Addr().String(), func() {
		close(asked)
		<-ended
	}
}
