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

// yamlBlocks of the README, in their order.
func yamlBlocks(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, match := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(readme, -1) {
		blocks = append(blocks, string(match[1]))
	}
	return blocks
}

func TestConfigurationInTheREADMEExplainsEveryKey(t *testing.T) {
	blocks := yamlBlocks(t)
	if len(blocks) == 0 {
		t.Fatal("the README shows no configuration")
	}
	shown := blocks[len(blocks)-1]
	if _, _, err := config.Parse("README.md", []byte(shown)); err != nil {
		t.Errorf("the README's configuration is refused: %v", err)
	}
	full, err := os.ReadFile(filepath.Join("testdata", "good", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// The same lines but for the values that the README shows in another way.
	key := regexp.MustCompile(`(?m)^ *(?:- )?([a-z_]+):`)
	for _, match := range key.FindAllStringSubmatch(string(full), -1) {
		if !strings.Contains(shown, match[1]+":") {
			t.Errorf("the README's configuration lacks %s", match[1])
		}
	}
}

// The README's configuration has one store, and the others as comments in its place.
func TestStoresInTheREADMETakeEachOthersPlace(t *testing.T) {
	blocks := yamlBlocks(t)
	shown := blocks[len(blocks)-1]
	first := storeLines(shown, "    redis:\n", "      ")
	if first == "" {
		t.Fatal("the README's configuration has no redis")
	}
	for store := range reflect.TypeFor[config.Store]().Fields() {
		name := store.Tag.Get("yaml")
		if name == "redis" {
			continue
		}
		lines := storeLines(shown, "    # "+name+":\n", "    #   ")
		if lines == "" {
			t.Errorf("the README's configuration lacks features.store.%s", name)
			continue
		}
		uncommented := strings.ReplaceAll(strings.Replace(lines, "    # ", "    ", 1), "\n    # ", "\n    ")
		text := strings.Replace(shown, first, uncommented, 1)
		if _, _, err := config.Parse("README.md", []byte(text)); err != nil {
			t.Errorf("with %s in place of redis the README's configuration is refused: %v", name, err)
		}
		field := regexp.MustCompile(`(?m)^      ([a-z_]+):`)
		full, err := os.ReadFile(filepath.Join("testdata", "good", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range field.FindAllStringSubmatch(storeLines(string(full), "    "+name+":\n", "      "), -1) {
			if !strings.Contains(uncommented, "\n      "+match[1]+":") {
				t.Errorf("the README's configuration lacks features.store.%s.%s", name, match[1])
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

func TestPipelinesInTheREADMEAreAccepted(t *testing.T) {
	blocks := yamlBlocks(t)
	for _, block := range blocks[:len(blocks)-1] {
		if _, _, err := config.Parse("README.md", []byte("kafka: {brokers: [\"127.0.0.1:9092\"]}\n"+block)); err != nil {
			t.Errorf("the README shows a pipeline that is refused: %v\n%s", err, block)
		}
	}
}
