package stories

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settings in which the stories' replicas differ.
type settings struct {
	program string
	static  bool
	start   string // of the group; earliest when empty
	// repository and model; the constant one of the story when empty.
	repository, model string
	// predict and output are keys of the step and of the output.
	predict, output string
	// features is the section of that name, with a line break after it, and steps are those after the prediction, each with a comma before it.
	features, steps string
	// pipelines are further ones, each with a line break after it.
	pipelines string
	// kafka and serving are further keys of these sections, each with a comma before it.
	kafka, serving string
}

// web says how replicas are asked over HTTP. The zero value asks in the clear.
type web struct {
	client *http.Client // nil is the default one
	scheme string       // http when empty
	token  func() string
}

// setting changes them.
type setting func(*settings)

func staticMembership(s *settings) { s.static = true }

// realModel is the one that ships.
func realModel(s *settings) {
	s.repository, s.model = filepath.Join(root, "models", "zoo"), "sentiment"
}

// config of a replica.
func (s *story) config(name string, o settings) string {
	return fmt.Sprintf(`kafka: {brokers: ['%s'], replica: %s, static_membership: %v%s}
models: {repository: %s}
%spipelines:
  - name: story
    group: %s
    start: %s
    input: {topic: %s, map: {id: review_id, text: text}}
    steps: [{predict: {model: %s, %s}}%s]
    output: {topic: %s, %s}
    dead_letters: %s
%sserving: {http: '127.0.0.1:0'%s}
`, strings.Join(s.cluster.Direct(), "', '"), name, o.static, o.kafka, o.repository, o.features, s.group, cmp.Or(o.start, "earliest"), s.raw, o.model, o.predict, o.steps, s.scored, o.output, s.dead, o.pipelines, o.serving)
}

// defaults of what replicas are told, and what has changed them.
func (s *story) defaults(with ...setting) settings {
	o := settings{program: program, repository: s.models, model: "constant", output: "copy: [item_id]"}
	for _, set := range with {
		set(&o)
	}
	return o
}

// writeConfig of a replica that is not started.
func (s *story) writeConfig(name string, with ...setting) string {
	s.t.Helper()
	path := filepath.Join(s.folder, name+".yaml")
	s.must("write a configuration", os.WriteFile(path, []byte(s.config(name, s.defaults(with...))), 0o600))
	return path
}

// replica of the service: a child process, and those that follow it under its name.
type replica struct {
	story   *story
	name    string
	address string // of its HTTP
	log     string // of all processes
	logFrom int64  // where that of this process begins
	command *exec.Cmd
	ended   chan struct{}
	status  error // once ended
	asked   bool  // to end
}

// replica starts one and waits until it is ready.
func (s *story) replica(name string, with ...setting) *replica {
	s.t.Helper()
	r := &replica{story: s, name: name, log: filepath.Join(s.folder, name+".log")}
	s.replicas[name] = r
	r.start(with...)
	return r
}

// start a process under the replica's name.
func (r *replica) start(with ...setting) {
	s := r.story
	s.t.Helper()
	o, config := s.defaults(with...), s.writeConfig(r.name, with...)
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	s.must("open a log", err)
	defer log.Close()
	r.logFrom, err = log.Seek(0, io.SeekEnd)
	s.must("find the end of a log", err)
	c := exec.Command(o.program, "run", "--config", config) //nolint:gosec // the service under test, which the story ends
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.must("start "+r.name, c.Start())
	ended := make(chan struct{})
	r.command, r.ended, r.asked = c, ended, false
	go func() {
		r.status = c.Wait()
		close(ended)
	}()
	s.await(r.name+" to be ready", func(ctx context.Context) error {
		if err := r.endedByItself(); err != nil {
			s.t.Fatalf("replica %s ended by itself: %v; see %s", r.name, err, r.log)
		}
		if err := r.findAddress(); err != nil {
			return err
		}
		status, page, err := r.get(ctx, "/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%d: %s", status, page)
		}
		return err
	})
}

// findAddress in the log: the kernel chose the port.
func (r *replica) findAddress() error {
	data, err := os.ReadFile(r.log)
	if err != nil {
		return err
	}
	for text := range bytes.Lines(data[r.logFrom:]) {
		var line struct{ Msg, Address string }
		if json.Unmarshal(text, &line) == nil && line.Msg == "serving HTTP" {
			r.address = line.Address
			return nil
		}
	}
	return errors.New("it does not serve HTTP yet")
}

// endedByItself is why a process ended that nobody asked to, nil otherwise.
func (r *replica) endedByItself() error {
	if r.ended == nil || r.asked {
		return nil
	}
	select {
	case <-r.ended:
		if r.status == nil {
			return errors.New("exit status 0")
		}
		return r.status
	default:
		return nil
	}
}

// signal the process and wait for its end. It says whether there was one.
func (r *replica) signal(signal os.Signal) bool {
	if r.ended == nil || r.asked {
		return false
	}
	r.asked = true
	_ = r.command.Process.Signal(signal) // it may have ended in this moment
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
		r.story.t.Errorf("replica %s did not end within %v of %v; see %s", r.name, patience, signal, r.log)
		_ = r.command.Process.Kill()
		<-r.ended
	}
	return true
}

// stop asks it to end, as a rollout does, and wants that it drains.
func (r *replica) stop() {
	r.story.t.Helper()
	if err := r.endedByItself(); err != nil {
		r.story.t.Fatalf("replica %s ended by itself: %v; see %s", r.name, err, r.log)
	}
	if r.signal(syscall.SIGTERM) && r.status != nil {
		r.story.t.Errorf("replica %s, asked to stop: %v, want exit status 0; see %s", r.name, r.status, r.log)
	}
}

// kill is kill -9.
func (r *replica) kill() { r.signal(syscall.SIGKILL) }

// restart it, as a rollout does.
func (r *replica) restart(with ...setting) {
	r.story.t.Helper()
	r.stop()
	r.start(with...)
}

func (r *replica) get(ctx context.Context, page string) (status int, body string, err error) {
	request, err := r.request(ctx, http.MethodGet, page, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := r.do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// request to the replica, with the token that readers have.
func (r *replica) request(ctx context.Context, method, page string, body []byte) (*http.Request, error) {
	w := r.story.web
	request, err := http.NewRequestWithContext(ctx, method, cmp.Or(w.scheme, "http")+"://"+r.address+page, bytes.NewReader(body))
	if err == nil && w.token != nil {
		request.Header.Set("Authorization", "Bearer "+w.token())
	}
	return request, err
}

func (r *replica) do(request *http.Request) (*http.Response, error) {
	if client := r.story.web.client; client != nil {
		return client.Do(request)
	}
	return http.DefaultClient.Do(request)
}

// expectStream waits until /streamz answers so, and says that.
func (r *replica) expectStream(want int, says string) {
	r.story.t.Helper()
	r.story.await(fmt.Sprintf("/streamz of %s to say %d and %q", r.name, want, says), func(ctx context.Context) error {
		status, page, err := r.get(ctx, "/streamz")
		if err == nil && (status != want || !strings.Contains(page, says)) {
			err = fmt.Errorf("it says %d: %s", status, page)
		}
		return err
	})
}

// metric is the sum of its series, 0 where it has none.
func (r *replica) metric(name string) float64 {
	r.story.t.Helper()
	ctx, cancel := r.story.withDeadline()
	defer cancel()
	_, page, err := r.get(ctx, "/metrics")
	r.story.must("read the metrics of "+r.name, err)
	sum := 0.0
	for line := range strings.Lines(page) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if series != name && !strings.HasPrefix(series, name+"{") {
			continue
		}
		if i := strings.LastIndexByte(value, ' '); i >= 0 { // a label's value may have spaces
			value = value[i+1:]
		}
		n, err := strconv.ParseFloat(value, 64)
		r.story.must("read "+line, err)
		sum += n
	}
	return sum
}

// logged are the lines of the log that have all of these in them.
func (r *replica) logged(words ...string) (lines []string) {
	r.story.t.Helper()
	data, err := os.ReadFile(r.log)
	r.story.must("read a log", err)
next:
	for line := range strings.Lines(string(data)) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func (r *replica) lastLines(n int) []byte {
	data, err := os.ReadFile(r.log)
	if err != nil {
		return []byte(err.Error())
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n-1):], nil)
}
