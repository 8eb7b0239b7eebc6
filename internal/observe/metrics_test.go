package observe

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func TestRegistrySaysWhichBuildRuns(t *testing.T) {
	registry := NewRegistry(Build{Version: "v1", Revision: "abc", Go: "go1.26"})
	const want = `nearline_build_info{goversion="go1.26",revision="abc",version="v1"} 1`
	if got := exposed(registry); !strings.Contains(got, want+"\n") {
		t.Errorf("got:\n%s\nwant a line:\n%s", got, want)
	}
}

// exposed is what a scrape of the registry reads.
func exposed(registry prometheus.Gatherer) string {
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	return recorder.Body.String()
}
