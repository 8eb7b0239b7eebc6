package batching

import (
	"errors"
	"fmt"
)

var (
	// ErrDevice marks an error of a Run that is no row's fault: the device is lost, its memory is full. Every row of
	// the batch gets it, and nothing is tried again.
	ErrDevice = errors.New("device failed")
	// ErrClosed is what Add returns once its queue is retired or its device has stopped, and what rows get that still
	// waited when the device stopped.
	ErrClosed = errors.New("queue closed")
	// ErrCost is the error of a row that no batch can hold: its cost is under 1, over Limits.MaxTokens, or over MaxCost.
	ErrCost = errors.New("row does not fit a batch")
)

// PanicError is the error of a Run that panicked. It is treated as any other error of the batch: bisected, until the row
// that sets it off is alone.
type PanicError struct {
	Value any    // what Run panicked with
	Stack []byte // of the slot's goroutine, from debug.Stack
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value that Run panicked with where that is an error, so that ErrDevice is seen in it.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
