package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"nearline/e2e/cluster"
)

// reply to a request: one when the fault is made, one when it is mended or has failed.
type reply struct {
	Made   string `json:"made,omitempty"`
	Mended bool   `json:"mended,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Serve does faults for other processes, by a socket of this path, one at a time, until ctx ends. It returns when the last
// one is mended. It calls listening as soon as it can be asked.
func Serve(ctx context.Context, c *cluster.Cluster, path string, listening func()) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return err
	}
	listening()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	var serving sync.WaitGroup
	defer serving.Wait()
	var one sync.Mutex // held for the whole of a fault
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("serve faults: %w", err)
		}
		serving.Go(func() {
			defer conn.Close()
			one.Lock()
			defer one.Unlock()
			serve(ctx, c, conn)
		})
	}
}

// serve does one fault. A caller that hangs up wants it to end.
func serve(ctx context.Context, c *cluster.Cluster, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := json.NewEncoder(conn)
	var r Request
	requests := json.NewDecoder(conn)
	if err := requests.Decode(&r); err != nil {
		_ = answers.Encode(reply{Error: fmt.Sprintf("read the request: %v", err)})
		return
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn)
		cancel()
	}()
	last := reply{Mended: true}
	if err := Do(ctx, c, r, func(what string) { _ = answers.Encode(reply{Made: what}) }); err != nil {
		last = reply{Error: err.Error()}
	}
	_ = answers.Encode(last)
	_ = conn.Close()
	<-gone
}

// Ask has a fault done by whoever serves the socket of this path, and returns when it is mended. Where ctx ends earlier, so
// does the fault.
func Ask(ctx context.Context, path string, r Request, made func(string)) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("ask for a fault: %w", err)
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return fmt.Errorf("ask for a fault: %w", err)
	}
	// The other side mends what it hurt when it finds that nobody writes any more, and then says how that went.
	defer context.AfterFunc(ctx, func() {
		if half, ok := conn.(*net.UnixConn); ok {
			_ = half.CloseWrite()
		}
	})()
	replies := json.NewDecoder(conn)
	for {
		var answer reply
		switch err := replies.Decode(&answer); {
		case err != nil:
			return fmt.Errorf("whoever does the faults is gone: %w", err)
		case answer.Error != "":
			return errors.New(answer.Error)
		case answer.Mended:
			return nil
		default:
			made(answer.Made)
		}
	}
}
