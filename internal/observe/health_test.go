package observe

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func ask(t *testing.T, handler http.Handler) (int, Report) {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	var report Report
	if err := json.Unmarshal(recorder.Body.Bytes(), &report); err != nil {
		t.Fatalf("unmarshal %q: %v", recorder.Body, err)
	}
	return recorder.Code, report
}

func TestHealthStartsAliveButNeitherReadyNorStreaming(t *testing.T) {
	health := NewHealth()
	for _, c := range []struct {
		name   string
		checks *Checks
		want   int
	}{{"live", &health.Live, 200}, {"ready", &health.Ready, 503}, {"stream", &health.Stream, 503}} {
		code, report := ask(t, c.checks)
		if code != c.want || report.OK != (c.want == 200) {
			t.Errorf("%s answers %d, ok %v; want %d", c.name, code, report.OK, c.want)
		}
		if !report.OK && (len(report.Missing) != 1 || !strings.HasPrefix(report.Missing[0], "starting: ")) {
			t.Errorf("%s misses %q, want it to say that the service is starting", c.name, report.Missing)
		}
	}
}

func TestHealthSaysWhatIsMissing(t *testing.T) {
	health := NewHealth()
	problem := "still loading"
	health.Ready.Add("model sentiment", func() Finding { return Finding{Problem: problem} })
	health.Ready.Add("model ranker", func() Finding { return Finding{Detail: map[string]int{"version": 3}} })

	code, report := ask(t, &health.Ready)
	if code != http.StatusServiceUnavailable {
		t.Errorf("answers %d, want 503", code)
	}
	if len(report.Missing) != 1 || report.Missing[0] != "model sentiment: still loading" {
		t.Errorf("misses %q, want the sentiment model", report.Missing)
	}
	if len(report.Checks) != 2 || report.Checks[0].Name != "model ranker" || !report.Checks[0].OK || report.Checks[0].Detail == nil {
		t.Errorf("got checks %+v, want the ranker first, well, with its detail", report.Checks)
	}

	problem = ""
	if code, report := ask(t, &health.Ready); code != http.StatusOK || !report.OK || len(report.Missing) != 0 {
		t.Errorf("answers %d %+v once all is well, want 200", code, report)
	}
}

func TestHealthWithNothingToCheckIsWellOnceStarted(t *testing.T) {
	health := NewHealth()
	for name, checks := range map[string]*Checks{"ready": &health.Ready, "stream": &health.Stream} {
		checks.Started()
		if code, report := ask(t, checks); code != http.StatusOK || !report.OK {
			t.Errorf("%s answers %d %q, want 200: a service need not have anything to check", name, code, report.Missing)
		}
		remove := checks.Add("model sentiment", func() Finding { return Finding{Problem: "still loading"} })
		if code, _ := ask(t, checks); code != http.StatusServiceUnavailable {
			t.Errorf("%s answers %d with a check that fails, want 503", name, code)
		}
		remove()
		checks.Stop("stopping")
		if code, _ := ask(t, checks); code != http.StatusServiceUnavailable {
			t.Errorf("%s answers %d once stopped, want 503", name, code)
		}
	}
}

func TestHealthOfTheStreamLeavesTheOthersAlone(t *testing.T) {
	health := NewHealth()
	health.Ready.Add("model sentiment", func() Finding { return Finding{} })
	health.Stream.Add("brokers", func() Finding { return Finding{Problem: "none answers"} })
	for _, checks := range []*Checks{&health.Live, &health.Ready} {
		if code, report := ask(t, checks); code != http.StatusOK {
			t.Errorf("an outage of the brokers made it answer %d %q, want 200", code, report.Missing)
		}
	}
	if code, _ := ask(t, &health.Stream); code != http.StatusServiceUnavailable {
		t.Errorf("stream answers %d, want 503", code)
	}
}

func TestChecksForgetWhatIsRemoved(t *testing.T) {
	health := NewHealth()
	remove := health.Live.Add("model a", func() Finding { return Finding{Problem: "hangs"} })
	health.Live.Add("model b", func() Finding { return Finding{} })
	remove()
	remove()
	if code, report := ask(t, &health.Live); code != http.StatusOK || len(report.Checks) != 1 {
		t.Errorf("answers %d with %d checks, want 200 with model b alone", code, len(report.Checks))
	}
}

func TestChecksAnswerNoOnceStopped(t *testing.T) {
	health := NewHealth()
	health.Ready.Add("model", func() Finding { return Finding{} })
	health.Ready.Stop("stopping: asked to by a signal")
	code, report := ask(t, &health.Ready)
	if code != http.StatusServiceUnavailable || report.Missing[0] != "stopping: asked to by a signal" {
		t.Errorf("answers %d %q, want 503 with the reason", code, report.Missing)
	}
}

func TestHealthIsAMetric(t *testing.T) {
	health := NewHealth()
	health.Ready.Add("model", func() Finding { return Finding{} })
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(health)
	want := `
# HELP nearline_healthy 1 when all checks of the question pass, 0 otherwise. Alert on of="stream" for records that do not flow; of="ready" is about answering requests, and of="live" about needing a restart.
# TYPE nearline_healthy gauge
nearline_healthy{of="live"} 1
nearline_healthy{of="ready"} 1
nearline_healthy{of="stream"} 0
`
	if got := exposed(registry); got != want[1:] {
		t.Errorf("got:\n%s\nwant:%s", got, want)
	}
}
