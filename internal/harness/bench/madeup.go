package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"

	"nearline/models"
	"nearline/models/folder"
	"nearline/models/tokenizer"
	"nearline/schemas"
)

// How long the texts are that are made up, in the model's tokens: as product reviews are (Women's e-commerce reviews have 81
// on average, and a 95th percentile of 135).
const (
	meanTokens   = 81
	spreadTokens = 33 // of a normal distribution with that percentile
	leastTokens  = 6
)

// madeUp are texts of the sample stream's words, of such lengths, and a word on them.
func madeUp(c models.Config, model string, n int) ([]string, string, error) {
	folder, err := folderOf(c, model)
	if err != nil {
		return nil, "", err
	}
	tokens, err := tokenizer.Load(filepath.Join(folder, "tokenizer.json"))
	if err != nil {
		return nil, "", err
	}
	words, err := sampleWords()
	if err != nil {
		return nil, "", err
	}
	around := len(tokens.AppendIDs(nil, "")) // special tokens
	costs := make([]int, len(words))
	for i, word := range words {
		costs[i] = len(tokens.AppendIDs(nil, word)) - around
	}
	rng := rand.New(rand.NewPCG(1, 1))
	texts, lengths, at := make([]string, n), make([]float64, n), 0
	for i := range texts {
		want := max(leastTokens, int(meanTokens+spreadTokens*rng.NormFloat64()))
		var text []string
		for got := around; got < want; at++ {
			text = append(text, words[at%len(words)])
			got += costs[at%len(words)]
		}
		texts[i] = strings.Join(text, " ")
		lengths[i] = float64(len(tokens.AppendIDs(nil, texts[i])))
	}
	sum := 0.0
	for _, l := range lengths {
		sum += l
	}
	return texts, fmt.Sprintf("%d made up, %.0f tokens on average, 95th percentile %.0f", n, sum/float64(n), percentile(lengths, 0.95)), nil
}

// folderOf finds the version of a model that a config would load.
func folderOf(c models.Config, model string) (string, error) {
	versions, err := folder.Versions(c.Repository, model)
	if err != nil {
		return "", err
	}
	return filepath.Join(c.Repository, model, strconv.Itoa(versions[len(versions)-1])), nil
}

// sampleWords are the words of the sample stream, in their order.
func sampleWords() ([]string, error) {
	events, _, err := sample(2000)
	if err != nil {
		return nil, err
	}
	decoder, err := schemas.NewDecoder(schemas.InputConfig{}, schemas.OutputConfig{}, schemas.Wanted{})
	if err != nil {
		return nil, err
	}
	return strings.Fields(strings.Join(texts(decoder, events), " ")), nil
}

// eventOf is a review with the text.
func eventOf(i int, text string) ([]byte, error) {
	return json.Marshal(review{ID: fmt.Sprintf("r%d", i), Text: text})
}
