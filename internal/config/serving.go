package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"

	regular "nearline/internal/files"
	"nearline/serving"
)

// LoadServing reads where a service listens, and with which certificate, from the regular file of its configuration. It is for probes of a service that
// runs: files that it names may be changing, and other sections may have been changed for its next start, so neither is looked at. An error is as of Load.
func LoadServing(path string) (serving.Config, error) {
	data, err := regular.ReadText(path, maxBytes)
	if err != nil {
		return serving.Config{}, fmt.Errorf("read where the service listens: %w", err)
	}
	d, section := newDecoder(path), Default().Serving
	if body := d.body(data); body != nil {
		d.section("serving", body, "a mapping, as a configuration is one", reflect.ValueOf(&section).Elem())
	}
	d.problems = slices.DeleteFunc(d.problems, func(p *Problem) bool {
		return isUnder(p.Path, "serving.tokens") || isUnder(p.Path, "serving.admin_tokens") // whose files may be empty for a moment
	})
	if err := d.join(); err != nil {
		return serving.Config{}, err
	}
	if section.TLS != nil {
		for _, file := range section.TLS.Paths() {
			*file = beside(filepath.Dir(path), *file)
		}
	}
	return section, nil
}
