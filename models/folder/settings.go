package folder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"nearline/internal/files"
	"nearline/models/onnx"
)

// settings is what we read of config.json and tokenizer_config.json of a Hugging Face export.
type settings struct {
	ModelType      string           `json:"model_type"`
	TokenizerClass string           `json:"tokenizer_class"`
	Architectures  []string         `json:"architectures"`
	ID2Label       map[string]label `json:"id2label"`
	NumLabels      int              `json:"num_labels"`
	ProblemType    string           `json:"problem_type"`
	Positions      int              `json:"max_position_embeddings"` // for tokens: without those that are for padding
	PositionsGPT   int              `json:"n_positions"`             // the same, of other models
	Biased         *bool            `json:"position_biased_input"`   // DeBERTa's
	VocabSize      int64            `json:"vocab_size"`
	PadTokenID     *int64           `json:"pad_token_id"`
	tokensStated   int              // model_max_length
	first          int64            // position of the first token
	relative       bool             // positions are relative: there is no last one
	fixed          bool             // Positions is what the graph takes, no more and no less

	sentence sentence
}

// ReadSettings reads config.json, tokenizer_config.json and the files of sentence-transformers, where they are.
func ReadSettings(folder string) (Settings, error) {
	var s settings
	if err := readJSON(placed(folder, "config.json"), &s); err != nil {
		return s, err
	}
	var err error
	if s.sentence, err = readSentence(folder); err != nil {
		return s, err
	}
	var t struct {
		// A tokenizer that has no limit says 1e30.
		ModelMaxLength float64 `json:"model_max_length"`
	}
	if err := readJSON(placed(folder, "tokenizer_config.json"), &t); err != nil {
		return s, err
	}
	if t.ModelMaxLength >= 1 && t.ModelMaxLength <= 1<<20 {
		s.tokensStated = int(t.ModelMaxLength)
	}
	s.place()
	return s, nil
}

// label is a name in id2label. Some trainers write the numbers that their data had.
type label string

func (l *label) UnmarshalJSON(data []byte) error {
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string, json.Number, bool:
		*l = label(fmt.Sprint(v))
		return nil
	}
	return fmt.Errorf("id2label has %s: want names", data)
}

// shifted are the model types, beside the RoBERTas, that count positions from the one after padding_idx, as fairseq did.
var shifted = []string{"camembert", "mpnet", "longformer", "data2vec-text", "ibert", "luke", "xmod"}

// place works out which positions tokens may have.
func (s *settings) place() {
	if s.Positions == 0 {
		s.Positions = s.PositionsGPT
	}
	// DeBERTa's published models have no table of positions; their distances are clamped.
	s.relative = strings.HasPrefix(s.ModelType, "deberta") && s.Biased != nil && !*s.Biased
	if !strings.Contains(s.ModelType, "roberta") && !slices.Contains(shifted, s.ModelType) {
		return
	}
	s.first = 2 // padding_idx is 1 unless something else is said
	if p := s.PadTokenID; p != nil && *p >= 0 && *p < 1<<16 && s.ModelType != "mpnet" {
		s.first = *p + 1
	}
	if s.Positions > 0 {
		s.Positions = max(1, s.Positions-int(s.first))
	}
}

// padID is what rows are padded with: what the model takes for padding, or else what the tokenizer does. Some graphs find
// the last token, or count positions, by it.
func (s *settings) padID(tokenizers int64) int64 {
	if p := s.PadTokenID; p != nil && *p >= 0 && (s.VocabSize == 0 || *p < s.VocabSize) {
		return *p
	}
	return tokenizers
}

// fix heeds how many tokens the graph takes, where that is fixed.
func (s *settings) fix(inputs []onnx.Info) {
	for _, i := range inputs {
		if len(i.Shape) != 2 || i.Shape[1] < 1 {
			continue
		}
		if n := int(i.Shape[1]); s.Positions == 0 || s.relative || n < s.Positions {
			s.Positions, s.relative, s.fixed = n, false, true
		}
	}
}

// labels of the logits in their order; nil when the ids are not 0, 1, 2 and so on. A config.json without id2label is of a
// model that was trained with transformers' own names, and transformers leaves them out.
func (s *settings) labels() []string {
	if s.ID2Label == nil && s.ModelType != "" {
		n := 2
		if s.NumLabels > 0 && s.NumLabels < 1<<16 {
			n = s.NumLabels
		}
		var labels []string
		for i := range n {
			labels = append(labels, "LABEL_"+strconv.Itoa(i))
		}
		return labels
	}
	labels := make([]string, len(s.ID2Label))
	for id, label := range s.ID2Label {
		n, err := strconv.Atoi(id)
		if err != nil || n < 0 || n >= len(labels) {
			return nil
		}
		labels[n] = string(label)
	}
	return labels
}

// maxTokens decides how long texts may be: what nearline.yaml says, or max_seq_length of sentence-transformers, or
// model_max_length, or what tokenizer.json truncates to, or the positions that the model has, or 512; never past those
// positions, unless they are relative.
//
// from is the file and key that said so.
func maxTokens(m manifest, s settings, truncation int) (limit int, from string, err error) {
	if m.MaxTokens > 0 {
		if s.Positions > 0 && m.MaxTokens > s.Positions && !s.relative {
			return 0, "", fmt.Errorf("max_tokens is %d: the model has positions for %d (config.json, or the graph), want at most that", m.MaxTokens, s.Positions)
		}
		return m.MaxTokens, "nearline.yaml, max_tokens", nil
	}
	limit, from = 512, "nobody: the default"
	table := "config.json, max_position_embeddings"
	if s.fixed {
		table = "the graph, which takes no more and no less"
	}
	for _, said := range []struct {
		limit int
		by    string
	}{
		{s.sentence.maxTokens, "sentence_bert_config.json, max_seq_length"},
		{s.tokensStated, "tokenizer_config.json, model_max_length"},
		{truncation, "tokenizer.json, truncation"},
		{s.Positions, table},
	} {
		if said.limit > 0 {
			limit, from = said.limit, said.by
			break
		}
	}
	if s.Positions > 0 && !s.relative && s.Positions < limit {
		limit, from = s.Positions, table
	}
	return limit, from, nil
}

func readJSON(path string, into any) error {
	data, err := files.ReadText(path, maxSettingsBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
