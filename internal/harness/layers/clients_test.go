package layers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const clientLibrary = "github.com/twmb/franz-go/pkg/kgo"

// bypasses are the client library's own ways to a client, to a cluster, and past our bound on what a batch may hold.
var bypasses = []string{
	"NewClient", "NewGroupTransactSession", "SeedBrokers", "Dialer", "DialTLS", "DialTLSConfig", "DialTimeout", "SASL",
	"WithDecompressor", "MaxDecompressBatchBytes", "DefaultDecompressor",
}

// makesClients is the folder that makes them. Nobody else does, tests and what only they use included: a cluster that wants credentials
// wants them of each.
const makesClients = "kafka"

func TestEveryKafkaClientIsMadeOfAConnection(t *testing.T) {
	root, files := filepath.Join("..", "..", ".."), 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(relative)
		if entry.IsDir() {
			hidden := strings.HasPrefix(entry.Name(), ".") && folder != "."
			if hidden || folder == makesClients || entry.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		files++
		found, err := bypassesIn(path, nil)
		for _, use := range found {
			t.Errorf("%s: make the client by Client or Session of a %s.Connection, which says how the cluster is reached, and bounds what a batch may hold", use, makesClients)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 400 {
		t.Errorf("looked at %d files: this test shows nothing", files)
	}
}

func TestClientsThatAreMadeInAnotherWayAreFound(t *testing.T) {
	for source, want := range map[string]int{
		"import \"" + clientLibrary + "\"\nvar c, _ = kgo.NewClient()":                              1,
		"import k \"" + clientLibrary + "\"\nvar open = k.NewGroupTransactSession":                  1,
		"import \"" + clientLibrary + "\"\nvar o = kgo.SeedBrokers(\"k1:9092\")":                    1,
		"import \"" + clientLibrary + "\"\nvar o = kgo.ConsumeTopics(\"t\")":                        0,
		"import \"" + clientLibrary + "\"\nvar dial = []any{kgo.Dialer, kgo.SASL}":                  2,
		"import \"nearline/kafka\"\nvar c, _ = kafka.Connection{}.Client()":                         0,
		"import kgo \"nearline/kafka\"\nvar c, _ = kgo.NewClient()":                                 0,
		"import \"" + clientLibrary + "\"\nvar o = kgo.WithDecompressor(kgo.DefaultDecompressor())": 2,
	} {
		if found, err := bypassesIn("made-up.go", "package p\n"+source); err != nil || len(found) != want {
			t.Errorf("%s\ngot %v, %v: want %d", source, found, err, want)
		}
	}
}

// bypassesIn are the places of a file that go round a connection. Source is its text; nil reads it.
func bypassesIn(path string, source any) (found []string, err error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	name := ""
	for _, imported := range file.Imports {
		if strings.Trim(imported.Path.Value, `"`) == clientLibrary {
			name = "kgo"
			if imported.Name != nil {
				name = imported.Name.Name
			}
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		selected, ok := node.(*ast.SelectorExpr)
		if !ok || name == "" {
			return true
		}
		if of, ok := selected.X.(*ast.Ident); ok && of.Name == name && slices.Contains(bypasses, selected.Sel.Name) {
			found = append(found, fmt.Sprintf("%s uses %s.%s", files.Position(node.Pos()), name, selected.Sel.Name))
		}
		return true
	})
	return found, nil
}
