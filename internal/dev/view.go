package dev

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"
)

// ViewConfig says what is shown, and where.
type ViewConfig struct {
	Feed FeedConfig
	// Kafka and HTTP are the addresses to show; HTTP may be "".
	Kafka, HTTP string
	// Live draws a screen rather than writing lines; see IsTerminal.
	Live bool
	// ASCII is for terminals that know no other characters; see OnlyASCII.
	ASCII bool
	// In takes keys where Live; nil means standard input.
	In io.Reader
	// Out takes the screen or the lines, and the summary.
	Out io.Writer
	// LookUp says what is known of an item; nil shows no items.
	LookUp LookUp
	// Ranking is the latest of a visitor, looked at as often as items are; nil shows none.
	Ranking func() (Ranking, bool)
	// Logs are held back while the screen is up; nil holds nothing back.
	Logs *Logs
}

// IsTerminal says whether a person looks at the file: what Live is meant to be.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// View shows what the service answers. Open it before anything is produced, Run it while the service runs, Finish it
// after the service has stopped.
type View struct {
	cfg  ViewConfig
	feed *feed

	mu    sync.Mutex // guards board, which the feed fills and the screen draws
	board *Board
}

// OpenView stands at the ends of the topics when it returns: whatever is produced from then on is shown and counted.
func OpenView(ctx context.Context, cfg ViewConfig) (*View, error) {
	feed, err := openFeed(ctx, cfg.Feed)
	if err != nil {
		return nil, err
	}
	facts := Facts{Kafka: cfg.Kafka, HTTP: cfg.HTTP, Input: cfg.Feed.Input, Output: cfg.Feed.Output, DeadLetters: cfg.Feed.DeadLetters, Ranking: cfg.Ranking != nil, ASCII: cfg.ASCII}
	return &View{cfg: cfg, feed: feed, board: NewBoard(facts, time.Now(), lipgloss.NewRenderer(cfg.Out))}, nil
}

// Live says whether it draws a screen.
func (v *View) Live() bool { return v.cfg.Live }

// Close ends the view's clients.
func (v *View) Close() { v.feed.close() }

// Run shows events until ctx ends or the person quits, neither of which is an error.
func (v *View) Run(ctx context.Context) error {
	if v.cfg.Live {
		return v.runLive(ctx)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var failed error
	err := v.follow(ctx, func(events []any) {
		if err := v.show(events); err != nil && failed == nil {
			failed = err
			stop(err)
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

// follow hands over events until ctx ends: of the feed, and of the items that it tells of. It calls emit by several goroutines, never at once.
func (v *View) follow(ctx context.Context, emit func([]any)) error {
	if v.cfg.LookUp == nil {
		return v.feed.run(ctx, emit)
	}
	var mu sync.Mutex
	one := func(events []any) {
		mu.Lock()
		defer mu.Unlock()
		emit(events)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return v.feed.run(ctx, one) })
	group.Go(func() error {
		v.followItems(ctx, one)
		return nil
	})
	return group.Wait()
}

// Finish counts what was committed until now, unless ctx ends first, and writes the summary.
func (v *View) Finish(ctx context.Context) (Summary, error) {
	var failed error
	err := v.feed.drain(ctx, func(events []any) {
		if failed == nil {
			failed = v.show(events)
		}
	})
	if failed != nil {
		err = failed
	}
	summary := v.board.Summary(time.Now())
	if err := summary.Write(v.cfg.Out); err != nil {
		return summary, fmt.Errorf("view: %w", err)
	}
	return summary, err
}

// show counts events and, where there is no screen, writes a line for each.
func (v *View) show(events []any) error {
	v.add(events)
	if v.cfg.Live {
		return nil
	}
	out := bufio.NewWriter(v.cfg.Out)
	for _, event := range events {
		if e, ok := event.(interface{ Line() string }); ok {
			_, _ = out.WriteString(e.Line()) // bufio keeps the error for Flush
			_ = out.WriteByte('\n')
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("view: %w", err)
	}
	return nil
}

func (v *View) add(events []any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, event := range events {
		v.board.Add(event)
	}
}

func (v *View) runLive(ctx context.Context) error {
	if v.cfg.Logs != nil {
		v.cfg.Logs.hold()
		defer v.cfg.Logs.release()
	}
	in := v.cfg.In
	if in == nil {
		in = os.Stdin
	}
	// A terminal that needs more cells than any that we know cuts its line, rather than going on in the next one.
	if _, err := io.WriteString(v.cfg.Out, ansi.ResetAutoWrapMode); err != nil {
		return fmt.Errorf("view: %w", err)
	}
	defer func() { _, _ = io.WriteString(v.cfg.Out, ansi.SetAutoWrapMode) }()
	program := tea.NewProgram(&screen{view: v}, tea.WithAltScreen(), tea.WithInput(in), tea.WithOutput(v.cfg.Out), tea.WithoutSignalHandler(), tea.WithFPS(20))
	group, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	group.Go(func() error {
		defer stop()
		if _, err := program.Run(); err != nil {
			return fmt.Errorf("view: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		program.Quit()
		return nil
	})
	group.Go(func() error { return v.follow(ctx, v.add) })
	return group.Wait()
}

// screen is the view as bubbletea wants it. Events do not pass through it: the board is shared, and redrawn at every
// tick, so that a thousand reviews a second cost ten drawings.
type screen struct {
	view          *View
	width, height int
}

type tick time.Time

func nextTick() tea.Cmd {
	return tea.Tick(100*time.Millisecond, func(t time.Time) tea.Msg { return tick(t) })
}

func (s *screen) Init() tea.Cmd { return nextTick() }

func (s *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		s.width, s.height = m.Width, m.Height
	case tea.KeyMsg:
		switch m.String() {
		case "q", "Q", "esc", "ctrl+c", "ctrl+d":
			return s, tea.Quit
		}
	case tick:
		return s, nextTick()
	}
	return s, nil
}

func (s *screen) View() string {
	if s.width == 0 {
		return ""
	}
	notice := ""
	if s.view.cfg.Logs != nil {
		notice = s.view.cfg.Logs.latest()
	}
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	s.view.board.notice = notice
	return s.view.board.Draw(s.width, s.height, time.Now())
}

// heldLogs is how many lines of logs are kept while the screen is up.
const heldLogs = 200

// Logs is where the process logs to while a view may be up: its writer passes lines on, or holds the latest back until
// the screen is gone. Safe for concurrent use.
type Logs struct {
	mu      sync.Mutex // guards all below, and the order of lines
	out     io.Writer
	holding bool
	held    ring[[]byte]
	dropped int
}

// NewLogs passes on to out.
func NewLogs(out io.Writer) *Logs { return &Logs{out: out} }

// Write takes one line of log, as slog's handlers write them.
func (l *Logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.holding {
		return l.out.Write(line)
	}
	if len(l.held.kept) == heldLogs {
		l.dropped++
	}
	l.held.add(bytes.Clone(line), heldLogs)
	return len(line), nil
}

// Fd is that of the file below, so that a logger knows whether a person reads it.
func (l *Logs) Fd() uintptr {
	if file, ok := l.out.(interface{ Fd() uintptr }); ok {
		return file.Fd()
	}
	return ^uintptr(0)
}

func (l *Logs) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holding = true
}

func (l *Logs) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holding = false
	if l.dropped > 0 {
		fmt.Fprintf(l.out, "%d earlier lines of log were dropped\n", l.dropped)
	}
	for i := range l.held.kept {
		_, _ = l.out.Write(l.held.latest(len(l.held.kept) - 1 - i))
	}
	l.held, l.dropped = ring[[]byte]{}, 0
}

// latest line held back, or "".
func (l *Logs) latest() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held.kept) == 0 {
		return ""
	}
	return strings.TrimSpace(string(l.held.latest(0)))
}
