//go:build cgo

package onnx

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a graph of testdata for the time of the test. Without the library the test fails: models/onnx/fetch.sh
// fetches it, and CGO_ENABLED=0 runs the tests that do not need it.
func open(t testing.TB, path string, o Options) *Session {
	t.Helper()
	s, err := Open(filepath.Join("testdata", path), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// matrix is an input of rows of equal length.
func matrix(rows ...[]int64) Input {
	return Input{Data: slices.Concat(rows...), Rows: len(rows), Columns: len(rows[0])}
}

func run(t *testing.T, r *Runner, inputs ...Input) []Output {
	t.Helper()
	outputs, err := r.Run(inputs)
	if err != nil {
		t.Fatal(err)
	}
	return outputs
}

func TestRunnerAnswersEveryKindOfInputAndOutput(t *testing.T) {
	s := open(t, "graphs/inputs.onnx", Options{})
	r := s.Runner()
	// More rows, fewer rows, the same again: buffers are kept and replaced.
	for _, rows := range []int{1, 3, 3, 1, 2} {
		var ids, ones, types, places [][]int64
		for i := range rows {
			n := int64(i)
			ids = append(ids, []int64{1 + n, 2, 3})
			ones = append(ones, []int64{1, 1, 0})
			types = append(types, []int64{0, 1, 1})
			places = append(places, []int64{0, 1, 2})
		}
		out := run(t, r, matrix(ids...), matrix(ones...), matrix(types...), matrix(places...))
		var half, open, long []float32
		for i := range rows {
			n := float32(i)
			half = append(half, 3+n, 2)
			open = append(open, 1+n, 2, 0)
			long = append(long, 3+n)
		}
		for i, want := range []Output{
			{Shape: []int64{int64(rows), 2}, Data: half},
			{Shape: []int64{int64(rows), 3}, Data: open},
			{Shape: []int64{int64(rows)}, Data: long},
		} {
			if !slices.Equal(out[i].Shape, want.Shape) || !slices.Equal(out[i].Data, want.Data) {
				t.Errorf("%d rows: output %d: got %v, want %v", rows, i, out[i], want)
			}
		}
	}
}

func TestRunnerReadsHalvesForEachToken(t *testing.T) {
	r := open(t, "graphs/halves.onnx", Options{}).Runner()
	for _, rows := range [][][]int64{{{1, 2, 3}}, {{4, 5}}, {{6, 7}, {8, 9}}, {{6, 7}, {8, 9}}, {{1}}} {
		var want []float32
		for _, id := range slices.Concat(rows...) {
			want = append(want, float32(id), float32(2*id))
		}
		out := run(t, r, matrix(rows...))[0]
		if shape := []int64{int64(len(rows)), int64(len(rows[0])), 2}; !slices.Equal(out.Shape, shape) || !slices.Equal(out.Data, want) {
			t.Errorf("got %v, want %v of shape %v", out, want, shape)
		}
	}
}

func TestRunnerRefusesWhatIsNotAnInt32(t *testing.T) {
	r := open(t, "graphs/inputs.onnx", Options{}).Runner()
	one := matrix([]int64{1})
	_, err := r.Run([]Input{matrix([]int64{math.MaxInt32 + 1}), one, one, one})
	if err == nil || !strings.Contains(err.Error(), "is not an int32") {
		t.Errorf("got %v, want an error that says that it is not an int32", err)
	}
}

func TestOpenTakesOutputsByName(t *testing.T) {
	s := open(t, "graphs/inputs.onnx", Options{Outputs: []string{"long"}})
	one := matrix([]int64{7})
	if out := run(t, s.Runner(), one, one, one, one); len(out) != 1 || out[0].Data[0] != 49 {
		t.Errorf("got %v, want long alone: 49", out)
	}
	_, err := Open("testdata/graphs/inputs.onnx", Options{Outputs: []string{"short"}})
	if err == nil || !strings.Contains(err.Error(), `no output "short": want one of half, long, open`) {
		t.Errorf("got %v, want an error that names the outputs there are", err)
	}
}

func TestOpenReadsExternalData(t *testing.T) {
	s := open(t, "graphs/external.onnx", Options{})
	if out := run(t, s.Runner(), matrix([]int64{1, 100})); !slices.Equal(out[0].Data, []float32{202, 204}) {
		t.Errorf("got %v, want [202 204]", out[0].Data)
	}
}

func number(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

// castOf is a Cast: an attribute has its name in field 1, an integer in field 3, and its type, 2 for an integer, in field 20.
func castOf(from, to string, kind Type) []byte {
	return append(nodeOf("Cast", from, to), field(5, slices.Concat(field(1, []byte("to")), number(3, uint64(kind)), number(20, 2)))...)
}

// wired is a file with nodes between ids and logits.
func wired(ir, opset uint64, out Type, nodes ...[]byte) []byte {
	info := func(name string, kind Type) []byte {
		dims := field(2, slices.Concat(field(1, field(2, []byte("b"))), field(1, field(2, []byte("s")))))
		return slices.Concat(field(1, []byte(name)), field(2, field(1, slices.Concat(number(1, uint64(kind)), dims))))
	}
	g := slices.Concat(graphOf(nodes...), field(2, []byte("g")), field(11, info("ids", Int64)), field(12, info("logits", out)))
	return slices.Concat(number(1, ir), model(g), field(8, number(2, opset)), field(8, slices.Concat(field(1, []byte("com.microsoft")), number(2, 1))))
}

func TestOpenRefusesInputsThatCannotBeGiven(t *testing.T) {
	data := wired(9, 17, Float32, castOf("ids", "logits", Float32))
	path := filepath.Join(t.TempDir(), "model.onnx")
	// The input's type is the number behind field 1 of its tensor type: 7 is int64, 9 is bool.
	at := bytes.Index(data, append([]byte("ids"), 2<<3|2))
	kind := at + bytes.Index(data[at:], []byte{1 << 3, byte(Int64)})
	data[kind+1] = byte(Bool)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, Options{})
	if err == nil || !strings.Contains(err.Error(), "input ids bool[?, ?]: want int64, int32, float32, float64 or string") {
		t.Errorf("got %v, want the input refused by its type", err)
	}
}

func TestOpenSaysWhatToDoAboutGraphsThatTheRuntimeRefuses(t *testing.T) {
	cast := castOf("ids", "logits", Float32)
	for _, c := range []struct {
		name string
		data []byte
		want string // "" where it opens
	}{
		{"as it should be", wired(9, 17, Float32, cast), ""},
		{"a newer file", wired(99, 17, Float32, cast), "the file is newer than this ONNX Runtime: want a newer library"},
		{"a newer opset", wired(9, 99, Float32, cast), "want a newer library, or an export with a lower opset"},
		{"an operator of others", wired(9, 17, Float32, inDomain("com.microsoft", nodeOf("Attend", "ids", "logits"))),
			"the graph has an operator that this ONNX Runtime does not"},
		{"an operator of another opset", wired(9, 17, Float32, nodeOf("Attend", "ids", "logits")),
			"the graph has an operator that its opset does not"},
		{"an operator without a kernel", wired(9, 17, Float32, castOf("ids", "x", BFloat16), nodeOf("Erf", "x", "y"), castOf("y", "logits", Float32)),
			"want an export in float32"},
		{"half converted", wired(9, 17, Float64, cast), "want it converted by onnxruntime.transformers.float16"},
	} {
		path := filepath.Join(t.TempDir(), "model.onnx")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err == nil {
			err = s.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestRunErrorIsTheInputs(t *testing.T) {
	r := open(t, "failing/model.onnx", Options{}).Runner()
	good, bad := matrix([]int64{2, 5, 3}), matrix([]int64{2, 9999, 3})
	ones := matrix([]int64{1, 1, 1})
	before := slices.Clone(run(t, r, good, ones)[0].Data)
	_, err := r.Run([]Input{bad, ones})
	if err == nil || errors.Is(err, ErrRuntime) || !strings.Contains(err.Error(), "out of data bounds") {
		t.Errorf("got %v, want an error of the input, with the runtime's words", err)
	}
	if after := run(t, r, good, ones)[0].Data; !slices.Equal(before, after) {
		t.Errorf("after a failed run: got %v, want %v", after, before)
	}
}

// What a machine with a GPU adds: the same answers there, through bindings, batches of every size and many runners at once.
func TestCUDAAnswersAsCPU(t *testing.T) {
	path := filepath.Join("testdata", "single_label", "model.onnx")
	gpu, err := Open(path, Options{Device: Device{CUDA: true}})
	if errors.Is(err, ErrUnavailable) {
		// Few machines have a GPU; make gpu-check is for those. CI allows this skip by name.
		t.Skip("no CUDA here; it would have compared answers with the CPU's:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer gpu.Close()
	serveMany(t, gpu)
	on, cpu := gpu.Runner(), open(t, "single_label/model.onnx", Options{}).Runner()
	for _, rows := range []int{1, 2, 64, 64, 3} {
		for columns := 2; columns <= 32; columns += 5 {
			ids, mask := Input{Rows: rows, Columns: columns}, Input{Rows: rows, Columns: columns}
			for i := range rows * columns {
				ids.Data, mask.Data = append(ids.Data, int64(1+(i*7+columns)%90)), append(mask.Data, 1)
			}
			want, got := run(t, cpu, ids, mask)[0], run(t, on, ids, mask)[0]
			for i := range want.Data {
				if d := math.Abs(float64(want.Data[i]) - float64(got.Data[i])); !(d < 0.01) { // it computes in TF32
					t.Fatalf("[%d, %d]: logit %d: got %v, want %v", rows, columns, i, got.Data[i], want.Data[i])
				}
			}
		}
	}
}

// A binding keeps outputs from run to run, and must forget inputs: on CPU it answers as the plain way does.
func TestBoundRunsAnswerAsPlainOnes(t *testing.T) {
	wide := Options{Outputs: []string{"half", "long"}} // open does not state its shape
	for _, c := range []struct {
		path    string
		options Options
		bound   bool
	}{
		{"graphs/inputs.onnx", wide, true},
		{"graphs/inputs.onnx", Options{}, false},
		{"single_label/model.onnx", Options{}, true},
	} {
		plain := open(t, c.path, c.options).Runner()
		c.options.Bound = true
		s := open(t, c.path, c.options)
		if s.bound != c.bound {
			t.Errorf("%s: got bound %v, want %v", c.path, s.bound, c.bound)
		}
		bound := s.Runner()
		for _, rows := range []int{1, 3, 3, 1, 2, 2} {
			for columns := 2; columns < 5; columns++ {
				var inputs []Input
				for range s.inputs {
					in := Input{Rows: rows, Columns: columns}
					for i := range rows * columns {
						in.Data = append(in.Data, int64(1+(i*7+columns)%5))
					}
					inputs = append(inputs, in)
				}
				want, got := run(t, plain, inputs...), run(t, bound, inputs...)
				for i := range want {
					if !slices.Equal(got[i].Shape, want[i].Shape) || !slices.Equal(got[i].Data, want[i].Data) {
						t.Errorf("%s: [%d, %d]: output %d: got %v, want %v", c.path, rows, columns, i, got[i], want[i])
					}
				}
			}
		}
	}
}

func TestBoundRunnerGoesOnAfterAFailure(t *testing.T) {
	r := open(t, "failing/model.onnx", Options{Bound: true}).Runner()
	good, bad := matrix([]int64{2, 5, 3}), matrix([]int64{2, 9999, 3})
	ones := matrix([]int64{1, 1, 1})
	before := slices.Clone(run(t, r, good, ones)[0].Data)
	for range 3 {
		_, err := r.Run([]Input{bad, ones})
		if err == nil || errors.Is(err, ErrRuntime) || !strings.Contains(err.Error(), "out of data bounds") {
			t.Errorf("got %v, want an error of the input, with the runtime's words", err)
		}
		if after := run(t, r, good, ones)[0].Data; !slices.Equal(before, after) {
			t.Errorf("after a failed run: got %v, want %v", after, before)
		}
	}
}

func TestRunErrorOfTheRuntimeIsMarked(t *testing.T) {
	for _, message := range []string{
		"Non-zero status code returned while running MatMul node. Failed to allocate memory for requested buffer of size 68719476736",
		"std::bad_alloc",
		"CUDA failure 2: out of memory ; GPU=0",
		"CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED",
	} {
		if err := runError(message); !errors.Is(err, ErrRuntime) {
			t.Errorf("%s: got an error without ErrRuntime", message)
		}
	}
}

func TestSessionServesManyRunnersAtOnce(t *testing.T) {
	for _, bound := range []bool{false, true} {
		serveMany(t, open(t, "single_label/model.onnx", Options{Threads: 1, Bound: bound}))
	}
}

func serveMany(t *testing.T, s *Session) {
	t.Helper()
	var wg sync.WaitGroup
	for n := range 8 {
		r := s.Runner()
		wg.Go(func() {
			row := []int64{2, int64(10 + n), 3}
			ones := matrix([]int64{1, 1, 1})
			var first []float32
			for range 50 {
				out, err := r.Run([]Input{matrix(row), ones})
				if err != nil {
					t.Error(err)
					return
				}
				if first == nil {
					first = slices.Clone(out[0].Data)
				}
				if !slices.Equal(first, out[0].Data) {
					t.Errorf("runner %d: got %v, want %v as before", n, out[0].Data, first)
				}
			}
		})
	}
	wg.Wait()
}

func TestEnvironmentEndsWithTheLastSession(t *testing.T) {
	for range 2 {
		a, err := Open("testdata/constant/model.onnx", Options{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := Open("testdata/single_label/model.onnx", Options{})
		if err != nil {
			t.Fatal(err)
		}
		other := filepath.Join(t.TempDir(), libraryName)
		if err := os.WriteFile(other, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open("testdata/constant/model.onnx", Options{Library: other}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a second library: got %v, want ErrUnavailable", err)
		}
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
		environment.Lock()
		users := environment.users
		environment.Unlock()
		if users != 0 {
			t.Fatalf("got %d users of the environment, want 0", users)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	folder := t.TempDir()
	broken := filepath.Join(folder, "broken.onnx")
	data, err := os.ReadFile("testdata/single_label/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	notALibrary := filepath.Join(folder, libraryName)
	if err := os.WriteFile(notALibrary, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := "testdata/single_label/model.onnx"
	noGPU := "CUDA needs libonnxruntime_providers_cuda.so"
	if library, err := FindLibrary(""); err == nil {
		if _, err := os.Stat(filepath.Join(filepath.Dir(library), "libonnxruntime_providers_cuda.so")); err == nil {
			noGPU = "CUDA did not start: want a GPU 99"
		}
	}
	for _, c := range []struct {
		name, path string
		options    Options
		want       string
	}{
		{"no file", filepath.Join(folder, "none.onnx"), Options{}, "no such file"},
		{"half a file", broken, Options{}, "it is not a whole ONNX file"},
		{"no such library", good, Options{Library: filepath.Join(folder, "none.so")}, "models.runtime (flag --onnxruntime) is"},
		{"not a library", good, Options{Library: notALibrary}, "want ONNX Runtime 1.24 or later"},
		{"no GPU of that number", good, Options{Device: Device{CUDA: true, Index: 99}}, noGPU},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(c.path, c.options)
			if err == nil {
				s.Close()
				t.Fatal("got no error")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

// One row takes a fixed few allocations and nothing that grows with the text.
func TestRunAllocatesLittle(t *testing.T) {
	r := open(t, "single_label/model.onnx", Options{}).Runner()
	ids := make([]int64, 32)
	in := []Input{{Data: ids, Rows: 1, Columns: 32}, {Data: slices.Repeat([]int64{1}, 32), Rows: 1, Columns: 32}}
	run(t, r, in...)
	if got := testing.AllocsPerRun(100, func() { run(t, r, in...) }); got > 30 {
		t.Errorf("got %v allocations a run, want at most 30", got)
	}
	runtime.KeepAlive(ids)
}

func BenchmarkRunOverhead(b *testing.B) {
	r := open(b, "constant/model.onnx", Options{}).Runner()
	in := []Input{matrix([]int64{2, 5, 3}), matrix([]int64{1, 1, 1})}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Run(in); err != nil {
			b.Fatal(err)
		}
	}
}
