package folder

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"nearline/models/tasks"
)

// sentence is what a folder of sentence-transformers (as of 6.2, and the older forms that it reads) says beside the graph:
// how token vectors become a text's vector, how long texts may be, and what is put before them.
type sentence struct {
	present     bool // there is a modules.json
	vector      tasks.Vector
	unsupported string // a module that is not done here, and what to do about it
	maxTokens   int    // 0 when it is not said
	prompts     map[string]*string
	prompt      string // the name of the one that is used by default
}

// readSentence reads modules.json and the files that it leads to. A folder without one is no folder of sentence-transformers.
func readSentence(folder string) (sentence, error) {
	var s sentence
	modules, err := readModules(folder)
	if err != nil || modules == nil {
		return s, err
	}
	s.present = true
	for _, m := range modules {
		// sentence_transformers.models.Pooling, or since version 6 sentence_transformers.sentence_transformer.modules.pooling.Pooling.
		switch m.Type[strings.LastIndexByte(m.Type, '.')+1:] {
		case "Transformer":
			err = s.readTransformer(folder, m.Path)
		case "Pooling":
			err = s.readPooling(filepath.Join(folder, m.Path, "config.json"))
		case "Normalize":
			yes := true
			s.vector.Normalize = &yes
		case "Dropout": // is for training
		default:
			s.unsupported = fmt.Sprintf("modules.json has a module %s (%s), which is not supported outside of the graph: want an export with "+
				"all modules inside, whose output sentence_embedding has one vector for each text", m.Type, path.Join(m.Path, "config.json"))
		}
		if err != nil {
			return s, err
		}
	}
	var config struct {
		Prompts map[string]*string `json:"prompts"`
		Default *string            `json:"default_prompt_name"`
	}
	if err := readJSON(filepath.Join(folder, "config_sentence_transformers.json"), &config); err != nil {
		return s, err
	}
	s.prompts = config.Prompts
	if config.Default != nil {
		s.prompt = *config.Default
	}
	return s, nil
}

// sentenceModule is an entry of modules.json.
type sentenceModule struct {
	Path string `json:"path"`
	Type string `json:"type"`
}

// readModules returns nil when there is no modules.json.
func readModules(folder string) ([]sentenceModule, error) {
	file := filepath.Join(folder, "modules.json")
	var modules []sentenceModule
	if err := readJSON(file, &modules); err != nil {
		return nil, err
	}
	for i, m := range modules {
		if m.Path != "" && !filepath.IsLocal(filepath.FromSlash(m.Path)) {
			return nil, fmt.Errorf("%s: [%d].path is %q: want a path below the folder, such as 1_Pooling", file, i, m.Path)
		}
	}
	return modules, nil
}

// transformerFiles are the names that the settings of the first module may have.
var transformerFiles = []string{
	"sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json", "sentence_camembert_config.json",
	"sentence_albert_config.json", "sentence_xlm-roberta_config.json", "sentence_xlnet_config.json",
}

func (s *sentence) readTransformer(folder, below string) error {
	for _, name := range transformerFiles {
		file := filepath.Join(folder, below, name)
		if _, err := os.Stat(file); err != nil {
			continue
		}
		var config struct {
			MaxTokens *int `json:"max_seq_length"`
			LowerCase bool `json:"do_lower_case"`
		}
		if err := readJSON(file, &config); err != nil {
			return err
		}
		if config.MaxTokens != nil {
			s.maxTokens = max(0, *config.MaxTokens)
		}
		if !config.LowerCase {
			return nil
		}
		return wantLowerCase(folder, name)
	}
	return nil
}

// wantLowerCase refuses texts that are to be in lower case, unless tokenizer.json sees to it.
func wantLowerCase(folder, says string) error {
	var tokenizer struct {
		Normalizer json.RawMessage `json:"normalizer"`
	}
	if err := readJSON(filepath.Join(folder, "tokenizer.json"), &tokenizer); err != nil {
		return err
	}
	var lowers func(raw json.RawMessage) bool
	lowers = func(raw json.RawMessage) bool {
		var n struct {
			Type        string            `json:"type"`
			Lowercase   bool              `json:"lowercase"`
			Normalizers []json.RawMessage `json:"normalizers"`
		}
		if json.Unmarshal(raw, &n) != nil {
			return false
		}
		return n.Type == "Lowercase" || n.Lowercase || slices.ContainsFunc(n.Normalizers, lowers)
	}
	if !lowers(tokenizer.Normalizer) {
		return fmt.Errorf("%s has do_lower_case true, and the normalizer of tokenizer.json does not: want a tokenizer.json with a Lowercase "+
			"normalizer in front (as sentence-transformers saves it), or do_lower_case false", filepath.Join(folder, says))
	}
	return nil
}

// legacyPoolings are the flags of older files, in the order in which their vectors are joined.
var legacyPoolings = []struct {
	flag    string
	pooling tasks.Pooling
}{
	{"pooling_mode_cls_token", tasks.CLS},
	{"pooling_mode_max_tokens", tasks.Max},
	{"pooling_mode_mean_tokens", tasks.Mean},
	{"pooling_mode_mean_sqrt_len_tokens", tasks.MeanSqrtLen},
	{"pooling_mode_weightedmean_tokens", tasks.WeightedMean},
	{"pooling_mode_lasttoken", tasks.LastToken},
}

// readPooling reads either form: flags, or a pooling_mode that is a name or a list of names.
func (s *sentence) readPooling(file string) error {
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("modules.json names a pooling: %w", err)
	}
	keys := map[string]json.RawMessage{}
	if err := readJSON(file, &keys); err != nil {
		return err
	}
	problem := func(key, want string) error {
		return fmt.Errorf("%s: %s is %s: want %s", file, key, keys[key], want)
	}
	if raw, ok := keys["include_prompt"]; ok {
		var include bool
		if json.Unmarshal(raw, &include) != nil {
			return problem("include_prompt", "true or false")
		}
		s.vector.IncludePrompt = &include
	}
	if raw, ok := keys["pooling_mode"]; ok {
		var one tasks.Pooling
		if json.Unmarshal(raw, &one) == nil {
			s.vector.Pooling = tasks.Poolings{one}
		} else if json.Unmarshal(raw, &s.vector.Pooling) != nil || len(s.vector.Pooling) == 0 {
			return problem("pooling_mode", "a name such as mean, or a list of names")
		}
		return nil
	}
	known := map[string]bool{}
	for _, legacy := range legacyPoolings {
		var on bool
		if raw, ok := keys[legacy.flag]; ok && json.Unmarshal(raw, &on) != nil {
			return problem(legacy.flag, "true or false")
		}
		if on {
			s.vector.Pooling = append(s.vector.Pooling, legacy.pooling)
		}
		known[legacy.flag] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if strings.HasPrefix(key, "pooling_mode_") && !known[key] && string(keys[key]) != "false" {
			return problem(key, "false: this pooling is not known here; choose another in nearline.yaml only if the model was trained with it")
		}
	}
	if len(s.vector.Pooling) == 0 {
		s.vector.Pooling = tasks.Poolings{tasks.Mean} // as sentence-transformers takes files that say nothing
	}
	return nil
}

// promptText is what is put before every text: what nearline.yaml says, or the default of sentence-transformers, or nothing.
func (s sentence) promptText(m manifest) (string, error) {
	name, key := s.prompt, "config_sentence_transformers.json: default_prompt_name"
	switch {
	case m.Prompt != "":
		return m.Prompt, nil
	case m.PromptName != "":
		name, key = m.PromptName, "prompt_name"
	case name == "":
		return "", nil
	}
	text, ok := s.prompts[name]
	if !ok {
		return "", fmt.Errorf("%s is %q: config_sentence_transformers.json has no such prompt, want %s", key, name, oneOf(slices.Sorted(maps.Keys(s.prompts))))
	}
	if text == nil {
		return "", nil
	}
	return *text, nil
}
