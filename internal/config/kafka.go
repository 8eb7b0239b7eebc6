package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"

	regular "nearline/internal/files"
	"nearline/internal/veil"
	"nearline/kafka"
)

// LoadKafka reads how a cluster is reached, and as whom, from a regular file: a configuration, or its section kafka alone. It is for commands that need
// nothing else of one, so the other sections may be anything, or missing. The error is as of Load.
func LoadKafka(path string) (kafka.Config, *veil.Veil, error) {
	data, err := regular.ReadText(path, maxBytes)
	if err != nil {
		return kafka.Config{}, nil, fmt.Errorf("read how the cluster is reached: %w", err)
	}
	d, section := newDecoder(path), Default().Kafka
	wanted := "a mapping with the key kafka, as a configuration has it"
	body := d.body(data)
	switch {
	case body == nil && len(d.problems) == 0:
		d.add(0, "", "the file is empty: want "+wanted)
	case body != nil && !d.section("kafka", body, wanted, reflect.ValueOf(&section).Elem()) && len(d.problems) == 0:
		d.add(lineOf(body), "", "there is no key kafka: want "+wanted)
	}
	hides := d.texts.veil()
	section.Brokers = eachOf(section.Brokers)
	for _, file := range section.Paths() {
		*file = beside(filepath.Dir(path), *file)
	}
	if len(d.problems) == 0 || len(d.lines) > 0 {
		d.locate(section.Validate("kafka"))
	}
	if err := d.join(); err != nil {
		return kafka.Config{}, nil, err
	}
	return section.Config, hides, nil
}

// section decodes one key of a document, and no other. It says whether there is such a key.
func (d *decoder) section(key string, body ast.Node, wanted string, into reflect.Value) bool {
	pairs, _ := d.pairs("", body, wanted)
	for _, p := range pairs {
		if p.key == key {
			d.lines[key] = p.line
			d.value(key, p.value, into)
			d.end()
			return true
		}
	}
	return false
}

// eachOf the brokers: one text may have several, with commas, as everywhere on Kafka.
func eachOf(brokers []string) (all []string) {
	for _, listed := range brokers {
		for broker := range strings.SplitSeq(listed, ",") {
			all = append(all, strings.TrimSpace(broker))
		}
	}
	return all
}
