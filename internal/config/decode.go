package config

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"nearline/features/bigtable"
	"nearline/features/dynamodb"
	"nearline/features/firestore"
	"nearline/features/redis"
	"nearline/internal/certs"
	"nearline/internal/plainyaml"
	"nearline/internal/secret"
	"nearline/internal/spelling"
	"nearline/kafka"
	"nearline/serving"
	"nearline/steps"
)

const (
	// maxDepth of merge keys and aliases that lead to each other. Nobody needs more than two.
	maxDepth = 16
	// maxNested values in each other, and maxValues in all, with those that aliases stand for: a few of these may stand for any number.
	maxNested = 100
	maxValues = 200_000
	// maxListed elements of a list.
	maxListed = 10_000
	// maxProblems that are told.
	maxProblems = 1000
)

// decoder fills structs from a YAML tree, and goes on after a mistake, so that an operator sees all of them at once with
// the line of each. That is why the library's own decoder, which stops at the first, only gets to parse: everything
// below is about keys, lines and messages. Scalars expand ${env:NAME} and ${file:PATH} here, after parsing, so what they stand for
// is never read as YAML.
type decoder struct {
	file string
	// references are where the values of variables and the texts in files come from.
	references references
	// defaults are what a list's element, or what a pointer points to, is filled with before it is read.
	defaults map[reflect.Type]reflect.Value
	anchors  map[string]ast.Node

	problems []*Problem
	// lines are where each path stands, and spoiled the paths whose value could not be read.
	lines   map[string]int
	spoiled map[string]bool
	// texts are what scalars stand for, and what is written of them.
	texts *texts
	// nested values are being read in each other.
	nested int
	budget *budget
}

// budget is what may be read yet, for all decoders of a document. Passed is told at the end: a type that reads itself may try another form after an error.
type budget struct {
	left   int
	passed *Problem
}

func newDecoder(file string) *decoder {
	d := &decoder{
		file:       file,
		references: references{variable: os.LookupEnv, file: fileIn(filepath.Dir(file))},
		defaults: map[reflect.Type]reflect.Value{
			reflect.TypeFor[Pipeline]():         reflect.ValueOf(DefaultPipeline()),
			reflect.TypeFor[redis.Config]():     reflect.ValueOf(redis.DefaultConfig()),
			reflect.TypeFor[dynamodb.Config]():  reflect.ValueOf(dynamodb.DefaultConfig()),
			reflect.TypeFor[bigtable.Config]():  reflect.ValueOf(bigtable.DefaultConfig()),
			reflect.TypeFor[firestore.Config](): reflect.ValueOf(firestore.DefaultConfig()),
			reflect.TypeFor[certs.Config]():     reflect.ValueOf(certs.Config{}),
			reflect.TypeFor[serving.TLS]():      reflect.ValueOf(serving.TLS{ClientCertificates: serving.CertificatesNone}),
		},
		anchors: map[string]ast.Node{},
		lines:   map[string]int{},
		spoiled: map[string]bool{},
		texts:   &texts{literal: map[string]bool{}},
		budget:  &budget{left: maxValues},
	}
	for _, verb := range steps.Defaults() {
		d.defaults[reflect.TypeOf(verb)] = reflect.ValueOf(verb)
	}
	return d
}

// decode reads the only document of data into the struct that target points to.
func (d *decoder) decode(data []byte, target any) {
	body := d.body(data)
	if body == nil {
		return
	}
	d.value("", body, reflect.ValueOf(target).Elem())
	d.end()
}

// end tells whether a bound was passed.
func (d *decoder) end() {
	if p := d.budget.passed; p != nil {
		d.add(p.Line, p.Path, p.Message)
	}
}

// body of the only document of data; nil where there is none, or where something else was found, which is told.
func (d *decoder) body(data []byte) ast.Node {
	file, err := plainyaml.Parse(data)
	if bound, ok := errors.AsType[*plainyaml.BoundError](err); ok {
		d.add(bound.Line, "", bound.Error())
		return nil
	}
	if err != nil {
		d.refuse(err)
		return nil
	}
	var body ast.Node
	for _, document := range file.Docs {
		if document.Body == nil || isComment(document.Body) {
			continue
		}
		if body != nil {
			d.add(lineOf(document.Body), "", "a second document begins here: want one, remove the ---")
			return nil
		}
		body = document.Body
	}
	if body != nil {
		ast.Walk(anchorFinder(d.anchors), body)
	}
	return body
}

// refuse takes an error of the parser apart: its own text draws the source around the place.
func (d *decoder) refuse(err error) {
	syntax, ok := errors.AsType[yaml.Error](err)
	if !ok {
		d.add(0, "", err.Error())
		return
	}
	line := 0
	if token := syntax.GetToken(); token != nil && token.Position != nil {
		line = token.Position.Line
	}
	d.add(line, "", "not YAML: "+syntaxHint(syntax.GetMessage()))
}

// syntaxHint says what to do about what the parser did not understand.
func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "found character '\t'"):
		return "a tab stands at the beginning of this line: YAML is indented by spaces, replace it with some"
	case strings.Contains(message, "not allowed in this context"), strings.Contains(message, "non-map value is specified"),
		strings.Contains(message, "unexpected key name"):
		return message + ": is this line, or the one before it, indented as its neighbours are, and is there a : after each key?"
	case strings.Contains(message, "could not find flow"), strings.Contains(message, "must be specified"), strings.Contains(message, "could not find end character"):
		return message + ": is each [, { and quote closed, and does text with one of these signs stand in quotes?"
	}
	return message
}

func (d *decoder) add(line int, path, message string) {
	if len(d.problems) >= maxProblems {
		return
	}
	d.problems = append(d.problems, &Problem{File: d.file, Line: line, Path: path, Message: told(message)})
	if path != "" {
		d.spoiled[path] = true
	}
}

// value reads node into v, which is addressable and holds the default. A null leaves it, but where there is a choice that has defaults of its own:
// there nothing would be chosen; and where somebody would be let in whom a value keeps out.
func (d *decoder) value(path string, node ast.Node, v reflect.Value) {
	if !d.spend(node) {
		return
	}
	d.nested++
	defer func() { d.nested-- }()
	if d.nested > maxNested {
		d.pass(node, path, fmt.Sprintf("%.60s... nests deeper than %d: want fewer in each other; does an alias lead back to itself?", path, maxNested))
		return
	}
	if _, known := d.lines[path]; !known && path != "" {
		d.lines[path] = lineOf(node)
	}
	node, err := d.resolve(node)
	if err != nil {
		d.add(lineOf(node), path, fmt.Sprintf("%s: %v", path, err))
		return
	}
	if node.Type() == ast.NullType {
		switch {
		case v.Type() == reflect.TypeFor[[]secret.Text](): // a list whose entries are all comments would let everybody in
			d.add(lineOf(node), path, path+" is empty: want [] for none, or a list such as [${file:/run/secrets/NAME}]")
		case v.Type() == reflect.TypeFor[*kafka.SASL]():
			d.add(lineOf(node), path, path+" is empty: want keys in it, or no such key")
		case v.Kind() != reflect.Pointer || !d.defaults[v.Type().Elem()].IsValid():
		case d.mayBeEmpty(v.Type().Elem()):
			d.add(lineOf(node), path, path+" is empty: want {} for its defaults, or no such key")
		default:
			d.add(lineOf(node), path, path+" is empty: want keys in it, or no such key")
		}
		return
	}
	switch target := v.Addr().Interface().(type) {
	case interface{ UnmarshalYAML(func(any) error) error }:
		for _, err := range flatten(target.UnmarshalYAML(func(inner any) error { return d.try(path, node, inner) })) {
			if p, ok := errors.AsType[*Problem](err); ok { // it has its own place
				d.add(p.Line, p.Path, p.Message)
				continue
			}
			d.add(lineOf(node), path, fmt.Sprintf("%s: %v", path, err))
		}
		return
	case *secret.Text:
		d.secret(path, node, target, true)
		return
	case *secret.Name:
		d.secret(path, node, &target.Text, false)
		return
	case encoding.TextUnmarshaler:
		d.scalar(path, node, false, func(text string) error {
			if err := target.UnmarshalText([]byte(text)); err != nil {
				return &remedy{err.Error(), true}
			}
			return nil
		})
		return
	case *time.Duration:
		d.scalar(path, node, false, func(text string) (err error) {
			if *target, err = time.ParseDuration(text); err != nil {
				return want("a duration such as 500ms, 10s or 2m")
			}
			return nil
		})
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
			d.setDefault(v.Elem())
		}
		d.value(path, node, v.Elem())
	case reflect.Struct:
		d.structure(path, node, v)
	case reflect.Slice:
		d.list(path, node, v)
	case reflect.Map:
		d.mapping(path, node, v)
	default:
		d.scalar(path, node, v.Kind() == reflect.String, func(text string) error { return setScalar(v, text) })
	}
}

// spend one of the values that may be read; with none left nothing is read any more, and that is told once.
func (d *decoder) spend(node ast.Node) bool {
	if d.budget.passed != nil {
		return false
	}
	if d.budget.left--; d.budget.left == 0 {
		d.pass(node, "", fmt.Sprintf("there are more than %d values, with those that aliases stand for: want fewer, or a smaller file", maxValues))
	}
	return d.budget.passed == nil
}

// pass a bound: nothing is read any more.
func (d *decoder) pass(node ast.Node, path, message string) {
	d.budget.passed = &Problem{Line: lineOf(node), Path: path, Message: message}
}

// try reads node into what inner points to, for a type that reads itself, and keeps the problems out of the list.
func (d *decoder) try(path string, node ast.Node, inner any) error {
	own := *d
	own.problems, own.spoiled = nil, map[string]bool{}
	own.value(path, node, reflect.ValueOf(inner).Elem())
	var errs []error
	for _, p := range own.problems {
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

func (d *decoder) setDefault(v reflect.Value) {
	if value, ok := d.defaults[v.Type()]; ok {
		v.Set(value)
	}
}

// mayBeEmpty says that {} is enough for a choice with defaults. A server has no certificate by default.
func (d *decoder) mayBeEmpty(t reflect.Type) bool {
	return d.defaults[t].IsValid() && t != reflect.TypeFor[serving.TLS]()
}

func (d *decoder) structure(path string, node ast.Node, v reflect.Value) {
	fields := map[string]reflect.Value{}
	var names []string
	collectFields(v, fields, &names)
	wanted := "a mapping of " + strings.Join(names, ", ")
	if d.mayBeEmpty(v.Type()) && !strings.HasSuffix(path, "]") { // none of a list can do without
		switch text, _ := scalarText(node); text {
		case "true": // as tls: true was once written
			wanted = "{} in its place, for its defaults, or " + wanted
		case "false":
			wanted = "no such key, or " + wanted
		default:
			wanted += ", or {} for its defaults"
		}
	}
	pairs, ok := d.pairs(path, node, wanted)
	if !ok {
		return
	}
	for _, p := range pairs {
		field, known := fields[p.key]
		switch {
		case known:
			d.lines[join(path, p.key)] = p.line
			d.value(join(path, p.key), p.value, field)
		case path == "" && strings.HasPrefix(p.key, "x-"):
			// A place for anchors, as Compose files have it.
		default:
			d.unknown(path, p, names)
		}
	}
}

// unknown reports a key that there is not, with the one that was meant if that can be guessed.
func (d *decoder) unknown(path string, p pair, names []string) {
	full := join(path, p.key)
	if remedy, ok := planned[unindexed(full)]; ok {
		d.add(p.line, full, fmt.Sprintf("%s is not supported yet: %s", full, remedy))
		return
	}
	if meant := spelling.Nearest(p.key, names); meant != "" {
		d.spoiled[join(path, meant)] = true
		d.add(p.line, full, fmt.Sprintf("%s is not a key: did you mean %s?", full, meant))
		return
	}
	d.add(p.line, full, fmt.Sprintf("%s is not a key: want one of %s", full, strings.Join(names, ", ")))
}

func (d *decoder) list(path string, node ast.Node, v reflect.Value) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		example := ""
		if text, ok := scalarText(node); ok {
			example = fmt.Sprintf(", such as [%s]", text)
		}
		d.add(lineOf(node), path, fmt.Sprintf("%s is %s: want a list%s", path, describe(node), example))
		return
	}
	if n := len(sequence.Values); n > maxListed {
		d.add(lineOf(node), path, fmt.Sprintf("%s has %d elements: want at most %d", path, n, maxListed))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values))
	for i, element := range sequence.Values {
		d.setDefault(list.Index(i))
		d.value(fmt.Sprintf("%s[%d]", path, i), element, list.Index(i))
	}
	v.Set(list)
}

func (d *decoder) mapping(path string, node ast.Node, v reflect.Value) {
	pairs, ok := d.pairs(path, node, "a mapping of names to values")
	if !ok {
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(pairs))
	for _, p := range pairs {
		value := reflect.New(v.Type().Elem()).Elem()
		d.setDefault(value)
		d.value(join(path, p.key), p.value, value)
		m.SetMapIndex(reflect.ValueOf(p.key).Convert(v.Type().Key()), value)
	}
	v.Set(m)
}

// collectFields finds the fields of a struct by their YAML names, those of inlined structs among them.
func collectFields(v reflect.Value, fields map[string]reflect.Value, names *[]string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			collectFields(v.Field(i), fields, names)
		case !field.IsExported() || name == "-" || name == "":
		default:
			if _, twice := fields[name]; twice {
				panic("config: " + v.Type().String() + " has two fields called " + name)
			}
			fields[name] = v.Field(i)
			*names = append(*names, name)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
