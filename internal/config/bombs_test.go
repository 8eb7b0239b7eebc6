package config

import (
	"fmt"
	"strings"
	"testing"

	"nearline/columns"
)

// doubled is n anchors, each of which stands for ten of the one before it.
func doubled(n int, first, each string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "x-0: &a0 %s\n", first)
	for i := 1; i <= n; i++ {
		alias := fmt.Sprintf("*a%d", i-1)
		fmt.Fprintf(&b, "x-%d: &a%d %s\n", i, i, strings.ReplaceAll(each, "*", strings.TrimSuffix(strings.Repeat(alias+", ", 10), ", ")))
	}
	return b.String()
}

// What is small on disk is not to take more than moments or megabytes to be refused: without bounds each of these takes minutes or the process with it.
func TestBombsAreRefused(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"lists in each other", strings.Repeat("[", 100_000), "nest deeper than 100"},
		{"mappings in each other", strings.Repeat("{a: ", 50_000), "nest deeper than 100"},
		{"entries in each other", strings.Repeat("- ", 100_000) + "a", "nest deeper than 100"},
		{"keys of keys", strings.Repeat("? ", 100_000) + "a", "nest deeper than 100"},
		{"indented", func() string {
			var b strings.Builder
			for i := range 500 {
				b.WriteString(strings.Repeat(" ", i) + "a:\n")
			}
			return b.String()
		}(), "nest deeper than 100"},
		{"keys", func() string {
			var b strings.Builder
			for i := range 25_000 {
				fmt.Fprintf(&b, "k%d: v\n", i)
			}
			return b.String()
		}(), "too many keys"},
		{"parts of crosses", doubled(9, "{of: a}", "{cross: [*]}") + "pipelines: [{steps: [{predict: {model: m, inputs: {x: *a9}}}]}]\n", "more than 200000 values"},
		{"an alias to itself", "pipelines: [{steps: [{predict: {model: m, inputs: {x: &a {cross: [*a, *a]}}}}]}]\n", "nests deeper than 100"},
		{"merges of merges", doubled(12, "{id: a}", "{<<: [*]}") + "pipelines: [{input: {map: *a12}}]\n", "more than 200000 values"},
		{"views of pipelines", "x-f: &f [" + strings.Repeat("a, ", 5000) + "]\nx-v: &v [" + strings.Repeat("{view: v, fields: *f}, ", 1000) +
			"]\npipelines: [" + strings.Repeat("{steps: [{lookup: {views: *v}}]}, ", 1000) + "]\n", "more than 200000 values"},
		{"a long list", "kafka: {brokers: [" + strings.Repeat("a, ", 20_000) + "]}\n", "kafka.brokers has 20000 elements: want at most 10000"},
		{"many pipelines", "pipelines: [" + strings.Repeat("{}, ", 9000) + "]\n", "pipelines has 9000 elements: want at most 500"},
		{"many views", "features: {views: [" + strings.Repeat("{}, ", 9000) + "]}\n", "features.views has 9000 elements: want at most 500"},
		{"many problems", "pipelines: [" + strings.Repeat("{a: b, c: d, e: f}, ", 490) + "]\n", "there are more problems than these"},
		{"long names", "models: {versions: {" + strings.Repeat("a", 100_000) + ": 1}}\npipelines: [{steps: [{predict: {model: " + strings.Repeat("b", 100_000) + "}}]}]\n", "models.versions.aaaa"},
	} {
		_, _, err := Parse("bomb.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %.300v, want %s", c.name, err, c.want)
		}
		if n := len(Problems(err)); n > maxProblems+1 {
			t.Errorf("%s: got %d problems, want a bound", c.name, n)
		}
	}
}

func TestLargeMappingsAreRead(t *testing.T) {
	for _, c := range []struct {
		name, opens, entry, closes string
		entries                    int
	}{
		{"block style", "", "            category-%d: %d\n", "", 12_000},
		{"flow style", "            {", "category-%d: %d, ", "}\n", 60_000},
	} {
		var b strings.Builder
		b.WriteString("kafka: {brokers: [\"kafka:9092\"]}\npipelines:\n- name: a\n  input: {topic: a}\n  output: {topic: b}\n  dead_letters: c\n" +
			"  steps:\n  - predict:\n      model: m\n      inputs:\n        x:\n          values:\n" + c.opens)
		for i := range c.entries {
			fmt.Fprintf(&b, c.entry, i, i)
		}
		b.WriteString(c.closes)
		loaded, _, err := Parse("large.yaml", []byte(b.String()))
		if err != nil {
			t.Errorf("%s: got %.300v, want it read", c.name, err)
			continue
		}
		if got := len(loaded.Pipelines[0].Steps[0].Predict.Inputs["x"].Values); got != c.entries {
			t.Errorf("%s: got %d entries, want %d", c.name, got, c.entries)
		}
	}
}

// What a type that reads itself tries first may be what passes a bound.
func TestABoundIsToldWhereverItIsPassed(t *testing.T) {
	const text = "columns: [{of: a}, {of: a}, {of: a}]\n"
	for spare := range 20 {
		for name, bounded := range map[string]func(*decoder){
			"more than 200000 values": func(d *decoder) { d.budget.left = 1 + spare },
			"nests deeper than 100":   func(d *decoder) { d.nested = maxNested - spare },
		} {
			var got struct {
				Columns []columns.Config `yaml:"columns"`
			}
			d := newDecoder("bounds.yaml")
			bounded(d)
			d.decode([]byte(text), &got)
			whole := len(got.Columns) == 3 && got.Columns[0].Of == "a" && got.Columns[1].Of == "a" && got.Columns[2].Of == "a"
			told := len(d.problems) == 1 && strings.Contains(d.problems[0].Message, name)
			if told == whole || !told && len(d.problems) > 0 {
				t.Errorf("%s, %d spare: got %v and %+v, want all read, or the bound told once", name, spare, d.problems, got.Columns)
			}
		}
	}
}
