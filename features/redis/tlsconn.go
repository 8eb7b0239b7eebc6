package redis

import (
	"crypto/tls"

	"nearline/internal/certs"
)

// told is a connection whose writes fail with the alert that the server ended it with.
type told struct{ *tls.Conn }

func (c told) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		err = certs.Ended(c.Conn, err)
	}
	return n, err
}
