package config_test

import (
	"os"
	"path/filepath"
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
	if _, err := config.Parse("README.md", []byte(shown)); err != nil {
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

func TestPipelinesInTheREADMEAreAccepted(t *testing.T) {
	blocks := yamlBlocks(t)
	for _, block := range blocks[:len(blocks)-1] {
		if _, err := config.Parse("README.md", []byte("kafka: {brokers: [\"127.0.0.1:9092\"]}\n"+block)); err != nil {
			t.Errorf("the README shows a pipeline that is refused: %v\n%s", err, block)
		}
	}
}
