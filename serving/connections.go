package serving

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"sync"
)

// spareConnections are open beside the bound, for probes: somebody has to be able to ask what is wrong.
const spareConnections = 32

// connections bounds how many are open at once. It always accepts, since a queue in the kernel would hold up probes too:
//
//   - Below the bound, a connection is like any other.
//   - At the bound, the one that has waited longest for its client, between two requests or for the end of a header, makes room.
//   - Where all are at work, the new one is a spare: only pages that answer at once are served there, and it ends with the answer. The oldest
//     spare makes room for the next.
type connections struct {
	net.Listener
	most int

	mu     sync.Mutex // guards all below, and the state of each connection
	open   map[*connection]struct{}
	spares []*connection // the oldest first
	turn   uint64
}

func bound(listener net.Listener, most int) *connections {
	return &connections{Listener: listener, most: most, open: make(map[*connection]struct{})}
}

// connection knows whether it waits for its client.
type connection struct {
	net.Conn
	of    *connections
	spare bool
	since uint64 // the turn from which on it waits; 0 while a request is answered
}

// Accept the next connection.
func (l *connections) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: accepted, of: l}
	if evicted := l.add(c); evicted != nil {
		_ = evicted.Conn.Close() // whoever reads from it hears of that
	}
	return c, nil
}

// add a connection, and say which one makes room for it.
func (l *connections) add(c *connection) (evicted *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn++
	c.since = l.turn
	if len(l.open) >= l.most {
		for other := range l.open {
			if other.since > 0 && (evicted == nil || other.since < evicted.since) {
				evicted = other
			}
		}
		if evicted == nil {
			c.spare = true
			l.spares = append(l.spares, c)
			if len(l.spares) > spareConnections {
				evicted, l.spares = l.spares[0], slices.Delete(l.spares, 0, 1)
			}
			return evicted
		}
		delete(l.open, evicted)
	}
	l.open[c] = struct{}{}
	return evicted
}

// forget a connection that is closed.
func (l *connections) forget(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	l.spares = slices.DeleteFunc(l.spares, func(spare *connection) bool { return spare == c })
}

// count what is open, the spares among them.
func (l *connections) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open) + len(l.spares)
}

// changed is the server's word for what a connection does. Until a header is complete, it is new or idle.
func (l *connections) changed(of net.Conn, state http.ConnState) {
	c := below(of)
	if c == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch state {
	case http.StateActive:
		c.since = 0
	case http.StateIdle:
		l.turn++
		c.since = l.turn
	case http.StateNew, http.StateHijacked, http.StateClosed: // Accept and Close have seen to it
	}
}

// below is the connection that is bounded, under TLS or not; nil for one of somebody else's.
func below(of net.Conn) *connection {
	if secured, ok := of.(*tls.Conn); ok {
		of = secured.NetConn()
	}
	c, _ := of.(*connection)
	return c
}

// Close the connection, and make room for another.
func (c *connection) Close() error {
	c.of.forget(c)
	return c.Conn.Close()
}

// CloseWrite has the client read the last answer before the connection is gone: the server looks for it.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// onConnection is the key of a request's connection in its context.
type onConnection struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, onConnection{}, below(c))
}

// onSpare says whether a request came by a spare connection.
func onSpare(r *http.Request) bool {
	c, ok := r.Context().Value(onConnection{}).(*connection)
	return ok && c != nil && c.spare
}
