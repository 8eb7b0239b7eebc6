package service

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"nearline/internal/config"
	"nearline/internal/observe"
	"nearline/serving"
)

func TestABadKeyOfTheStoreIsSaidToWhoeverAsksForIt(t *testing.T) {
	server := miniredis.RunT(t)
	c, _, err := config.Parse("facts.yaml", fmt.Appendf(nil, `
kafka: {brokers: ["kafka:9092"]}
features:
  lookup: {deadline: 5s}
  store: {redis: {addresses: [%q], timeout: 5s}}
  views: [{name: facts, key: item_id, source: store, fields: [{name: price, type: number, default: 0}]}]
pipelines:
  - {name: p, input: {topic: in, map: {id: id}}, steps: [{lookup: {views: [{view: facts}]}}], output: {topic: out}, dead_letters: dlq}
`, server.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	all, store, err := openViews(t.Context(), c.Features, observe.NewRegistry(observe.Build{}), quiet(t).Logger)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	asked := lookups{all, nil}
	server.HSet("nearline:facts:good", "price", "12.5")
	server.HSet("nearline:facts:dated", "price", "1", "@at", "2026-11-29T15:00:00Z")
	if err := server.Set("nearline:facts:bad", "x"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key    string
		status int
		says   string
	}{
		{"good", http.StatusOK, ""}, {"bad", http.StatusInternalServerError, "nearline:facts:bad is no hash"},
		{"dated", http.StatusInternalServerError, "@at"}, {"absent", http.StatusNotFound, "absent"}, {"good", http.StatusOK, ""},
	} {
		recorder := httptest.NewRecorder()
		serving.FeaturesHandler(asked).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/features/facts/"+c.key, nil))
		var body struct{ Error string }
		if err := json.Unmarshal(recorder.Body.Bytes(), &body); err != nil || recorder.Code != c.status || !strings.Contains(body.Error, c.says) {
			t.Errorf("of %s got %d with %s, want %d that says %q", c.key, recorder.Code, recorder.Body, c.status, c.says)
		}
	}
}
