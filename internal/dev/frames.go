package dev

import (
	"encoding/binary"
	"fmt"
	"net"
)

// maxRequest is the broker's own socket.request.max.bytes. What an HTTP client or a port scanner sends would be read as the size of a request of a
// gigabyte or two, with memory for all of it.
const maxRequest = 100 << 20

// framed is a listener whose connections end at a request that is too large to be one.
type framed struct{ net.Listener }

// Accept the next connection.
func (l framed) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &frames{Conn: c}, nil
}

// frames follows the sizes that stand before requests. Not safe for concurrent reads, as little as the requests are.
type frames struct {
	net.Conn
	size [4]byte
	have int // of size
	left int // of the request
}

// Read as the connection does.
func (f *frames) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	for read := p[:n]; len(read) > 0; {
		if f.left > 0 {
			some := min(f.left, len(read))
			f.left, read = f.left-some, read[some:]
			continue
		}
		some := copy(f.size[f.have:], read)
		f.have, read = f.have+some, read[some:]
		if f.have < len(f.size) {
			continue
		}
		size := binary.BigEndian.Uint32(f.size[:])
		if size > maxRequest {
			_ = f.Close()
			return 0, fmt.Errorf("a request of %d bytes from %s: want at most %d, and the protocol of Kafka", size, f.RemoteAddr(), maxRequest)
		}
		f.have, f.left = 0, int(size)
	}
	return n, err
}
