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

// unbounded are the client library's own ways to a client that reads without our bound on what a batch may hold.
var unbounded = []string{"NewClient", "NewGroupTransactSession", "WithDecompressor", "MaxDecompressBatchBytes", "DefaultDecompressor"}

// makesClients is the folder that makes them. What only tests use is left out, too: see forTests.
const makesClients = "kafka"

func TestEveryKafkaClientIsMadeWithABoundOnWhatItDecompresses(t *testing.T) {
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
			if hidden || folder == "e2e" || folder == makesClients || entry.Name() == "testdata" || slices.Contains(forTests, folder) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		found, err := unboundedIn(path, nil)
		for _, use := range found {
			t.Errorf("%s: make the client by Client or Session of a %s.Connection, which bound what a batch may hold", use, makesClients)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("looked at %d files: this test shows nothing", files)
	}
}

func TestClientsWithoutABoundAreFound(t *testing.T) {
	for source, want := range map[string]int{
		"import \"" + clientLibrary + "\"\nvar c, _ = kgo.NewClient()":                              1,
		"import k \"" + clientLibrary + "\"\nvar open = k.NewGroupTransactSession":                  1,
		"import \"" + clientLibrary + "\"\nvar o = kgo.SeedBrokers(\"k1:9092\")":                    0,
		"import \"nearline/kafka/decompress\"\nvar c, _ = decompress.NewClient()":                   0,
		"import kgo \"nearline/kafka/decompress\"\nvar c, _ = kgo.NewClient()":                      0,
		"import \"" + clientLibrary + "\"\nvar o = kgo.WithDecompressor(kgo.DefaultDecompressor())": 2,
	} {
		if found, err := unboundedIn("made-up.go", "package p\n"+source); err != nil || len(found) != want {
			t.Errorf("%s\ngot %v, %v: want %d", source, found, err, want)
		}
	}
}

// unboundedIn are the places of a file that use what is unbounded. Source is its text; nil reads it.
func unboundedIn(path string, source any) (found []string, err error) {
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
		if of, ok := selected.X.(*ast.Ident); ok && of.Name == name && slices.Contains(unbounded, selected.Sel.Name) {
			found = append(found, fmt.Sprintf("%s uses %s.%s", files.Position(node.Pos()), name, selected.Sel.Name))
		}
		return true
	})
	return found, nil
}
