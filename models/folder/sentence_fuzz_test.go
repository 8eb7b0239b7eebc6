package folder

import (
	"os"
	"path/filepath"
	"testing"

	"nearline/models/tasks"
)

// Whatever the files of sentence-transformers hold, they are read or refused, and what was read is a pooling or refused later.
func FuzzSentenceFiles(f *testing.F) {
	modules := `[{"path":"","type":"sentence_transformers.models.Transformer"},{"path":"1_Pooling","type":"a.Pooling"},{"type":"Normalize"},{"type":"."}]`
	f.Add(modules, `{"pooling_mode_cls_token":true,"pooling_mode_max_tokens":true}`, `{"max_seq_length":null,"do_lower_case":true}`, `{"prompts":{"q":null},"default_prompt_name":"q"}`)
	f.Add(modules, `{"pooling_mode":["mean","cls"],"include_prompt":false}`, `{"max_seq_length":-5}`, `{"prompts":{"q":"query: "},"default_prompt_name":"q"}`)
	f.Add(modules, `{"pooling_mode":null}`, `[]`, `{"default_prompt_name":"none"}`)
	f.Add(`null`, `null`, `null`, `null`)
	f.Add(`[{"path":"/etc"}]`, `{`, `{}`, `{"prompts":[]}`)
	f.Fuzz(func(t *testing.T, modules, pooling, transformer, config string) {
		folder := t.TempDir()
		if err := os.Mkdir(filepath.Join(folder, "1_Pooling"), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{
			"modules.json": modules, "1_Pooling/config.json": pooling, "sentence_bert_config.json": transformer, "config_sentence_transformers.json": config,
		} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := readSentence(folder)
		if err != nil {
			return
		}
		if s.maxTokens < 0 {
			t.Fatalf("got a limit of %d tokens", s.maxTokens)
		}
		if text, err := s.promptText(manifest{}); err != nil && text != "" {
			t.Fatalf("got prompt %q and %v", text, err)
		}
		source := tasks.Source{Model: "m", Outputs: []tasks.Output{{Name: "last_hidden_state", Width: 4, Tokens: true}}, Embedding: true, Vector: s.vector, Unsupported: s.unsupported}
		heads, err := tasks.Resolve(nil, source)
		if err != nil {
			return
		}
		if _, err := heads[0].Column(tasks.Row{Values: make([]float32, 12), Width: 4, Tokens: 3, Prompt: 1}); err != nil {
			t.Fatalf("%+v: %v", heads[0], err)
		}
	})
}
