package dev

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
)

func TestARequestThatIsNoneIsGivenNoMemory(t *testing.T) {
	l, err := listen("tcp", "127.0.0.1", "0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	read := func(sent string) (sizes []uint32) { // as the broker reads
		client, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			_, _ = io.WriteString(client, sent)
			_ = client.(*net.TCPConn).CloseWrite()
		}()
		for size := make([]byte, 4); ; {
			if _, err := io.ReadFull(c, size); err != nil {
				return sizes
			}
			sizes = append(sizes, binary.BigEndian.Uint32(size))
			if _, err := io.CopyN(io.Discard, c, int64(sizes[len(sizes)-1])); err != nil {
				return sizes
			}
		}
	}
	frame := func(n int) string {
		return string(binary.BigEndian.AppendUint32(nil, uint32(n))) + strings.Repeat("x", n)
	}
	for _, sent := range []string{"GET / HTTP/1.1\r\n\r\n", "\xff\xff\xff\xff", "\x16\x03\x01\x02\x00 TLS"} {
		if sizes := read(sent); len(sizes) > 0 {
			t.Errorf("%q: the broker would make room for %d bytes", sent, sizes)
		}
		if sizes := read(frame(3) + frame(0) + frame(70_000) + sent); len(sizes) != 3 {
			t.Errorf("%q after three requests: the broker reads %d of %v", sent, len(sizes), sizes)
		}
	}
}
