//go:build synctests

package kafkatest

import (
	"reflect"
	"testing"

	"nearline/pipeline"
)

func TestCheckKnowsEveryRecord(t *testing.T) {
	at := func(offset int64) pipeline.Coordinates {
		return pipeline.Coordinates{Topic: Input, Offset: offset}
	}
	entries := []Entry{
		{Number: 0, Kind: Good, Key: "a", At: at(0)},
		{Number: 1, Kind: Poison, Key: "a", At: at(1)},
		{Number: 2, Kind: Deletion, Key: "a", At: at(2)},
	}
	right := func() []effect {
		return []effect{
			{topic: Output, offset: 0, number: 0, key: "a", source: at(0).String()},
			{topic: DeadLetters, number: 1, key: "a", source: at(1).String(), class: "decode", cause: "poison"},
			{topic: Output, offset: 1, number: 2, key: "a", source: at(2).String(), null: true},
		}
	}
	for name, c := range map[string]struct {
		change func([]effect) []effect
		want   Report
	}{
		"all is right":            {func(e []effect) []effect { return e }, Report{Effects: 3}},
		"one is lost":             {func(e []effect) []effect { return e[1:] }, Report{Effects: 2, Lost: 1}},
		"one is doubled":          {func(e []effect) []effect { return append(e, e[2]) }, Report{Effects: 4, Doubled: 1}},
		"out of order":            {func(e []effect) []effect { return []effect{e[2], e[1], e[0]} }, Report{Effects: 3, Disordered: 1}},
		"wrong class":             {func(e []effect) []effect { e[1].class = "model"; return e }, Report{Effects: 3, Misplaced: 1}},
		"no cause":                {func(e []effect) []effect { e[1].cause = ""; return e }, Report{Effects: 3, Causeless: 1}},
		"a dead letter scored":    {func(e []effect) []effect { e[1].topic, e[1].class = Output, ""; return e }, Report{Effects: 3, Misplaced: 1, Disordered: 0}},
		"a tombstone with value":  {func(e []effect) []effect { e[2].null = false; return e }, Report{Effects: 3, Misplaced: 1}},
		"a value turned null":     {func(e []effect) []effect { e[0].null = true; return e }, Report{Effects: 3, Misplaced: 1}},
		"another key":             {func(e []effect) []effect { e[0].key = "b"; return e }, Report{Effects: 3, Misplaced: 1}},
		"the effect of nothing":   {func(e []effect) []effect { return append(e, effect{number: 9}) }, Report{Effects: 4, Unknown: 1}},
		"a repeat of another row": {func(e []effect) []effect { x := e[2]; x.source = "z"; return append(e, x) }, Report{Effects: 4, Doubled: 1, Strangers: 1, Misplaced: 1}},
	} {
		var got Report
		got.judge(entries, c.change(right()))
		wrong := got.Err() != nil
		got.Details, got.Missing = nil, nil
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
		if wrong == (name == "all is right") {
			t.Errorf("%s: wrong is %t", name, wrong)
		}
	}
}
