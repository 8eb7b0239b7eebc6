//go:build cgo

package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"nearline/internal/files"
)

// Session is a graph that is ready to run, with its weights in memory. It is safe for concurrent use through several
// Runners: with Options.Threads 1 on CPU, runs share nothing but the weights and the allocator, so that one session serves
// every slot and its weights are held once.
type Session struct {
	session *ort.DynamicAdvancedSession
	release func()
	graph   *Graph
	inputs  []Info // the graph's
	outputs []Info // those of Options.Outputs
	rowsOf  int    // the input that outputs have as many rows as
	bound   bool   // runs go through IO bindings

	mu      sync.Mutex
	runners []*Runner
}

// Open reads the graph at path, with the external data that lies beside it, and makes it ready to run. Inputs have to be
// matrices or vectors of int64, int32, float32, float64 or string.
//
// An error that wraps ErrUnavailable says that there is nothing to run it with; any other is the graph's or the device's.
func Open(path string, o Options) (_ *Session, err error) {
	graph, err := Inspect(path)
	if err != nil {
		return nil, err
	}
	s := &Session{graph: graph, inputs: graph.Inputs, outputs: graph.Outputs}
	if len(o.Outputs) > 0 {
		s.outputs = nil
		for _, name := range o.Outputs {
			info, ok := graph.Output(name)
			if !ok {
				return nil, fmt.Errorf("open model %s: it has no output %q: want one of %s", path, name, names(graph.Outputs))
			}
			s.outputs = append(s.outputs, info)
		}
	}
	for _, i := range s.inputs {
		if !takes(i.Type) {
			return nil, fmt.Errorf("open model %s: input %s: want int64, int32, float32, float64 or string", path, i)
		}
	}
	for _, i := range s.outputs {
		if err := readable(i); err != nil {
			return nil, fmt.Errorf("open model %s: output %s: %w", path, i, err)
		}
	}
	s.bound = (o.Bound || o.Device.CUDA) && !slices.ContainsFunc(s.outputs, func(i Info) bool { return !stated(i) })
	if s.rowsOf = slices.IndexFunc(s.inputs, func(i Info) bool { return i.Name == o.RowsOf }); s.rowsOf < 0 {
		s.rowsOf = 0
	}
	library, err := FindLibrary(o.Library)
	if err != nil {
		return nil, err
	}
	if s.release, err = acquire(library); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	options, err := sessionOptions(o, library)
	if err != nil {
		return nil, fmt.Errorf("open model %s on %s: %w", path, o.Device, err)
	}
	defer options.Destroy()
	if len(graph.Zipped) > 0 {
		s.session, err = unzipped(path, s, options)
	} else {
		s.session, err = ort.NewDynamicAdvancedSession(path, each(s.inputs), each(s.outputs), options)
	}
	if err != nil {
		return nil, fmt.Errorf("open model %s on %s: %w", path, o.Device, runError(remedied(trim(err))))
	}
	return s, nil
}

// maxUnzipped bounds what is read into memory: protocol buffers end at 2 GiB.
const maxUnzipped = 2 << 30

// unzipped opens a graph without the maps that it makes of probabilities.
func unzipped(path string, s *Session, options *ort.SessionOptions) (*ort.DynamicAdvancedSession, error) {
	model, err := files.Read(path, maxUnzipped)
	if err != nil {
		return nil, err
	}
	if model, err = unzip(model); err != nil {
		return nil, err
	}
	return ort.NewDynamicAdvancedSessionWithONNXData(model, each(s.inputs), each(s.outputs), options)
}

// sessionOptions sets what all sessions run with.
func sessionOptions(o Options, library string) (_ *ort.SessionOptions, err error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			options.Destroy()
		}
	}()
	threads := max(1, o.Threads)
	for _, set := range []func() error{
		func() error { return options.SetIntraOpNumThreads(threads) },
		func() error { return options.SetInterOpNumThreads(1) },
		func() error { return options.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll) },
		// What it would log as an error is in the error that it returns.
		func() error { return options.SetLogSeverityLevel(ort.LoggingLevelFatal) },
		// A memory pattern is kept for every shape that was ever run, and shapes here are as many as there are lengths.
		func() error { return options.SetMemPattern(false) },
		// What a run needs is kept for the next: bounded by the largest batch. Without, it was no faster, and the memory of a
		// process that ran texts one by one settled at 100 MB instead of 64, as what is freed comes to lie in fragments.
		func() error { return options.SetCpuMemArena(true) },
		// Threads that wait spin otherwise, and take the cores from the other slots.
		func() error { return options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0") },
	} {
		if err := set(); err != nil {
			return nil, err
		}
	}
	if o.Device.CUDA {
		if err := addCUDA(options, o.Device.Index, library); err != nil {
			return nil, err
		}
	}
	return options, nil
}

// addCUDA has the session run on a GPU, with CPU for what CUDA does not implement.
func addCUDA(options *ort.SessionOptions, index int, library string) error {
	provider := filepath.Join(filepath.Dir(library), "libonnxruntime_providers_cuda.so")
	if _, err := os.Stat(provider); err != nil {
		return fmt.Errorf("%w: CUDA needs libonnxruntime_providers_cuda.so beside %s, and it is not there: want the library of an ONNX "+
			"Runtime build for GPUs (package onnxruntime-gpu), or device cpu", ErrUnavailable, library)
	}
	cuda, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return fmt.Errorf("%w: this ONNX Runtime has no CUDA: %s", ErrUnavailable, trim(err))
	}
	defer cuda.Destroy()
	// The first of these loads the provider, and with it CUDA's own libraries.
	err = cuda.Update(map[string]string{
		"device_id": strconv.Itoa(index),
		// Grow by what is asked for rather than to the next power of two.
		"arena_extend_strategy": "kSameAsRequested",
	})
	if err == nil {
		err = options.AppendExecutionProviderCUDA(cuda)
	}
	if err != nil {
		return fmt.Errorf("%w: CUDA did not start: want a GPU %d with its driver, and the CUDA and cuDNN libraries that this ONNX "+
			"Runtime was built for, on the library path (LD_LIBRARY_PATH): %s", ErrUnavailable, index, trim(err))
	}
	return nil
}

// Graph is what the file says of itself. Do not change it.
func (s *Session) Graph() *Graph { return s.graph }

// Close frees the session and its runners. No run may be under way, and none may follow.
func (s *Session) Close() error {
	for _, r := range s.runners {
		r.free()
	}
	err := s.session.Destroy()
	s.release()
	return err
}

func each(infos []Info) []string {
	list := make([]string, len(infos))
	for i, info := range infos {
		list[i] = info.Name
	}
	return list
}

func names(infos []Info) string {
	list := each(infos)
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// trim makes one line of a message, without the binding's preamble.
func trim(err error) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "Error running network: ")), " ")
}
