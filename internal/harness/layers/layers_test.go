package layers

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestImportsPointOneWay(t *testing.T) {
	// Files behind build tags are packages too: cgo on and off, the stores of clouds in and out, and the tests in virtual time.
	packages := slices.Concat(list(t, "CGO_ENABLED=1", "synctests"), list(t, "CGO_ENABLED=0", "synctests"), list(t, "CGO_ENABLED=1", "synctests,nocloud"))
	if !slices.ContainsFunc(packages, func(p imports) bool { return p.path == "pipeline" }) {
		t.Fatalf("go list found %d packages, and not the heart among them", len(packages))
	}
	for _, violation := range violations(packages) {
		t.Error(violation)
	}
}

// The tag is there for the binary's size. gRPC itself is none of them: the online API may speak it.
func TestNocloudLeavesTheCloudsClientsOut(t *testing.T) {
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags=nocloud", module+"/cmd/nearline")
	command.Dir = "../../.."
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, module+"/features/dynamodb") {
		t.Fatalf("go list found %d packages, and not that of a store's configuration among them", len(deps))
	}
	for _, path := range []string{"github.com/aws", "cloud.google.com/go", "github.com/googleapis", "google.golang.org/api"} {
		if i := slices.IndexFunc(deps, func(dep string) bool { return below(dep, path) }); i >= 0 {
			t.Errorf("%s is in it", deps[i])
		}
	}
}

func TestEveryFolderInTheRulesIsNamedOnce(t *testing.T) {
	known := map[string]bool{everything: true}
	for _, l := range layers {
		if known[l.folder] {
			t.Errorf("%s has two lines", l.folder)
		}
		known[l.folder] = true
		if l.why == "" {
			t.Errorf("%s has no reason", l.folder)
		}
	}
	for _, l := range layers {
		for _, may := range l.may {
			if !known[may] {
				t.Errorf("%s may import %s, which has no line", l.folder, may)
			}
		}
	}
}

func TestViolationsAreFound(t *testing.T) {
	for _, c := range []struct {
		name string
		pkg  imports
		want string // part of the only violation; "" for none
	}{
		{"the heart knows nobody",
			imports{path: "pipeline", code: []string{"nearline/batching"}}, "pipeline imports nearline/batching: the heart"},
		{"not even in tests",
			imports{path: "pipeline", tests: []string{"nearline/consumers"}}, "pipeline imports nearline/consumers in a test"},
		{"the scheduler knows nobody",
			imports{path: "batching", code: []string{"nearline/pipeline"}}, "batching imports nearline/pipeline"},
		{"a room knows the heart",
			imports{path: "consumers", code: []string{"context", "nearline/pipeline", "github.com/twmb/franz-go/pkg/kgo"}}, ""},
		{"siblings stay apart",
			imports{path: "consumers", code: []string{"nearline/schemas"}}, "consumers imports nearline/schemas: a room"},
		{"a room may be divided",
			imports{path: "schemas", code: []string{"nearline/schemas/avro"}}, ""},
		{"and its parts are ruled as the room is",
			imports{path: "schemas/avro", code: []string{"nearline/producers"}}, "schemas/avro imports nearline/producers"},
		{"a prefix is no folder",
			imports{path: "schemas", code: []string{"nearline/schemasx"}}, "schemas imports nearline/schemasx"},
		{"models use their parts",
			imports{path: "models", code: []string{"nearline/models/onnx", "nearline/batching"}}, ""},
		{"which do not use models",
			imports{path: "models/onnx", code: []string{"nearline/models"}}, "models/onnx imports nearline/models: sessions"},
		{"nor each other",
			imports{path: "models/onnx", code: []string{"nearline/models/tokenizer"}}, "models/onnx imports nearline/models/tokenizer"},
		{"the online API does not see the models",
			imports{path: "serving/rest", code: []string{"nearline/models"}}, "serving/rest imports nearline/models"},
		{"but may speak gRPC",
			imports{path: "serving", code: []string{"google.golang.org/grpc"}}, ""},
		{"which a store over TCP does not",
			imports{path: "features/redis", code: []string{"google.golang.org/grpc/codes"}}, "features/redis imports google.golang.org/grpc/codes: only the online API"},
		{"nor has the online API a cloud's client",
			imports{path: "serving", code: []string{"cloud.google.com/go/bigtable"}}, "serving imports cloud.google.com/go/bigtable"},
		{"one place for the runtime",
			imports{path: "models", code: []string{"github.com/yalue/onnxruntime_go"}}, "models imports github.com/yalue/onnxruntime_go"},
		{"one place for cgo",
			imports{path: "models/tokenizer", code: []string{"C"}}, "models/tokenizer imports C: the only cgo"},
		{"the client belongs to the member",
			imports{path: "producers", code: []string{"github.com/twmb/franz-go/pkg/kgo"}}, "producers imports github.com/twmb/franz-go/pkg/kgo"},
		{"a test may use any library",
			imports{path: "producers", tests: []string{"github.com/twmb/franz-go/pkg/kfake", "testing"}}, ""},
		{"and the fake cluster",
			imports{path: "consumers", tests: []string{"nearline/internal/harness/kafkatest"}}, ""},
		{"which code must not",
			imports{path: "consumers", code: []string{"nearline/internal/harness/kafkatest"}}, "consumers imports nearline/internal/harness/kafkatest"},
		{"cmd sees all",
			imports{path: "cmd/nearline", code: []string{"nearline/models", "nearline/consumers", "nearline/internal/dev"}}, ""},
		{"but for what only tests use",
			imports{path: "cmd/nearline", code: []string{"nearline/internal/harness/bench"}}, "cmd/nearline imports nearline/internal/harness/bench"},
		{"which may use all of it",
			imports{path: "internal/harness/bench", code: []string{"nearline/internal/service", "nearline/internal/harness/hostile"}}, ""},
		{"a package without a layer",
			imports{path: "misc"}, "misc is in no layer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := violations([]imports{c.pkg})
			switch {
			case c.want == "" && len(got) != 0:
				t.Errorf("got %q, want none", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
				t.Errorf("got %q, want one with %q", got, c.want)
			}
		})
	}
}

// list asks the go command what every package of the module imports.
func list(t *testing.T, env, tags string) []imports {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-e", "-tags="+tags,
		"-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	command.Dir = "../../.."
	command.Env = append(os.Environ(), env)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []imports
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("read the list: %v", err)
		}
		packages = append(packages, imports{
			path:  strings.TrimPrefix(p.ImportPath, module+"/"),
			code:  p.Imports,
			tests: append(p.TestImports, p.XTestImports...),
		})
	}
}
