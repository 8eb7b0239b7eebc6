package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/e2e/cluster"
	"nearline/kafka"
)

// TestCompose brings up what the README's second step does, and looks at it as somebody would.
func TestCompose(t *testing.T) {
	p := compose(t)
	p.engine = engine(t)
	p.does("up", "--detach", "--pull", "never", "--quiet-pull")
	for _, look := range []struct {
		name string
		at   func(*testing.T, *project)
	}{
		{"reviews are scored", reviewsAreScored},
		{"bad reviews move an item down", badReviewsMoveAnItemDown},
		{"every container is locked up", everyContainerIsLockedUp},
		{"Prometheus watches", prometheusWatches},
		{"every panel of the dashboard is answered", everyPanelIsAnswered},
		{"alerts fire as their tests say", alertsFireAsTheirTestsSay},
		{"a second replica joins and is found", aSecondReplicaJoins},
		{"the service drains", theServiceDrains},
	} {
		t.Run(look.name, func(t *testing.T) {
			seen := *p
			seen.t = t
			look.at(t, &seen)
		})
	}
}

// project is a run of the Compose file under a name of its own.
type project struct {
	t       *testing.T
	engine  *client.Client
	program string
	file    string
	name    string
	env     []string
	// Where the project's services are reached from here.
	kafka, prometheus string
}

func compose(t *testing.T) *project {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	kafka, err := cluster.EitherImage(ctx, "apache/kafka:"+cluster.Newest, "nearline-e2e/kafka:"+cluster.Newest)
	if errors.Is(err, cluster.ErrNoEngine) && os.Getenv("NEARLINE_E2E_REQUIRED") == "" {
		t.Skipf("NOT RUN, no container engine answers; NEARLINE_E2E_REQUIRED=1 makes this a failure (%v)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	prometheus, err := cluster.EitherImage(ctx, "prom/prometheus:v3.5.0", "nearline-e2e/prometheus:latest")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join("..", "..")
	find := exec.CommandContext(ctx, filepath.Join(root, "e2e", "compose.sh"))
	find.Stderr = os.Stderr
	program, err := find.Output()
	if err != nil {
		t.Fatalf("find Compose: %v", err)
	}
	p := &project{
		t:          t,
		program:    strings.TrimSpace(string(program)),
		file:       filepath.Join(root, "deploy", "compose.yaml"),
		name:       "nearline-e2e-" + strconv.FormatInt(time.Now().UnixNano(), 36),
		kafka:      free(t),
		prometheus: free(t),
	}
	redis, err := cluster.EitherImage(ctx, "redis:8.2", "nearline-e2e/redis:latest")
	if err != nil {
		t.Fatal(err)
	}
	p.env = append(os.Environ(), "KAFKA_IMAGE="+kafka, "REDIS_IMAGE="+redis, "PROMETHEUS_IMAGE="+prometheus, "NEARLINE_IMAGE="+imageName(),
		"KAFKA_PORT="+port(p.kafka), "PROMETHEUS_PORT="+port(p.prometheus),
		// Any port, so that a second replica finds one too.
		"NEARLINE_PORT=0")
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := p.run(context.Background(), "logs", "--no-color", "--tail", "50")
			t.Logf("the logs of the project:\n%s", logs)
		}
		if said, err := p.run(context.Background(), "down", "--volumes", "--timeout", "10"); err != nil {
			t.Errorf("compose down: %v\n%s", err, said)
		}
	})
	return p
}

// free address of this machine.
func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// run Compose, and return all that it says.
func (p *project) run(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, p.program, append([]string{"--file", p.file, "--project-name", p.name}, args...)...) //nolint:gosec // from the checkout
	c.Env = p.env
	said, err := c.CombinedOutput()
	return string(said), err
}

// does wants that Compose ends well.
func (p *project) does(args ...string) string {
	p.t.Helper()
	said, err := p.run(p.t.Context(), args...)
	if err != nil {
		p.t.Fatalf("compose %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return said
}

// containers of the project, ended ones too, by their service.
func (p *project) containers() map[string]string {
	p.t.Helper()
	found := map[string]string{}
	for line := range strings.Lines(p.does("ps", "--all", "--format", "json")) {
		var container struct{ ID, Service string }
		if err := json.Unmarshal([]byte(line), &container); err != nil {
			p.t.Fatalf("compose ps says %q: %v", line, err)
		}
		found[container.Service] = container.ID
	}
	return found
}

// asks Prometheus, and decodes the data of its answer.
func (p *project) asks(path string, into any) error {
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.prometheus+"/api/v1/"+path, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// query returns how many series answer an expression.
func (p *project) query(expression string) (int, error) {
	var data struct{ Result []json.RawMessage }
	err := p.asks("query?"+url.Values{"query": {expression}}.Encode(), &data)
	return len(data.Result), err
}

// await asks until it is told that all is well, for five minutes.
func await(t *testing.T, what string, ask func() error) {
	t.Helper()
	deadline, again := time.NewTimer(5*time.Minute), time.NewTicker(500*time.Millisecond)
	defer deadline.Stop()
	defer again.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within 5 minutes: %v", what, err)
		case <-again.C:
		}
	}
}

// reviewsAreScored reads results and dead letters from this machine, as any client would.
func reviewsAreScored(t *testing.T, p *project) {
	kafka, err := kafka.Connection{Brokers: []string{p.kafka}}.Client(kgo.ConsumeTopics(scored, raw+".dlq"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	results, deadLetters := 0, 0
	for results < 500 || deadLetters < 1 {
		fetches := kafka.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d results and %d dead letters in 10 minutes, want 500 and 1", results, deadLetters)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			switch {
			case r.Topic != scored:
				deadLetters++
			case bytes.Contains(r.Value, []byte(`"sentiment":{"label":"`)):
				results++
			}
		})
	}
	await(t, "results on the screen", func() error {
		if said := p.does("logs", "--no-color", "results"); !strings.Contains(said, `"sentiment":{"label":`) {
			return fmt.Errorf("the service results says %q", said)
		}
		return nil
	})
}

// badReviewsMoveAnItemDown writes bad reviews of what stands first in somebody's ranking, and looks at the next ones.
func badReviewsMoveAnItemDown(t *testing.T, p *project) {
	kafka, err := kafka.Connection{Brokers: []string{p.kafka}}.Client(kgo.ConsumeTopics("rank.results"), kgo.ConsumeStartOffset(kgo.NewOffset().AtEnd()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	next := func() (user string, items []string, scores []float64) {
		for {
			fetches := kafka.PollRecords(ctx, 1)
			if ctx.Err() != nil {
				t.Fatal("no ranking with fresh features that has moved, in 10 minutes")
			}
			for r := range fetches.RecordsAll() {
				var result struct {
					UserID   string `json:"user_id"`
					Features string
					Ranking  []struct {
						ItemID string `json:"item_id"`
						Score  float64
					}
				}
				if err := json.Unmarshal(r.Value, &result); err != nil {
					t.Fatalf("a ranking is %s: %v", r.Value, err)
				}
				if result.Features != "fresh" {
					continue
				}
				for _, entry := range result.Ranking {
					items, scores = append(items, entry.ItemID), append(scores, entry.Score)
				}
				return result.UserID, items, scores
			}
		}
	}
	// The shop has bursts of its own, of what stands first: what stands second may come to stand first, or last, by those, but with a score that is as high.
	const place, fall = 1, 0.5
	user, items, scores := next()
	if len(items) < 3 {
		t.Fatalf("the ranking is %v, want some more items", items)
	}
	item, before := items[place], scores[place]
	for i := range 300 {
		review := fmt.Appendf(nil, `{"review_id":"bad-%d","item_id":%q,"user_id":"somebody","text":"Broke after one day. The worst that I ever bought, a complete waste of money."}`, i, item)
		kafka.Produce(ctx, &kgo.Record{Topic: raw, Key: []byte(item), Value: review}, nil)
	}
	if err := kafka.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, "what they say, in Redis", func() error {
		said := strings.Fields(p.does("exec", "-T", "redis", "redis-cli", "HMGET", "nearline:item:"+item, "reviews", "lately"))
		if len(said) != 2 {
			return fmt.Errorf("it has %v", said)
		}
		reviews, err := strconv.Atoi(said[0])
		lately, alsoErr := strconv.ParseFloat(said[1], 64)
		if err := errors.Join(err, alsoErr); err != nil {
			return err
		}
		if reviews < 300 || lately > 0.15 {
			return fmt.Errorf("%d reviews, and lately they are %v: want at least 300 bad ones", reviews, lately)
		}
		return nil
	})
	for {
		_, items, scores = next()
		if at := slices.Index(items, item); at > place && scores[at] < before-fall {
			break
		}
	}
	await(t, "rankings on the screen", func() error {
		if said := p.does("logs", "--no-color", "shop"); !strings.Contains(said, "ranking  for "+user) {
			return fmt.Errorf("the service shop says %q", said)
		}
		return nil
	})
}

func everyContainerIsLockedUp(t *testing.T, p *project) {
	containers := p.containers()
	for _, service := range []string{"kafka", "redis", "topics", "nearline", "shop", "results", "prometheus"} {
		id, found := containers[service]
		if !found {
			t.Errorf("%s has no container", service)
			continue
		}
		inspected, err := p.engine.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		host, user := inspected.Container.HostConfig, inspected.Container.Config.User
		if got := strings.Join(host.CapDrop, " "); got != "ALL" {
			t.Errorf("%s drops the capabilities %q, want ALL", service, got)
		}
		if got := strings.Join(host.SecurityOpt, " "); !strings.Contains(got, "no-new-privileges") {
			t.Errorf("%s has the security options %q, want no-new-privileges", service, got)
		}
		if user == "" || strings.HasPrefix(user, "0") {
			t.Errorf("%s runs as %q, want a number that is not root's", service, user)
		}
		if !host.ReadonlyRootfs && service != "kafka" {
			t.Errorf("%s can write to its root file system", service)
		}
	}
}

func prometheusWatches(t *testing.T, p *project) {
	await(t, "the service scraped", func() error {
		n, err := p.query(`up{job="nearline"} == 1`)
		if err == nil && n != 1 {
			err = fmt.Errorf("%d targets are up, want 1", n)
		}
		return err
	})
	await(t, "the rules evaluated", func() error {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, State, LastError string }
			}
		}
		if err := p.asks("rules?type=alert", &data); err != nil {
			return err
		}
		rules := 0
		for _, group := range data.Groups {
			for _, rule := range group.Rules {
				rules++
				if rule.Health != "ok" {
					return fmt.Errorf("%s is %s: %s", rule.Name, rule.Health, rule.LastError)
				}
				if rule.State == "firing" {
					t.Errorf("%s fires on a service that is well", rule.Name)
				}
			}
		}
		if rules < 10 {
			return fmt.Errorf("%d rules are loaded, want all of alerts.yml", rules)
		}
		return nil
	})
}

// quiet panels have no series on a service that is well.
var quiet = map[string]bool{"Members made anew": true}

func everyPanelIsAnswered(t *testing.T, p *project) {
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "grafana", "nearline.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$pipeline", ".*", "$instance", ".*", "$__rate_interval", "1m", "$__range", "15m")
	asked := 0
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			asked++
			await(t, "an answer for "+panel.Title, func() error {
				n, err := p.query(variables.Replace(target.Expr))
				if err == nil && n == 0 && !quiet[panel.Title] {
					err = fmt.Errorf("no series for %s", target.Expr)
				}
				return err
			})
		}
	}
	t.Logf("%d expressions of %d panels", asked, len(board.Panels))
	if asked < 30 {
		t.Errorf("%d expressions were found in the dashboard, want all of them", asked)
	}
}

func alertsFireAsTheirTestsSay(t *testing.T, p *project) {
	said, err := p.run(t.Context(), "run", "--rm", "--no-deps", "--entrypoint", "promtool", "prometheus", "test", "rules", "/etc/prometheus/alerts_test.yml")
	if err != nil || !strings.Contains(said, "SUCCESS") {
		t.Errorf("promtool test rules: %v\n%s", err, said)
	}
	if said, err := p.run(t.Context(), "run", "--rm", "--no-deps", "--entrypoint", "promtool", "prometheus", "check", "config", "/etc/prometheus/prometheus.yml"); err != nil {
		t.Errorf("promtool check config: %v\n%s", err, said)
	}
}

func aSecondReplicaJoins(t *testing.T, p *project) {
	p.does("up", "--detach", "--pull", "never", "--no-recreate", "--scale", "nearline=2", "nearline")
	await(t, "two replicas scraped, each with partitions", func() error {
		n, err := p.query(`up{job="nearline"} == 1 and on (instance) (sum by (instance) (nearline_consumer_partition_changes_total{change="assigned"}) > 0)`)
		if err == nil && n != 2 {
			err = fmt.Errorf("%d replicas are, want 2", n)
		}
		return err
	})
}

func theServiceDrains(t *testing.T, p *project) {
	p.does("stop", "nearline")
	id := p.containers()["nearline"]
	inspected, err := p.engine.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if state := inspected.Container.State; state.Running || state.ExitCode != 0 {
		t.Errorf("it ended with %d (running: %v), want 0", state.ExitCode, state.Running)
	}
}
