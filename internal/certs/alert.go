package certs

import (
	"errors"
	"net"
	"time"
)

// alertPatience bounds the wait for an alert. It came before the end that a write has met, so it is there already.
const alertPatience = time.Second

// IsAlert says that the other side ended TLS with a word.
func IsAlert(err error) bool {
	alert, ok := errors.AsType[*net.OpError](err)
	return ok && alert.Op == "remote error"
}

// Ended is what the other side ended a connection with, for whoever could not write to it: an alert, or else the error of the write. From TLS 1.3 on, a client
// is done with its handshake before the server has judged its certificate. So the judgement may come with the end of the connection, and the first
// write only says that it was reset. The connection is good for nothing afterwards, and nobody else may read from it.
func Ended(conn net.Conn, failed error) error {
	if conn.SetReadDeadline(time.Now().Add(alertPatience)) != nil {
		return failed
	}
	if _, said := conn.Read(make([]byte, 1)); IsAlert(said) {
		return said
	}
	return failed
}
