//go:build cgo

package onnx

import (
	"fmt"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// environment is ONNX Runtime's one environment in this process: made with the first session, ended with the last.
var environment struct {
	sync.Mutex
	users   int
	library string
}

// acquire has the environment exist until release is called, once.
func acquire(library string) (release func(), err error) {
	e := &environment
	e.Lock()
	defer e.Unlock()
	if e.users > 0 && e.library != library {
		return nil, fmt.Errorf("%w: %s is wanted, but this process runs with %s, and loads no second one", ErrUnavailable, library, e.library)
	}
	if e.users == 0 {
		ort.SetSharedLibraryPath(library)
		// It logs to stderr in a form of its own; what matters is in the errors that it returns as well.
		if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
			return nil, fmt.Errorf("%w: load %s: %s (want ONNX Runtime 1.24 or later, for this kind of machine)",
				ErrUnavailable, library, trim(err))
		}
		e.library = library
	}
	e.users++
	return func() {
		e.Lock()
		defer e.Unlock()
		if e.users--; e.users == 0 {
			// It fails only where the library cannot be unloaded, and then it stays: harmless.
			_ = ort.DestroyEnvironment()
		}
	}, nil
}
