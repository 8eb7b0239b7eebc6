//go:build cgo && synctests

package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/columns"
	"nearline/features"
	"nearline/internal/config"
	"nearline/models"
	"nearline/schemas"
	"nearline/serving"
	"nearline/steps"
)

// cinema ranks films by the recommender that ships: what people watch and think of films are events, and so are requests.
type cinema struct{ *bench }

func inCinema(t *testing.T, f func(b *cinema)) {
	with(t, func(b *bench) {
		b.pipelines("events", "ranks")
		f(&cinema{b})
	})
}

func (b *cinema) config() *config.Config {
	c := b.bench.config("events", "ranks")
	zoo, err := filepath.Abs(filepath.Join("..", "..", "models", "zoo", "recommender"))
	if err == nil {
		err = os.Symlink(zoo, filepath.Join(c.Models.Repository, "recommender"))
	}
	if err != nil {
		b.Fatal(err)
	}
	c.Features.Partitions = 2
	c.Features.Views = []features.ViewConfig{
		{Name: "item", Key: "item_id", Fields: []features.FieldConfig{
			{Name: "sentiment", Default: new(features.FieldDefault(0.7)), Mean: &features.MeanConfig{Operand: features.Operand{Of: "mood"}, HalfLife: time.Hour}},
			{Name: "popularity", Count: &features.CountConfig{Of: "watched"}},
			{Name: "reviews", Count: &features.CountConfig{Of: "mood"}},
		}},
		{Name: "user", Key: "user_id", Fields: []features.FieldConfig{{Name: "items", Last: &features.LastConfig{Of: "item_id", N: 50}}}},
		{Name: "offline", Key: "user_id", Fields: []features.FieldConfig{{Name: "items", Last: &features.LastConfig{Of: "offered", N: 20}}}},
	}
	events, ranks := &c.Pipelines[0], &c.Pipelines[1]
	events.Steps = []steps.Config{{Aggregate: &steps.Aggregate{View: "item"}}, {Aggregate: &steps.Aggregate{View: "user"}}, {Aggregate: &steps.Aggregate{View: "offline"}}}
	events.Output.Topic = ""
	rank := steps.DefaultRank()
	rank.Model, rank.Items, rank.Top = "recommender", "item", 10
	rank.History = &steps.StoredList{View: "user", Field: "items"}
	rank.Otherwise = &steps.StoredList{View: "offline", Field: "items"}
	rank.Inputs = map[string]columns.Config{
		"popularity": {Operand: features.Operand{Of: "item.popularity"}}, "sentiment": {Operand: features.Operand{Of: "item.sentiment"}},
		"helpfulness": {Operand: features.Operand{Of: "absent"}},
	}
	ranks.Steps = []steps.Config{{Rank: &rank}}
	ranks.Input.Map = &schemas.Mapping{ID: "request_id"}
	ranks.Output.Copy = []schemas.CopyField{schemas.NewCopyField("user_id")}
	if err := c.Validate(); err != nil {
		b.Fatal(err)
	}
	return c
}

func (b *cinema) event(topic, key, value string) {
	b.Helper()
	b.produce(&kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)})
}

// rankedResult is what a request is answered with.
type rankedResult struct {
	RequestID string `json:"request_id"`
	UserID    string `json:"user_id"`
	Ranking   []struct {
		ItemID string `json:"item_id"`
		Score  float64
	}
	Model      string
	Version    int    `json:"model_version"`
	Features   string `json:"features"`
	FeaturesAt string `json:"features_at"`
}

func (r *rankedResult) items() (ids []string) {
	for _, entry := range r.Ranking {
		ids = append(ids, entry.ItemID)
	}
	return ids
}

// results of the topic, by request.
func (b *cinema) results() map[string]*rankedResult {
	b.Helper()
	all := map[string]*rankedResult{}
	for _, record := range b.read("ranks.scored") {
		var result rankedResult
		if err := json.Unmarshal(record.Value, &result); err != nil {
			b.Fatalf("%s: %v", record.Value, err)
		}
		all[result.RequestID] = &result
	}
	return all
}

// post asks the online API.
func (r *running) post(path, body string) (status int, answer string) {
	recorder := httptest.NewRecorder()
	serving.RankHandler(r.rankings).ServeHTTP(recorder, httptest.NewRequestWithContext(r.b.Context(), http.MethodPost, path, strings.NewReader(body)))
	return recorder.Code, recorder.Body.String()
}

func TestABurstOfBadReviewsMovesAnItemDown(t *testing.T) {
	inCinema(t, func(b *cinema) {
		r := b.run(b.open(b.config()))
		for i, film := range []string{"296", "593", "608"} {
			b.event("events.raw", "u", fmt.Sprintf(`{"review_id":"w%d","user_id":"ann","item_id":%q,"mood":0.9}`, i, film))
		}
		const request = `{"request_id":%q,"user_id":"ann","candidates":["1","50","318","1","no-such","2"]}`
		r.known("user", "ann")
		b.event("ranks.raw", "ann", fmt.Sprintf(request, "before"))
		r.until(time.Minute, "the first ranking", func() bool { return b.results()["before"] != nil })
		before := b.results()["before"]
		top := before.Ranking[0].ItemID
		if len(before.Ranking) != 5 || before.UserID != "ann" || before.Model != "recommender" || before.Version != 1 {
			t.Fatalf("got %+v, want five candidates for ann, each once, by recommender 1", before)
		}
		for i := range 40 {
			b.event("events.raw", "x", fmt.Sprintf(`{"review_id":"bad%d","user_id":"x%d","item_id":%q,"mood":0.02}`, i, i, top))
		}
		r.until(time.Minute, "the reviews are known", func() bool {
			_, body := r.ask("/v1/features/item/" + top)
			values, _ := body["values"].(map[string]any)
			n, _ := values["reviews"].(float64)
			return n >= 40
		})
		b.event("ranks.raw", "ann", fmt.Sprintf(request, "after"))
		r.until(time.Minute, "the second ranking", func() bool { return b.results()["after"] != nil })
		after := b.results()["after"]
		if place := slices.Index(after.items(), top); place < 1 {
			t.Errorf("%s is at %d after 40 bad reviews, want it below where it was: %v, then %v", top, place, before.items(), after.items())
		}
		if after.Features != "fresh" || after.FeaturesAt == "" {
			t.Errorf("got features %q at %q, want fresh ones with their time", after.Features, after.FeaturesAt)
		}
		// The online API answers the same.
		status, body := r.post("/v1/rank", fmt.Sprintf(request, "after"))
		var online rankedResult
		if err := json.Unmarshal([]byte(body), &online); status != http.StatusOK || err != nil {
			t.Fatalf("got %d, %s", status, body)
		}
		if fmt.Sprint(online) != fmt.Sprint(*after) {
			t.Errorf("online: got\n%+v\nand in the stream\n%+v", online, *after)
		}
		r.end()
	})
}

// known waits until a view knows a key.
func (r *running) known(view, key string) {
	r.b.Helper()
	r.until(time.Minute, view+" "+key+" is known", func() bool {
		status, _ := r.ask("/v1/features/" + view + "/" + key)
		return status == http.StatusOK
	})
}

// many ids, as JSON.
func many(n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = strconv.Itoa(i + 1)
	}
	return strings.Join(ids, ",")
}

func TestRequestsOfAllKindsAreAnswered(t *testing.T) {
	inCinema(t, func(b *cinema) {
		c := b.config()
		r := b.run(b.open(c))
		b.event("events.raw", "u", `{"review_id":"1","user_id":"ben","offered":"318"}`)
		b.event("events.raw", "u", `{"review_id":"2","user_id":"ben","offered":"50"}`)
		r.known("offline", "ben")
		r.until(time.Minute, "both offers are known", func() bool {
			_, body := r.ask("/v1/features/offline/ben")
			return strings.Contains(fmt.Sprint(body), "318") && strings.Contains(fmt.Sprint(body), "50")
		})
		for _, q := range []struct {
			request string
			status  int
			want    string // in the answer
		}{
			{`{"request_id":"a","user_id":"nobody","candidates":["1","2"]}`, http.StatusOK, `"ranking":[{"item_id":"`},
			{`{"request_id":"a","candidates":["1"]}`, http.StatusOK, `"ranking":[{"item_id":"1"`},
			{`{"request_id":"a","user_id":"ben"}`, http.StatusOK, `"item_id":"318"`},
			{`{"request_id":"a","user_id":"nobody"}`, http.StatusOK, `"ranking":[]`},
			{`{"request_id":"a","user_id":"ben","candidates":[]}`, http.StatusOK, `"ranking":[]`},
			{`{"request_id":"a","user_id":"ben","candidates":[1,2.5,"x"]}`, http.StatusOK, `"item_id":"2.5"`},
			{`{"candidates":["1"]}`, http.StatusOK, `"request_id":"`},
			{`{"request_id":"a","candidates":[` + strings.Repeat(`"1",`, 12_000) + `"2"]}`, http.StatusOK, `"item_id":"2"`},
			{`{"request_id":"a","candidates":[` + many(12_000) + `]}`, http.StatusOK, `"ranking":[{"item_id":"`},
			{`{"request_id":"a","candidates":[` + many(17_000) + `]}`, http.StatusBadRequest, "there are 17000 candidates: model recommender takes at most 16334"},
			{`{"request_id":"a","candidates":"1"}`, http.StatusBadRequest, "candidates is no list: want ids of items"},
			{`{"request_id":"a","candidates":[{"id":1}]}`, http.StatusBadRequest, "candidates[0] is no id"},
			{`{"request_id":"a"`, http.StatusBadRequest, "the request cannot be answered"},
			{strings.Repeat(" ", 2<<20), http.StatusRequestEntityTooLarge, "too large"},
		} {
			status, answer := r.post("/v1/rank", q.request)
			if status != q.status || !strings.Contains(answer, q.want) {
				t.Errorf("%.80s: got %d %.200s, want %d with %s", q.request, status, answer, q.status, q.want)
			}
		}
		if status, answer := r.post("/v1/rank?pipeline=events", `{}`); status != http.StatusNotFound || !strings.Contains(answer, "want ?pipeline= to be ranks") {
			t.Errorf("got %d %s, want 404 and the pipelines that rank", status, answer)
		}
		r.end()
	})
}

// requestSchema is the file of an Avro schema of requests.
func (b *cinema) requestSchema() string {
	path := filepath.Join(b.TempDir(), "request.avsc")
	schema := `{"type":"record","name":"Request","fields":[{"name":"request_id","type":"string"},{"name":"user_id","type":"string"},
		{"name":"candidates","type":{"type":"array","items":"string"}},{"name":"absent","type":["null","double"],"default":null}]}`
	if err := os.WriteFile(path, []byte(schema), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

func TestStepsThatRankAreChecked(t *testing.T) {
	inCinema(t, func(b *cinema) {
		for want, change := range map[string]func(r *steps.Rank){
			"": func(*steps.Rank) {},
			"history is missing: model recommender reads what somebody had before": func(r *steps.Rank) { r.History = nil },
			"steps[0].rank: inputs has nothing for helpfulness":                    func(r *steps.Rank) { delete(r.Inputs, "helpfulness") },
			"steps[0].rank: inputs has item.mood: item has sentiment, popularity, reviews": func(r *steps.Rank) {
				r.Inputs["sentiment"] = columns.Config{Operand: features.Operand{Of: "item.mood"}}
			},
		} {
			c := b.config()
			change(c.Pipelines[1].Steps[0].Rank)
			if want == "" { // requests in Avro are JSON to the online API
				c.Pipelines[1].Input.Format, c.Pipelines[1].Input.Schema = schemas.FormatAvro, b.requestSchema()
			}
			m, err := models.Load(b.Context(), c.Models, "recommender", c.Models.NewDevice(), models.NewMetrics(nil))
			if err != nil {
				b.Fatal(err)
			}
			err = errors.Join(CheckSteps(c, &c.Pipelines[1], map[string]*models.Model{"recommender": m}), m.Close(b.Context()))
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
	})
}
