package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"nearline/internal/secret"
)

// EachSecret calls f for each secret that the configuration has, with the path of its key.
func (c *Config) EachSecret(f func(path string, s secret.Text)) {
	eachSecret("", reflect.ValueOf(c).Elem(), f)
}

func eachSecret(path string, v reflect.Value, f func(path string, s secret.Text)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			eachSecret(path, v.Elem(), f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachSecret(fmt.Sprintf("%s[%d]", path, i), v.Index(i), f)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			eachSecret(join(path, key.String()), v.MapIndex(key), f)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[secret.Name]() { // which is none
			return
		}
		if text, ok := reflect.TypeAssert[secret.Text](v); ok {
			if text != (secret.Text{}) {
				f(path, text)
			}
			return
		}
		for i := range v.NumField() {
			field := v.Type().Field(i)
			name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			switch {
			case !field.IsExported() || name == "-":
			case options == "inline" || field.Anonymous && name == "":
				eachSecret(path, v.Field(i), f)
			case name != "":
				eachSecret(join(path, name), v.Field(i), f)
			}
		}
	}
}

// SecretKeys are the paths of all keys that take a secret, elements of lists as [].
func SecretKeys() []string {
	var keys []string
	var walk func(path string, t reflect.Type, within []reflect.Type)
	walk = func(path string, t reflect.Type, within []reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer:
			walk(path, t.Elem(), within)
		case reflect.Slice:
			walk(path+"[]", t.Elem(), within)
		case reflect.Map:
			walk(path+".*", t.Elem(), within)
		case reflect.Struct:
			if t == reflect.TypeFor[secret.Name]() { // which is none
				return
			}
			if t == reflect.TypeFor[secret.Text]() {
				keys = append(keys, path)
				return
			}
			if slices.Contains(within, t) { // a type that has itself in it
				return
			}
			for field := range t.Fields() {
				name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
				switch {
				case !field.IsExported() || name == "-":
				case options == "inline" || field.Anonymous && name == "":
					walk(path, field.Type, append(within, t))
				case name != "":
					walk(join(path, name), field.Type, append(within, t))
				}
			}
		}
	}
	walk("", reflect.TypeFor[Config](), nil)
	return keys
}
