//go:build cgo

package models

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"nearline/batching"
	"nearline/pipeline"
)

// graph copies a file of onnx/testdata/graphs over a model's.
func graph(t testing.TB, c Config, model, name string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("onnx", "testdata", "graphs", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Repository, model, "1", "model.onnx"), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPlainExportLoadsWithoutOurFile(t *testing.T) {
	c := repository(t, map[string]string{"reviews": "single_label"}, nil)
	m := loaded(t, c, "reviews", running(t, c))
	info := m.Info()
	if len(info.Heads) != 1 || info.Heads[0].Name != "reviews" || !slices.Equal(info.Heads[0].Labels, []string{"negative", "neutral", "positive"}) {
		t.Errorf("got heads %+v, want one named reviews with the labels of config.json", info.Heads)
	}
	if info.MaxTokens != 32 || info.Limits.MaxItems != 1 || info.Alone != "" || info.Device != "cpu" {
		t.Errorf("got %+v, want 32 tokens, one row a batch on cpu, and nothing that demands it", info)
	}
	predictions, faults, err := m.Predict(t.Context(), batching.Online, Texts("great film", ""))
	if err != nil || faults[0] != nil || faults[1] != nil {
		t.Fatalf("got %v, %v", err, faults)
	}
	score, _ := predictions[0].Columns[0].Value.Lookup("score")
	if predictions[0].Columns[0].Name != "reviews" || score.Float < 1.0/3 || score.Float > 1 {
		t.Errorf("got %+v, want a label of three with its probability", predictions[0])
	}
}

func TestLoadFailsWhenAGoldenExampleDoesNotReproduce(t *testing.T) {
	c := repository(t, map[string]string{"m": "single_label"}, nil)
	m := loaded(t, c, "m", running(t, c))
	predictions, _, err := m.Predict(t.Context(), batching.Online, Texts("great film"))
	if err != nil {
		t.Fatal(err)
	}
	label, _ := predictions[0].Columns[0].Value.Lookup("label")
	score, _ := predictions[0].Columns[0].Value.Lookup("score")
	other := "neutral"
	if label.Str == other {
		other = "negative"
	}
	for _, g := range []struct{ expect, want string }{
		{fmt.Sprintf("{m: {label: %s, score: %.4f}}", label.Str, score.Float), ""},
		{fmt.Sprintf("{m: {label: %s, score: %.4f}}", label.Str, score.Float+0.019), ""},
		{fmt.Sprintf("{m: {label: %s}}", label.Str), ""},
		{fmt.Sprintf("{m: {label: %s, score: %.4f}}", label.Str, score.Float+0.021),
			fmt.Sprintf(`golden[0] "great film": m: got %s %.4f, want %s %.4f within 0.02`, label.Str, score.Float, label.Str, score.Float+0.021)},
		{fmt.Sprintf("{m: {label: %s, score: %.4f}}", other, score.Float),
			fmt.Sprintf(`golden[0] "great film": m: got %s %.4f, want %s %.4f`, label.Str, score.Float, other, score.Float)},
		{"{n: 0.5}", "golden[0].expect.n: there is no such head, want one of m"},
		{"{m: 0.5}", "column m is a classification: want {label: ..., score: ...}"},
	} {
		c := repository(t, map[string]string{"m": "single_label"}, map[string]string{
			"m/1/nearline.yaml": "golden:\n- text: great film\n  expect: " + g.expect + "\n",
		})
		device := c.NewDevice()
		m, err := Load(t.Context(), c, "m", device, NewMetrics(nil))
		if err == nil {
			if err := m.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if (err == nil) != (g.want == "") || err != nil && !strings.Contains(err.Error(), g.want) {
			t.Errorf("%s: got %v, want %q", g.expect, err, g.want)
		}
	}
}

func TestTextThatTheGraphFailsOnFailsAlone(t *testing.T) {
	c := repository(t, map[string]string{"m": "failing"}, nil)
	c.Batch = BatchConfig{MaxItems: 32, MaxPadding: 8}
	m := loaded(t, c, "m", running(t, c))
	texts := []string{"good", "boom", "bad film", "a boom too", "day"}
	for range 20 {
		_, faults, err := m.Predict(t.Context(), batching.Stream, Texts(texts...))
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range texts {
			if guilty := strings.Contains(text, "boom"); (faults[i] != nil) != guilty {
				t.Fatalf("%q: got %v, want a fault: %v", text, faults[i], guilty)
			}
		}
	}
}

// On a GPU lengths are rounded; forced on CPU, the answers are the same.
func TestBucketsDoNotMoveAnswers(t *testing.T) {
	plain := repository(t, map[string]string{"m": "single_label"}, nil)
	rounded := plain
	rounded.Batch = BatchConfig{MaxItems: 8, MaxPadding: 4, Buckets: []int{8, 20, 64}}
	texts := words(60, 40, 5)
	var scores [2][]float64
	for i, c := range []Config{plain, rounded} {
		m := loaded(t, c, "m", running(t, c))
		predictions, faults, err := m.Predict(t.Context(), batching.Stream, Texts(texts...))
		if err != nil || slices.ContainsFunc(faults, func(err error) bool { return err != nil }) {
			t.Fatalf("got %v, %v", faults, err)
		}
		for _, p := range predictions {
			score, _ := p.Columns[0].Value.Lookup("score")
			scores[i] = append(scores[i], score.Float)
		}
	}
	for i := range texts {
		if d := math.Abs(scores[0][i] - scores[1][i]); !(d < 1e-5) {
			t.Errorf("text %d: got %v, want %v", i, scores[1][i], scores[0][i])
		}
	}
}

func TestAnswerThatIsNotANumberIsAFault(t *testing.T) {
	c := repository(t, map[string]string{"m": "constant"}, nil)
	graph(t, c, "m", "nan.onnx")
	m := loaded(t, c, "m", running(t, c))
	// Letters are tokens below 50 in this vocabulary, words are not.
	_, faults, err := m.Predict(t.Context(), batching.Stream, Texts("a b", "good", "c"))
	if err != nil {
		t.Fatal(err)
	}
	if faults[0] != nil || faults[2] != nil || faults[1] == nil || !strings.Contains(faults[1].Error(), "not finite") {
		t.Errorf("got %v, want a fault of the second text alone", faults)
	}
}

func TestGraphThatIgnoresItsMaskIsNotBatched(t *testing.T) {
	c := repository(t, map[string]string{"m": "constant"}, nil)
	graph(t, c, "m", "unmasked.onnx")
	loaded(t, c, "m", running(t, c)) // one by one it is as good as any
	c.Batch.MaxItems = 8
	_, err := Load(t.Context(), c, "m", running(t, c), NewMetrics(nil))
	if err == nil || !strings.Contains(err.Error(), "does not heed its attention mask") {
		t.Errorf("got %v, want the load refused", err)
	}
}

// words are texts of 1 to most words, seeded.
func words(n, most int, seed uint64) []string {
	random := rand.New(rand.NewPCG(seed, 1))
	vocabulary := strings.Fields("the and but not is was it this my very too good great love nice fine soft warm bad poor broken " +
		"late cold return fit size colour dress film shop price day wonderful terrible zipper fabric 5 ! , expensive kettle")
	texts := make([]string, n)
	for i := range texts {
		var b strings.Builder
		for range 1 + random.IntN(most) {
			b.WriteString(vocabulary[random.IntN(len(vocabulary))])
			b.WriteByte(' ')
		}
		texts[i] = b.String()
	}
	return texts
}

// distance is how far two answers are from each other: 1 when labels differ, or else the largest difference of scores.
func distance(a, b []pipeline.Field) (most float64) {
	for i := range a {
		x, y := a[i].Value, b[i].Value
		if x.Kind == pipeline.Object {
			lx, _ := x.Lookup("label")
			ly, _ := y.Lookup("label")
			if lx.Str != ly.Str {
				return 1
			}
			x, _ = x.Lookup("score")
			y, _ = y.Lookup("score")
		}
		most = max(most, math.Abs(x.Float-y.Float))
	}
	return most
}

// neighbourTolerance is what neighbours and padding may move a score by, in fp32 and in int8.
const neighbourTolerance = 1e-5

// neighbours asks a model for each text alone, then for all at once from many callers among random others, and returns
// the largest distance between the two answers.
func neighbours(t *testing.T, m *Model, texts, others []string, rounds int) float64 {
	t.Helper()
	alone := make([][]pipeline.Field, len(texts))
	for i, text := range texts {
		p, faults, err := m.Predict(t.Context(), batching.Online, Texts(text))
		if err != nil || faults[0] != nil {
			t.Fatal(err, faults)
		}
		alone[i] = p[0].Columns
	}
	most := make([]float64, 4)
	var callers errgroup.Group
	for caller := range most {
		callers.Go(func() error {
			random := rand.New(rand.NewPCG(uint64(caller), 2))
			for range rounds {
				var asked []string
				var index []int // of texts, or -1
				for _, i := range random.Perm(len(texts)) {
					asked, index = append(asked, texts[i]), append(index, i)
					for range random.IntN(3) {
						asked, index = append(asked, others[random.IntN(len(others))]), append(index, -1)
					}
				}
				p, faults, err := m.Predict(context.Background(), batching.Class(caller%3), Texts(asked...))
				if err != nil {
					return err
				}
				for n, i := range index {
					if faults[n] != nil {
						return faults[n]
					}
					if i >= 0 {
						most[caller] = max(most[caller], distance(alone[i], p[n].Columns))
					}
				}
			}
			return nil
		})
	}
	if err := callers.Wait(); err != nil {
		t.Fatal(err)
	}
	return slices.Max(most)
}

func TestNeighboursDoNotMatterInBatches(t *testing.T) {
	c := repository(t, map[string]string{"m": "single_label"}, nil)
	c.Slots, c.Batch = 2, BatchConfig{MaxItems: 32, MaxPadding: 32}
	device := running(t, c)
	m := loaded(t, c, "m", device)
	if got := neighbours(t, m, words(60, 30, 1), words(200, 30, 2), 10); got > neighbourTolerance {
		t.Errorf("got answers moved by %g, want at most %g", got, neighbourTolerance)
	}
	// Otherwise nothing was shown.
	if s := device.Stats(); s.Batches*2 > s.Rows || s.PaddedTokens <= s.RealTokens {
		t.Errorf("got %+v, want batches of several rows, with padding", s)
	}
}

func TestNeighboursDoNotMatterToACoupledGraph(t *testing.T) {
	c := repository(t, map[string]string{"m": "dynamic_int8"}, nil)
	c.Batch = BatchConfig{MaxItems: 32, MaxPadding: 32}
	m := loaded(t, c, "m", running(t, c))
	if info := m.Info(); info.Limits.MaxItems != 1 || info.Alone == "" {
		t.Errorf("got %+v, want rows run alone, and why", info)
	}
	if got := neighbours(t, m, words(60, 30, 1), words(200, 30, 2), 5); got > neighbourTolerance {
		t.Errorf("got answers moved by %g, want at most %g", got, neighbourTolerance)
	}
	// What running alone guards against: in batches the same texts get other answers.
	limits := batching.Limits{MaxItems: 32, MaxTokens: 4096, MaxPadding: 32, Bound: 1024}
	batched := loadedWithin(t, c, "m", limits, running(t, c))
	if got := neighbours(t, batched, words(60, 30, 1), words(200, 30, 2), 5); got <= neighbourTolerance {
		t.Errorf("in batches: got answers moved by %g, want more than %g: the graph does not couple rows", got, neighbourTolerance)
	}
}

// The model that ships, in the numbers that a test has time for.
func TestNeighboursDoNotMatterToTheShippedModel(t *testing.T) {
	c := DefaultConfig()
	c.Repository = "zoo"
	m := loaded(t, c, "sentiment", running(t, c))
	if got := neighbours(t, m, words(8, 60, 1), words(40, 120, 2), 1); got > neighbourTolerance {
		t.Errorf("got answers moved by %g, want at most %g", got, neighbourTolerance)
	}
	if m.Info().Alone == "" {
		return // rows of this graph do not couple: what follows does not hold for it
	}
	limits := batching.Limits{MaxItems: 16, MaxTokens: 4096, MaxPadding: 32, Bound: 1024}
	batched := loadedWithin(t, c, "sentiment", limits, running(t, c))
	if got := neighbours(t, batched, words(8, 60, 1), words(40, 120, 2), 1); got <= neighbourTolerance {
		t.Errorf("in batches: got answers moved by %g, want more than %g: Inspect is wrong about this graph", got, neighbourTolerance)
	}
}
