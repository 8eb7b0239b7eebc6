package config

import (
	"strings"
	"testing"
)

func TestNamesThatReferToNothingAreRefused(t *testing.T) {
	for _, c := range []struct{ name, versions, step, want string }{
		{"all are there", "{sentiment: 2}", "{lookup: {views: [{view: item, fields: [stars]}]}}", ""},
		{"a version of no model", "{sentimnt: 1}", "", "models.versions.sentimnt is 1: no step of a pipeline has that model (sentiment), so the version would not count; did you mean sentiment?"},
		{"a version of a model that another folder has", "{other: 1}", "", "models.versions.other is 1: no step of a pipeline has that model (sentiment), so the version would not count"},
		{"a view", "{}", "{lookup: {views: [itm]}}", `lookup.views[0] is "itm": want one of features.views (item, person); did you mean item?`},
		{"a view of an aggregate", "{}", "{aggregate: {view: persn}}", `aggregate.view is "persn": want one of features.views (item, person); did you mean person?`},
		{"a field of a lookup", "{}", "{lookup: {views: [{view: item, fields: [star]}]}}", `lookup.views[0].fields[0] is "star": want a field of view item (stars); did you mean stars?`},
		{"a path of a view", "{}", "{aggregate: {view: item, map: {ratng: stars}}}", `aggregate.map.ratng: view item has no such path, want one of created_at, item_id, kind, rating; did you mean rating?`},
		{"paths of a view", "{}", "{aggregate: {view: item, map: {rating: stars, created_at: at, item_id: sku, kind: type}}}", ""},
		{"a view of a history", "{}", "{rank: {model: r, history: {view: preson, field: items}}}", `rank.history.view is "preson": want one of features.views (item, person); did you mean person?`},
		{"a field of a history", "{}", "{rank: {model: r, history: {view: person, field: itms}}}", `rank.history.field is "itms": want a field of view person that is a list of texts (last, or type: texts); did you mean items?`},
		{"a view of items", "{}", "{rank: {model: r, items: items}}", `rank.items is "items": leave it out, or want one of features.views (item, person); did you mean item?`},
		{"a key", "{}", "{lookup: {view: [item]}}", "lookup.view is not a key: did you mean views?"},
	} {
		step := c.step
		if step != "" {
			step = ", " + step
		}
		_, _, err := Parse("names.yaml", []byte(`
kafka: {brokers: ["kafka:9092"]}
models: {versions: `+c.versions+`}
features:
  views:
    - {name: item, key: item_id, time: created_at, fields: [{name: stars, default: 3, where: {kind: [review]}, mean: {of: rating}}]}
    - {name: person, key: user_id, fields: [{name: items, last: {of: item_id, n: 5}}]}
pipelines:
  - {name: one, input: {topic: a}, steps: [{predict: {model: sentiment}}`+step+`], output: {topic: b}, dead_letters: c}
`))
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
