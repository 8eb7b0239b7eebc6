package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"nearline/internal/config"
)

// The pages that show configurations.
const (
	readme = "README.md"
	guide  = "docs/features.md"
	keys   = "docs/configuration.md"
)

// yamlBlocks of a page, in their order.
func yamlBlocks(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", page))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, match := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1) {
		blocks = append(blocks, string(match[1]))
	}
	if len(blocks) == 0 {
		t.Fatalf("%s shows no configuration", page)
	}
	return blocks
}

func TestConfigurationInTheDocsExplainsEveryKey(t *testing.T) {
	shown := yamlBlocks(t, keys)[0]
	if _, _, err := config.Parse(keys, []byte(shown)); err != nil {
		t.Errorf("the configuration of %s is refused: %v", keys, err)
	}
	full, err := os.ReadFile(filepath.Join("testdata", "good", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// The same lines but for the values that the page shows in another way.
	key := regexp.MustCompile(`(?m)^ *(?:- )?([a-z_]+):`)
	for _, match := range key.FindAllStringSubmatch(string(full), -1) {
		if !strings.Contains(shown, match[1]+":") {
			t.Errorf("%s lacks %s", keys, match[1])
		}
	}
}

// The configuration of the page has one store, and the others as comments in its place.
func TestStoresInTheDocsTakeEachOthersPlace(t *testing.T) {
	shown := yamlBlocks(t, keys)[0]
	first := storeLines(shown, "    redis:\n", "      ")
	if first == "" {
		t.Fatalf("%s has no redis", keys)
	}
	for store := range reflect.TypeFor[config.Store]().Fields() {
		name := store.Tag.Get("yaml")
		if name == "redis" {
			continue
		}
		lines := storeLines(shown, "    # "+name+":\n", "    #   ")
		if lines == "" {
			t.Errorf("%s lacks features.store.%s", keys, name)
			continue
		}
		uncommented := strings.ReplaceAll(strings.Replace(lines, "    # ", "    ", 1), "\n    # ", "\n    ")
		text := strings.Replace(shown, first, uncommented, 1)
		if _, _, err := config.Parse(keys, []byte(text)); err != nil {
			t.Errorf("with %s in place of redis the configuration of %s is refused: %v", name, keys, err)
		}
		field := regexp.MustCompile(`(?m)^      ([a-z_]+):`)
		full, err := os.ReadFile(filepath.Join("testdata", "good", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range field.FindAllStringSubmatch(storeLines(string(full), "    "+name+":\n", "      "), -1) {
			if !strings.Contains(uncommented, "\n      "+match[1]+":") {
				t.Errorf("%s lacks features.store.%s.%s", keys, name, match[1])
			}
		}
	}
}

// storeLines are a line, and those after it that begin as given.
func storeLines(text, line, begin string) string {
	at := strings.Index(text, "\n"+line)
	if at < 0 {
		return ""
	}
	rest := text[at+1:]
	end := len(line)
	for strings.HasPrefix(rest[end:], begin) {
		end += strings.IndexByte(rest[end:], '\n') + 1
	}
	return rest[:end]
}

func TestPipelinesInTheDocsAreAccepted(t *testing.T) {
	for _, page := range []string{readme, guide} {
		for _, block := range yamlBlocks(t, page) {
			if _, _, err := config.Parse(page, []byte("kafka: {brokers: [\"127.0.0.1:9092\"]}\n"+block)); err != nil {
				t.Errorf("%s shows a pipeline that is refused: %v\n%s", page, err, block)
			}
		}
	}
}
