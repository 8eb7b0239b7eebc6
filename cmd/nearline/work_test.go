package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nearline/internal/dev"
	"nearline/internal/observe"
	"nearline/internal/plain"
	"nearline/internal/tables"
	"nearline/internal/veil"
)

func TestDevEndsByItselfWithCounts(t *testing.T) {
	models := repository(t)
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"without a sample", []string{"--sample=false"}, []string{"0 reviews scored in", "dead letters: 0"}},
		{"with one", []string{"--for", "8s", "--backlog", "20", "--rate", "10"}, []string{"positive 0.50  helpful 0.50  ", "reviews scored in", " positive\n", "latency from"}},
		{"with its state kept", []string{"--for", "8s", "--backlog", "20", "--rate", "10", "--data", t.TempDir()}, []string{"reviews scored in"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"dev", "--for", "2s", "--models", models, "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"}, c.args...)
			r := execute(t, "", args...)
			for _, say := range c.says {
				if r.failure == nil && !strings.Contains(r.out, say) { // a busy machine had no time to score any
					r = execute(t, "", append(args, "--for", "1m")...)
				}
			}
			r.ok(t)
			wantAll(t, "standard output", r.out, c.says...)
		})
	}
}

func TestDevInAPipeSaysWhereTheBrokerIsAndThatItIsReady(t *testing.T) {
	c := program(t, "dev", "--models", repository(t), "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", "--sample=false")
	p := start(t, c, (*exec.Cmd).StderrPipe)
	p.until("ready: produce to reviews.raw on 127.0.0.1:")
	said := regexp.MustCompile(`broker up on (127\.0\.0\.1:[1-9]\d*), .*\nready: produce to reviews\.raw on (127\.0\.0\.1:[1-9]\d*); .*on http://127\.0\.0\.1:[1-9]`).FindStringSubmatch(p.seen.String())
	if said == nil || said[1] != said[2] {
		t.Fatalf("got %q, want where the broker is and that it is ready", p.seen.String())
	}
	// It is: what is sent now is scored.
	execute(t, `{"review_id":"r1","title":"Well made","text":"Good.","rating":5,"language":"en"}`, "send", "--kafka", said[1]).ok(t)
	execute(t, "", "tail", "--kafka", said[1], "--topic", dev.TopicScored, "--from-beginning", "--max", "1").ok(t)
	p.interrupt()
	p.ends("stopping")
	wantAll(t, "standard output", p.others.String(), "Well made. Good.", "agrees with stars: 100.0% of 1 English")
}

func TestDevMakesTopicsForAnotherPipeline(t *testing.T) {
	address := freeAddress(t)
	c := program(t, "dev", "--models", repository(t), "--kafka", address, "--http", "off", "--topics", "other.raw,other.scored", "--backlog", "10")
	p := start(t, c, (*exec.Cmd).StdoutPipe)
	p.until("positive 0.50")
	execute(t, "{}", "send", "--kafka", address, "--topic", "other.scored").ok(t)
	p.interrupt()
	p.ends("reviews scored in")
}

func TestDevSaysWhichPortIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address, models := taken.Addr().String(), repository(t)
	execute(t, "", "dev", "--models", models, "--kafka", address).fails(t, address+" is taken", "choose another address with --kafka")
	execute(t, "", "dev", "--models", models, "--kafka", "127.0.0.1:0", "--http", address).fails(t, address, "choose another address with serving.http or --http")
}

func TestDevRefusesABrokenModel(t *testing.T) {
	models := t.TempDir()
	write(t, filepath.Join(models, "sentiment", "1", "nearline.yaml"), "task: magic\n")
	execute(t, "", "dev", "--models", models, "--kafka", "127.0.0.1:0", "--http", "off").fails(t, "load model sentiment version 1", `task is "magic"`)
}

// started is a program whose output is read line by line.
type started struct {
	*exec.Cmd
	t      *testing.T
	lines  *bufio.Scanner
	seen   strings.Builder
	others bytes.Buffer
}

// start a program and follow one of its outputs.
func start(t *testing.T, c *exec.Cmd, follow func(*exec.Cmd) (io.ReadCloser, error)) *started {
	t.Helper()
	s := &started{Cmd: c, t: t}
	pipe, err := follow(c)
	if err != nil {
		t.Fatal(err)
	}
	if c.Stdout == nil {
		c.Stdout = &s.others
	} else {
		c.Stderr = &s.others
	}
	s.lines = bufio.NewScanner(pipe)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// until reads to a line with the text.
func (s *started) until(text string) {
	s.t.Helper()
	for s.lines.Scan() {
		s.seen.WriteString(s.lines.Text() + "\n")
		if strings.Contains(s.lines.Text(), text) {
			return
		}
	}
	s.t.Fatalf("got\n%s%s\nwant a line with %q", s.seen.String(), s.others.String(), text)
}

func (s *started) interrupt() {
	s.t.Helper()
	if err := s.Process.Signal(os.Interrupt); err != nil {
		s.t.Fatal(err)
	}
}

func (s *started) drain() {
	for s.lines.Scan() {
		s.seen.WriteString(s.lines.Text() + "\n")
	}
}

// ends wants that the program ends well, and says a last thing.
func (s *started) ends(says ...string) {
	s.t.Helper()
	s.drain()
	if err := s.Wait(); err != nil {
		s.t.Errorf("got %v, want exit status 0\n%s%s", err, s.seen.String(), s.others.String())
	}
	wantAll(s.t, "the output", s.seen.String(), says...)
}

func TestHangupDrainsAsTerminationDoes(t *testing.T) {
	// Where the tests run under nohup, the program would heed that, too. What is caught here is not ignored by children.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	for _, hangup := range []os.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		p := start(t, program(t, "dev", "--models", repository(t), "--kafka", "127.0.0.1:0", "--http", "off", "--backlog", "50"), (*exec.Cmd).StdoutPipe)
		p.until("positive 0.50")
		if err := p.Process.Signal(hangup); err != nil {
			t.Fatal(err)
		}
		p.ends("reviews scored in")
	}
}

func TestInterruptEndsDevWithASummary(t *testing.T) {
	c := program(t, "dev", "--models", repository(t), "--kafka", "127.0.0.1:0", "--http", "off", "--backlog", "50")
	p := start(t, c, (*exec.Cmd).StdoutPipe)
	p.until("positive 0.50")
	p.interrupt()
	p.ends("reviews scored in", "dead letters: ")
}

func TestInterruptEndsRunInOrder(t *testing.T) {
	broker := startBroker(t)
	execute(t, `{"review_id":"r1","text":"Good."}`, "send", "--kafka", broker).ok(t)
	c := program(t, "run", "--config", configFile(t, broker))
	p := start(t, c, (*exec.Cmd).StderrPipe)
	p.until("model loaded")
	tail := execute(t, "", "tail", "--kafka", broker, "--topic", dev.TopicScored, "--from-beginning", "--max", "1", "--headers")
	tail.ok(t)
	wantAll(t, "the result", tail.out, `"review_id":"r1"`, `"label":"positive"`, "nearline-source-topic=reviews.raw")
	p.interrupt()
	p.ends("stopping", `"msg":"nearline has stopped","records":1`)
}

func TestSecondInterruptEndsAtOnce(t *testing.T) {
	p := start(t, program(t, "run", "--config", configFile(t, "127.0.0.1:1")), (*exec.Cmd).StderrPipe)
	p.until("serving HTTP")
	var serving struct{ Address string }
	lines := strings.Split(strings.TrimSpace(p.seen.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &serving); err != nil {
		t.Fatal(err)
	}
	p.until("model loaded")
	// A request that does not end holds up the stop for the grace of HTTP's answers.
	connection, err := net.Dial("tcp", serving.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := connection.Write([]byte("GET /metrics HTTP/1.1\r\nHost: x\r\n")); err != nil {
		t.Fatal(err)
	}
	// It is no request as long as it lies in the backlog of the port.
	for accepted := false; !accepted; time.Sleep(5 * time.Millisecond) {
		answer, err := http.Get("http://" + serving.Address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		accepted = bytes.Contains(text, []byte("nearline_http_connections 2\n"))
	}
	p.interrupt()
	p.until("stopping")
	ended := make(chan error, 1)
	go func() {
		p.drain()
		ended <- p.Wait()
	}()
	// The program lets go of the signal right after it has said so; until then an interrupt is still the first one.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case err := <-ended:
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT {
				t.Errorf("got %v, want that the interrupt ended it\n%s", err, p.seen.String())
			}
			return
		case <-again.C:
			_ = p.Process.Signal(os.Interrupt) // it may be gone by now
		}
	}
}

func TestSendGoesOnAtARateUntilInterrupted(t *testing.T) {
	broker := startBroker(t)
	p := start(t, program(t, "send", "--kafka", broker, "--sample", "50", "--rate", "100"), (*exec.Cmd).StderrPipe)
	execute(t, "", "tail", "--kafka", broker, "--topic", dev.TopicRaw, "--from-beginning", "--max", "60").ok(t)
	p.interrupt()
	p.ends("records sent to reviews.raw")
}

// terminal has the descriptor of one, and keeps what is written to it.
type terminal struct {
	bytes.Buffer
	*os.File
}

func (t *terminal) Write(p []byte) (int, error) { return t.Buffer.Write(p) }

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	file, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		// Some sandboxes have no pseudo-terminals, and nothing else is a terminal. CI allows no such skip.
		t.Skip("NOT RUN, no pseudo-terminal can be had here:", err)
	}
	t.Cleanup(func() { _ = file.Close() })
	if !dev.IsTerminal(file) {
		t.Fatal("/dev/ptmx was opened, and is not taken for a terminal")
	}
	return &terminal{File: file}
}

func TestLogsOnATerminalAreText(t *testing.T) {
	shown := openTerminal(t)
	shielded := &plain.Writer{To: shown} // as main has it
	hides := veil.New(func(string) bool { return false })
	for name, out := range map[string]io.Writer{"run": hides.Writer(shielded), "dev": dev.NewLogs(shielded)} {
		shown.Reset()
		logger, damper := observe.NewLogger(out, slog.LevelInfo)
		logger.Info("hello")
		damper.Flush()
		if got := shown.String(); !strings.Contains(got, "level=INFO msg=hello") {
			t.Errorf("%s: got %q, want text", name, got)
		}
	}
}

func TestTablesFitTheTerminal(t *testing.T) {
	shown := openTerminal(t)
	if err := unix.IoctlSetWinsize(int(shown.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 66}); err != nil {
		t.Fatal(err)
	}
	c := command()
	c.SetOut(&plain.Writer{To: shown}) // as main has it
	c.SetArgs([]string{"models", "list", repository(t)})
	if err := c.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"MODEL       VERSION   TASK       ANSWERS",
		"sentiment   1         constant   sentiment: constant; helpfulness:",
		"                                 constant",
		"",
	}, "\n")
	if got := shown.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Tables make their cells plain before they set columns: what looks at them on the way to the terminal finds nothing to do, or columns would move.
func TestTablesAreMadePlainOnce(t *testing.T) {
	made := func() *tables.Table {
		table := tables.New(2, "NAME", "N", "CAUSE")
		for _, evil := range []string{"\x1b[2J", "\r\v\f\x00\x7f", "\u009b", "\u202e\u2066", "\u2028\u2029", "\xff\xc3", "a\tb\nc", `\x1b\u001b`, "größe 日本\u3000語 👌🏽"} {
			table.Row(evil, "1", strings.Repeat(evil+" ", 12))
			table.Row(evil, evil)
		}
		return table
	}
	direct, said := openTerminal(t), openTerminal(t)
	for _, shown := range []*terminal{direct, said} {
		if err := unix.IoctlSetWinsize(int(shown.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
			t.Fatal(err)
		}
	}
	if err := made().Write(direct); err != nil {
		t.Fatal(err)
	}
	if err := made().Write(observe.PrintableWriter(&plain.Writer{To: said})); err != nil { // as main and saying have it
		t.Fatal(err)
	}
	if direct.String() != said.String() || plain.DrivesTerminal(said.String()) {
		t.Errorf("got\n%s\nwant it as it was set:\n%s", said, direct)
	}
}
