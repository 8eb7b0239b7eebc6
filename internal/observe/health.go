package observe

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Health is what the service says of itself, under three questions that must not be mixed:
//
//   - Live: must the process be restarted? Only what a restart cures belongs here, such as a model that hangs.
//   - Ready: can it answer requests? Models loaded, and nothing else.
//   - Stream: do records flow? Brokers reached, no permanent fault. An outage of the brokers makes the stream
//     unhealthy, and neither restarts the process nor takes its online serving out of rotation.
//
// Silence is not death: a check must not fail because nothing arrives.
type Health struct {
	Live   Checks
	Ready  Checks
	Stream Checks
}

// Hide has every answer go through hide, which takes out what nobody may read and leaves JSON that is valid. Call it before any probe.
func (h *Health) Hide(hide func(document []byte) []byte) {
	for _, checks := range []*Checks{&h.Live, &h.Ready, &h.Stream} {
		checks.hide = hide
	}
}

// NewHealth starts alive, and neither ready nor streaming until checks are there to say so, or Started is called.
func NewHealth() *Health {
	return &Health{
		Ready:  Checks{whenEmpty: "starting: no model has been loaded yet"},
		Stream: Checks{whenEmpty: "starting: no pipeline has been started yet"},
	}
}

// Check looks at one component. It reads state and returns at once; it is called by every probe and every scrape,
// concurrently. One that blocks makes the probe time out, which a prober counts as failed.
type Check func() Finding

// Finding is what a check sees.
type Finding struct {
	// Problem says in words what is missing and what would help; "" means that all is well.
	Problem string `json:"problem,omitempty"`
	// Detail is worth knowing either way: a state, a lag, the time of the last commit. It must marshal to JSON.
	Detail any `json:"detail,omitempty"`
}

// Checks answer one question. Safe for concurrent use.
type Checks struct {
	whenEmpty string // the problem while nothing is registered and nobody has called Started; "" when that is well
	hide      func(document []byte) []byte

	mu       sync.Mutex // guards started, stopping and checks
	started  bool
	stopping string
	checks   []*namedCheck
}

type namedCheck struct {
	name  string
	check Check
}

// Add registers a check under a name that a person understands, such as "model sentiment". The returned function takes
// it out again.
func (c *Checks) Add(name string, check Check) (remove func()) {
	added := &namedCheck{name, check}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checks = append(c.checks, added)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.checks = slices.DeleteFunc(c.checks, func(have *namedCheck) bool { return have == added })
	}
}

// Started ends the time in which nothing is registered yet: from here on, no checks means that nothing can be wrong.
// Whoever starts the service calls it at the end of the start, since a service need not have anything to check.
func (c *Checks) Started() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started = true
}

// Stop makes the answer no from here on, for the reason given: the first thing to do when the service shuts down, so
// that requests go elsewhere while it still answers.
func (c *Checks) Stop(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = reason
}

// Report is the answer to one question.
type Report struct {
	OK bool `json:"ok"`
	// Missing are the problems, each with the name of its check; empty when OK.
	Missing []string `json:"missing"`
	// Checks are all findings by name.
	Checks []CheckReport `json:"checks"`
}

// CheckReport is one check's finding.
type CheckReport struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Finding
}

// Report asks all checks.
func (c *Checks) Report() Report {
	c.mu.Lock()
	checks, started, stopping := slices.Clone(c.checks), c.started, c.stopping
	c.mu.Unlock()

	report := Report{Missing: []string{}, Checks: []CheckReport{}}
	if stopping != "" {
		report.Missing = append(report.Missing, stopping)
	}
	if len(checks) == 0 && !started && c.whenEmpty != "" {
		report.Missing = append(report.Missing, c.whenEmpty)
	}
	slices.SortStableFunc(checks, func(a, b *namedCheck) int { return cmp.Compare(a.name, b.name) })
	for _, check := range checks {
		finding := check.check()
		report.Checks = append(report.Checks, CheckReport{Name: check.name, OK: finding.Problem == "", Finding: finding})
		if finding.Problem != "" {
			report.Missing = append(report.Missing, check.name+": "+finding.Problem)
		}
	}
	report.OK = len(report.Missing) == 0
	return report
}

// ServeHTTP answers 200 or 503, with the report as JSON.
func (c *Checks) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	report := c.Report()
	body, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		http.Error(w, "marshal report: "+err.Error(), http.StatusInternalServerError)
		return
	}
	if c.hide != nil {
		body = c.hide(body)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !report.OK {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// A prober that hung up does not need the answer.
	_, _ = w.Write(append(body, '\n'))
}

// Describe implements prometheus.Collector.
func (h *Health) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- healthy }

// Collect implements prometheus.Collector: the three answers as gauges.
func (h *Health) Collect(metrics chan<- prometheus.Metric) {
	for _, of := range []struct {
		question string
		checks   *Checks
	}{{"live", &h.Live}, {"ready", &h.Ready}, {"stream", &h.Stream}} {
		value := 0.0
		if of.checks.Report().OK {
			value = 1
		}
		metrics <- prometheus.MustNewConstMetric(healthy, prometheus.GaugeValue, value, of.question)
	}
}

var healthy = prometheus.NewDesc("nearline_healthy",
	"1 when all checks of the question pass, 0 otherwise. Alert on of=\"stream\" for records that do not flow; "+
		"of=\"ready\" is about answering requests, and of=\"live\" about needing a restart.",
	[]string{"of"}, nil)

var _ prometheus.Collector = (*Health)(nil)
