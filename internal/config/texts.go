package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"nearline/columns"
	"nearline/consumers"
	"nearline/features"
	"nearline/internal/secret"
	"nearline/internal/veil"
	"nearline/pipeline"
	"nearline/producers"
	"nearline/schemas"
	"nearline/serving"
)

// reading is a text at a path, and what is written in its place: a variable's value and the reference to it, or all of a scalar.
type reading struct{ path, value, written string }

// texts remember what scalars stand for, so that messages show what is written.
type texts struct {
	held    []reading // from the environment, and from files
	whole   []reading // scalars with something of those in them
	secrets []secret.Text
	names   []secret.Text // in files: messages show them
	literal map[string]bool
	hides   *veil.Veil
}

func (t *texts) note(path, text, written string, held []reading) {
	if len(held) == 0 {
		t.literal[text] = true
		return
	}
	t.held = append(t.held, held...)
	t.whole = append(t.whole, reading{path, text, written})
}

// variables are the paths of texts that came from the environment or from files, nil where none did.
func (t *texts) variables() map[string]bool {
	var paths map[string]bool
	for _, w := range t.whole {
		if paths == nil {
			paths = make(map[string]bool)
		}
		paths[w.path] = true
	}
	return paths
}

// veil that hides secrets, and what came from the environment or from files; nil where nothing did. A value that stands in the file as well is no
// secret; one that messages are made of, such as kafka, tells nothing, and could not be read any more if it were taken out of them. Nor is the name of a
// user one, which topics and groups may be called by, too.
func (t *texts) veil() *veil.Veil {
	t.hides = nil
	if len(t.held)+len(t.whole)+len(t.secrets) == 0 {
		return nil
	}
	t.hides = veil.New(func(text string) bool { return t.literal[text] || vocabulary()[text] })
	for _, h := range append(slices.Clone(t.held), t.whole...) {
		t.hides.Hide(h.value, h.written)
	}
	for _, s := range t.secrets {
		s.Tell(t.hides.HideLatest)
	}
	return t.hides
}

// show a message about the key at path, which it begins with, as the file has it.
func (t *texts) show(path, message string) string {
	rest, ok := strings.CutPrefix(message, path)
	if !ok {
		path = ""
	}
	for _, w := range t.whole {
		if w.value != "" && path != "" && isUnder(w.path, path) {
			rest = strings.ReplaceAll(rest, strconv.Quote(w.value), strconv.Quote(w.written))
		}
	}
	return path + t.hides.Text(rest)
}

// vocabulary is what messages are made of: all keys, and the words that a value may be.
var vocabulary = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{
		schemas.FormatJSON: true, schemas.FormatAvro: true, producers.HeadersCopy: true, producers.HeadersNone: true, consumers.ClassicProtocol: true,
		consumers.ConsumerProtocol: true, string(pipeline.ExactlyOnce): true, string(pipeline.AtLeastOnce): true, features.SourceTopic: true,
		features.SourceStore: true, features.TypeNumber: true, features.TypeText: true, features.TypeTexts: true, columns.LengthCharacters: true,
		columns.LengthWords: true, columns.LengthItems: true, "cuda": true, "true": true, "false": true, "earliest": true, "latest": true, "nearline": true,
		serving.CertificatesRequired: true,
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem())
		case reflect.Struct:
			if seen[typ] {
				return
			}
			seen[typ] = true
			for field := range typ.Fields() {
				if name, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); field.IsExported() && name != "-" {
					words[name] = true
					walk(field.Type)
				}
			}
		}
	}
	walk(reflect.TypeFor[Config]())
	return words
})
