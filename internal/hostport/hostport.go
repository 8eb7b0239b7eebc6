// Package hostport says which texts are the address of a server.
package hostport

import (
	"net"
	"strconv"
)

// IsAddress says that a text is host:port, with a host, and a port that can be connected to.
func IsAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
