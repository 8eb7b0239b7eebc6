package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"nearline/internal/dev"
	"nearline/pipeline"
)

// review is an event of the built-in schema, as far as a benchmark needs it.
type review struct {
	ID    string `json:"review_id"`
	Title string `json:"title,omitempty"`
	Text  string `json:"text"`
}

// sharedReviews is where product reviews lie beside a checkout that has them. They are read, and never copied.
const sharedReviews = "../shared/data/womens/train.csv.xz"

// reviews returns at least n events as JSON, and says where they are from: the file given, else the shared ones, else
// the sample stream. Fewer than n are repeated.
func reviews(file string, n int) (events [][]byte, source string, err error) {
	switch _, missing := os.Stat(sharedReviews); {
	case file != "":
		events, err = jsonLines(file)
		source = file
	case missing == nil:
		events, err = sharedCSV()
		source = filepath.Base(filepath.Dir(sharedReviews)) + " reviews"
		if errors.Is(err, exec.ErrNotFound) {
			events, source, err = sample(n)
		}
	default:
		events, source, err = sample(n)
	}
	if err != nil {
		return nil, "", err
	}
	if len(events) == 0 {
		return nil, "", fmt.Errorf("%s holds no reviews", source)
	}
	for i := 0; len(events) < n; i++ {
		events = append(events, events[i])
	}
	return events[:n], source, nil
}

func jsonLines(file string) ([][]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reviews to measure with: %w", err)
	}
	defer f.Close()
	return lines(f)
}

func lines(r io.Reader) ([][]byte, error) {
	var events [][]byte
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		if line := bytes.TrimSpace(scanner.Bytes()); len(line) > 0 {
			events = append(events, bytes.Clone(line))
		}
	}
	return events, scanner.Err()
}

func sample(n int) ([][]byte, string, error) {
	var b bytes.Buffer
	if err := dev.WriteSample(&b, n, 1); err != nil {
		return nil, "", err
	}
	events, err := lines(&b)
	return events, "the sample stream", err
}

func sharedCSV() ([][]byte, error) {
	xz, err := exec.LookPath("xz")
	if err != nil {
		return nil, err
	}
	data, err := exec.Command(xz, "-dc", sharedReviews).Output()
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", sharedReviews, err)
	}
	reader := csv.NewReader(bytes.NewReader(data))
	reader.FieldsPerRecord = -1
	reader.LazyQuotes = true
	rows, err := reader.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", sharedReviews, err)
	}
	column := make(map[string]int)
	for i, name := range rows[0] {
		column[name] = i
	}
	var events [][]byte
	for i, row := range rows[1:] {
		r := review{ID: fmt.Sprintf("r%d", i), Title: row[column["Title"]], Text: row[column["Review Text"]]}
		if r.Text == "" {
			continue
		}
		event, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		events = append(events, event)
	}
	return events, nil
}

// texts are what a model would be given of the events. Events that are none are left out.
func texts(decoder pipeline.Decoder, events [][]byte) []string {
	var texts []string
	for _, event := range events {
		if row, fault := decoder.Decode(&pipeline.Record{Value: event}); fault == nil {
			texts = append(texts, row.Text)
		}
	}
	return texts
}
