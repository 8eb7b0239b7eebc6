package storetest

import (
	"fmt"
	"time"

	"nearline/features"
	"nearline/pipeline"
)

// item is a view with a field of every kind of value.
var item = features.NewView(features.ViewConfig{Name: "item", Key: "item_id", Fields: []features.FieldConfig{
	{Name: "reviews", Count: &features.CountConfig{}},
	{Name: "lately", Count: &features.CountConfig{HalfLife: time.Hour}},
	{Name: "spent", Sum: &features.SumConfig{Operand: features.Operand{Of: "value"}}},
	{Name: "sentiment", Default: new(features.FieldDefault(0.75)), Mean: &features.MeanConfig{Operand: features.Operand{Of: "value"}}},
	{Name: "latest", Last: &features.LastConfig{Of: "user_id", N: 50}},
	{Name: "best", Top: &features.TopConfig{Of: "review_id", By: features.Operand{Of: "value"}, N: 50}},
	{Name: "people", Distinct: &features.DistinctConfig{Of: "user_id"}},
}})

// small is another view.
var small = features.NewView(features.ViewConfig{Name: "small", Key: "user_id", Fields: []features.FieldConfig{
	{Name: "n", Count: &features.CountConfig{}},
}})

func list(values ...pipeline.Value) pipeline.Value {
	return pipeline.Value{Kind: pipeline.List, List: append([]pipeline.Value{}, values...)}
}

func texts(of ...string) pipeline.Value {
	v := list()
	for _, text := range of {
		v.List = append(v.List, pipeline.StringValue(text))
	}
	return v
}

func ranked(of string, by float64) pipeline.Value {
	return pipeline.ObjectValue(pipeline.Field{Name: "of", Value: pipeline.StringValue(of)}, pipeline.Field{Name: "by", Value: pipeline.FloatValue(by)})
}

// entryOf the view item.
func entryOf(key, source string, offset int64, values ...pipeline.Value) features.Entry {
	return entry(item, key, source, offset, values...)
}

// plain is an entry of the view item that n can be told from.
func plain(key, source string, offset, n int64) features.Entry {
	x := float64(n)
	e := entryOf(key, source, offset, pipeline.IntValue(n), pipeline.FloatValue(x/3), pipeline.FloatValue(-x), pipeline.FloatValue(x/7),
		texts(fmt.Sprint("user-", n), key), list(ranked("review", x/11)), pipeline.IntValue(n+1))
	e.At = 1_800_000_000_000 + n
	return e
}

// count is an entry of the view small.
func count(key, source string, offset, n int64) features.Entry {
	return entry(small, key, source, offset, pipeline.IntValue(n))
}

func entry(view *features.View, key, source string, offset int64, values ...pipeline.Value) features.Entry {
	e := features.Entry{View: view.Name(), Key: key, At: 1_800_000_000_000, Source: source, Offset: offset}
	for i, name := range view.Fields() {
		e.Values = append(e.Values, pipeline.Field{Name: name, Value: values[i]})
	}
	return e
}

func deletion(view *features.View, key, source string, offset int64) features.Entry {
	return features.Entry{View: view.Name(), Key: key, Source: source, Offset: offset, Deleted: true}
}

// View is a small one, for a store's own tests.
var View = features.NewView(features.ViewConfig{Name: "view", Key: "item_id", Fields: []features.FieldConfig{
	{Name: "reviews", Count: &features.CountConfig{}},
	{Name: "spent", Sum: &features.SumConfig{Operand: features.Operand{Of: "value"}}},
	{Name: "sentiment", Default: new(features.FieldDefault(0.5)), Mean: &features.MeanConfig{Operand: features.Operand{Of: "value"}}},
	{Name: "latest", Last: &features.LastConfig{Of: "user_id", N: 5}},
}})

// Entry of View: 12 reviews, a sum that is no short decimal, a mean of 0.75, and two texts.
func Entry(key string, offset int64) features.Entry {
	return features.Entry{View: View.Name(), Key: key, At: 1_800_000_000_000, Source: "topic/0", Offset: offset, Values: []pipeline.Field{
		{Name: "reviews", Value: pipeline.IntValue(12)},
		{Name: "spent", Value: pipeline.FloatValue(0.30000000000000004)},
		{Name: "sentiment", Value: pipeline.FloatValue(0.75)},
		{Name: "latest", Value: pipeline.Value{Kind: pipeline.List, List: []pipeline.Value{pipeline.StringValue("ann"), pipeline.StringValue(`b"b`)}}},
	}}
}
