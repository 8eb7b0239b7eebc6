//go:build cgo

package models

import "testing"

func TestBareSlotsRunAModelsGraphAlone(t *testing.T) {
	c := repository(t, map[string]string{"m": "single_label"}, nil)
	c.Slots = 2
	m := loaded(t, c, "m", running(t, c))
	slots, err := m.Bare()
	if err != nil || len(slots) != 2 {
		t.Fatalf("got %d slots, %v, want 2", len(slots), err)
	}
	var batch []*Prepared
	for _, in := range Texts("great film", "bad") {
		p, err := m.Prepare(in)
		if err != nil || p.Tokens() < 3 {
			t.Fatalf("got %+v, %v, want its tokens", p, err)
		}
		batch = append(batch, p)
	}
	before := counted(t, m.series.tokens)
	for _, s := range slots {
		if err := s.Run(batch); err != nil {
			t.Error(err)
		}
	}
	if after := counted(t, m.series.tokens); after != before {
		t.Errorf("got %v tokens counted, want none: nobody's texts went through the model", after-before)
	}
	c = constantModel(t)
	if _, err := loaded(t, c, "plumbing", running(t, c)).Bare(); err == nil {
		t.Error("got slots of a constant, want an error: it has no graph")
	}
}
