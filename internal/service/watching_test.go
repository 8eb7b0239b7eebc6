//go:build synctests

package service

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/features"
	"nearline/steps"
)

// expression of a dashboard or an alert, and where it stands.
type expression struct{ where, text string }

// dashboard has the expressions of deploy/grafana/nearline.json.
func dashboard(tb testing.TB) (found []expression) {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "grafana", "nearline.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Annotations struct{ List []struct{ Name, Expr string } }
	}
	if err := json.Unmarshal(data, &board); err != nil {
		tb.Fatalf("the dashboard is no JSON: %v", err)
	}
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			found = append(found, expression{"panel " + panel.Title, target.Expr})
		}
	}
	for _, variable := range board.Templating.List {
		found = append(found, expression{"variable " + variable.Name, variable.Definition})
	}
	for _, annotation := range board.Annotations.List {
		found = append(found, expression{"annotation " + annotation.Name, annotation.Expr})
	}
	return found
}

// alerts has the expressions of deploy/prometheus/alerts.yml.
func alerts(tb testing.TB) (found []expression) {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", "alerts.yml"))
	if err != nil {
		tb.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(data, &rules); err != nil {
		tb.Fatalf("the alerts are no YAML: %v", err)
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			found = append(found, expression{"alert " + rule.Alert, rule.Expr})
		}
	}
	return found
}

var (
	metricName = regexp.MustCompile(`\b(?:nearline|kafka|process|go)_[a-z0-9_]+\b`)
	labelLists = regexp.MustCompile(`\b(?:by|without) \(([^)]*)\)`)
	matchers   = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
	described  = regexp.MustCompile(`fqName: "([^"]+)"`)
	variables  = regexp.MustCompile(`variableLabels: \{([^}]*)\}`)
)

// shown are the metrics that a service has, with the suffixes that histograms are asked by, and all labels.
func shown(tb testing.TB, registry *prometheus.Registry) (names, labels map[string]bool) {
	tb.Helper()
	// Those that Prometheus adds, and the quantile's own.
	names, labels = map[string]bool{}, map[string]bool{"job": true, "instance": true, "le": true}
	families, err := registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, family := range families {
		names[family.GetName()] = true
		for _, metric := range family.GetMetric() {
			for _, pair := range metric.GetLabel() {
				labels[pair.GetName()] = true
			}
			if metric.GetHistogram() != nil {
				for _, suffix := range []string{"_bucket", "_sum", "_count"} {
					names[family.GetName()+suffix] = true
				}
			}
		}
	}
	// Those that have no series yet, since nothing has happened to them.
	descriptions := make(chan *prometheus.Desc, 1024)
	registry.Describe(descriptions)
	close(descriptions)
	for description := range descriptions {
		text := description.String()
		if name := described.FindStringSubmatch(text); name != nil {
			names[name[1]] = true
		}
		if list := variables.FindStringSubmatch(text); list != nil {
			for label := range strings.SplitSeq(list[1], ",") {
				labels[label] = true
			}
		}
	}
	return names, labels
}

func TestDashboardAndAlertsAskForWhatTheServiceShows(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		b.send("opinions.raw", 0, 10)
		b.produce(&kgo.Record{Topic: "opinions.raw", Value: []byte("no JSON")})
		c := b.config("opinions")
		c.Features.Views = []features.ViewConfig{{Name: "item", Key: "item_id", Fields: []features.FieldConfig{{Name: "reviews", Count: &features.CountConfig{}}}}}
		c.Pipelines[0].Steps = append(c.Pipelines[0].Steps, steps.Config{Lookup: &steps.Lookup{Views: []steps.LookupView{{View: "item"}}}},
			steps.Config{Aggregate: &steps.Aggregate{View: "item"}})
		r := b.run(b.open(c))
		r.committed(30*time.Second, 11)
		names, labels := shown(b, r.Registry())
		r.end()

		asked := map[string]bool{}
		for _, e := range slices.Concat(dashboard(b), alerts(b)) {
			for _, name := range metricName.FindAllString(e.text, -1) {
				asked[name] = true
				if !names[name] {
					b.Errorf("%s asks for %s, which the service does not show", e.where, name)
				}
			}
			var used []string
			for _, list := range labelLists.FindAllStringSubmatch(e.text, -1) {
				used = append(used, strings.Split(list[1], ",")...)
			}
			for _, matcher := range matchers.FindAllStringSubmatch(e.text, -1) {
				used = append(used, matcher[1])
			}
			for _, label := range used {
				if label = strings.TrimSpace(label); !labels[label] {
					b.Errorf("%s asks for the label %s, which no metric has", e.where, label)
				}
			}
		}
		for name := range names {
			if metric := strings.TrimSuffix(name, "_count"); strings.HasPrefix(name, "nearline_pipeline_") && !strings.HasSuffix(name, "_bucket") &&
				!strings.HasSuffix(name, "_sum") && !asked[metric] && !asked[metric+"_bucket"] && !asked[metric+"_sum"] {
				b.Errorf("neither the dashboard nor an alert asks for %s", metric)
			}
		}
	})
}

func TestDashboardPanelsDoNotOverlap(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "grafana", "nearline.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID                       int
			Title, Description, Type string
			GridPos                  struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	cells, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("%s has an id that another panel has", p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && p.Description == "" {
			t.Errorf("%s does not say what it means", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, taken := cells[[2]int{x, y}]; taken {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				if x > 23 {
					t.Fatalf("%s is wider than the dashboard", p.Title)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
	}
}
