//go:build cgo

package service

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"nearline/internal/config"
	"nearline/models/tasks"
)

func TestNamesThatReferToNothingAreRefused(t *testing.T) {
	c := ordersConfig(t, visitorInputs)
	loaded := visitors(t, c)
	var head tasks.Head
	for _, h := range loaded["visitors"].Info().Heads {
		if h.Kind == tasks.Classification {
			head = h
		}
	}
	if len(head.Labels) == 0 {
		t.Fatalf("got heads %+v, want one with labels", loaded["visitors"].Info().Heads)
	}
	label, mistyped := head.Labels[0], head.Labels[0]+"x"
	parse := func(as, aggregate, mean, output string) error {
		t.Helper()
		c, _, err := config.Parse(filepath.Join(t.TempDir(), "orders.yaml"), []byte(fmt.Sprintf(`
kafka: {brokers: ["kafka:9092"]}
features:
  views:
    - {name: shopper, key: user_id, fields: [{name: visits, count: {}}]}
    - {name: shop, key: shop_id, fields: [{name: share, default: 0, mean: %s}]}
pipelines:
  - name: orders
    input: {topic: orders, map: {id: order_id}}
    steps: [{lookup: {views: [shopper]}}, {predict: {model: visitors, as: %s, inputs: %s}}, {aggregate: {view: shop, map: %s}}]
    output: {topic: orders.scored, copy: %s}
    dead_letters: orders.dlq
`, mean, as, visitorInputs, aggregate, output)))
		if err != nil {
			t.Fatal(err)
		}
		return CheckSteps(c, &c.Pipelines[0], loaded)
	}
	mean := fmt.Sprintf("{of: returns, label: %q}", label)
	called := fmt.Sprintf("{returns: %s}", head.Name)
	for _, c := range []struct{ name, as, aggregate, mean, output, want string }{
		{"all are there", "{}", called, mean, "[user_id, shopper.unknown]", ""},
		{"a renamed column", "{" + head.Name + ": answer}", "{returns: answer}", mean, "[]", ""},
		{"a column of as", "{" + head.Name + "z: answer}", called, mean, "[]",
			"steps[1].predict.as." + head.Name + "z: model visitors answers with no such column, want " + head.Name + "; did you mean " + head.Name + "?"},
		{"a label of a mean", "{}", called, fmt.Sprintf("{of: returns, label: %q}", mistyped), "[]", fmt.Sprintf("view shop: field share: label is %q, and %s has the labels", mistyped, head.Name)},
		{"a looked-up path in copy", "{}", called, mean, "[user_id, {seen: shopper.visits}]", `output.copy[1] is "shopper.visits": a step makes shopper`},
		{"a prediction in copy", "{}", called, mean, "[{p: " + head.Name + ".score}]", `output.copy[0] is "` + head.Name + `.score": a step makes ` + head.Name},
	} {
		err := parse(c.as, c.aggregate, c.mean, c.output)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
