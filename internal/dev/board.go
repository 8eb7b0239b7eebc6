package dev

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"

	"nearline/schemas"
)

// What the view shows is made of events; each says when it was received.

// Scored is one result.
type Scored struct {
	At time.Time
	// Input is the timestamp of the record that this is the answer to; zero when that record was not seen.
	Input       time.Time
	ReviewID    string
	ItemID      string // "" where the result has none
	Said        Said   // what the input says
	Label       string
	Score       float64
	Helpfulness float64
	Ranked      bool // Helpfulness is there
}

// Said is what a review says, and what else its writer thought: all of it may be missing.
type Said struct {
	Title, Text string
	// Stars from one to five, or 0; Language as the writer's device calls it, such as en or de-AT.
	Stars    int
	Language string
}

// DeadLetter is one record that could not be answered.
type DeadLetter struct {
	At     time.Time
	Class  string
	Cause  string
	Source string // coordinates
}

// Tombstone is one deletion that was passed on.
type Tombstone struct{ At time.Time }

// Lag is how many input records the group has not committed yet.
type Lag struct{ Records int64 }

// Facts are what the head of the view says and what does not change.
type Facts struct {
	Kafka       string
	HTTP        string // "" when nothing listens
	Input       string
	Output      string
	DeadLetters string
	// Ranking has a line for what a visitor is shown.
	Ranking bool
	// ASCII is for terminals that know no other characters.
	ASCII bool
}

// window is what "now" means: rates and latencies are those of the last ten seconds.
const window = 10 * time.Second

// latencySamples bounds the window where reviews come fast.
const latencySamples = 4096

// shownRows is how many of the latest results are kept for the table: more than any terminal has lines.
const shownRows = 200

// Board counts events and draws them. It does no input or output and has no clock: Add takes events, Draw and Line make
// text. Not safe for concurrent use.
//
// Latency is from the timestamp of the input record, which its producer set when it handed the record to its client, to
// the receipt of the committed result by this view. It holds two trips to the broker besides the service.
type Board struct {
	facts Facts
	style style
	begin time.Time

	labels      map[string]int64
	agreement   agreement
	scored      int64
	tombstones  int64
	dead        map[string]int64
	first, last time.Time // of the results

	lag      int64
	lagKnown bool
	backlog  time.Time // when there last was one: what had been written by then is of it
	rates    [int(window / time.Second)]second
	recent   ring[sample]        // of results as events came
	live     ring[time.Duration] // the same, for longer
	late     ring[time.Duration] // of results of a backlog
	rows     ring[Scored]
	faults   ring[DeadLetter]
	items    Items             // the latest look at the busiest
	ranking  Ranking           // the latest
	past     map[string][]Item // by item, the oldest first
	seen     map[string]int    // results by item
	notice   string            // the latest line of log, for the foot
}

type second struct {
	at    int64
	count int
}

type sample struct {
	at   time.Time
	took time.Duration
}

// ring keeps the latest of what it is given.
type ring[T any] struct {
	kept []T
	next int
}

func (r *ring[T]) add(v T, room int) {
	if len(r.kept) < room {
		r.kept = append(r.kept, v)
		return
	}
	r.kept[r.next] = v
	r.next = (r.next + 1) % room
}

// latest is the i-th youngest.
func (r *ring[T]) latest(i int) T {
	return r.kept[(r.next-1-i+2*len(r.kept))%len(r.kept)]
}

// NewBoard is empty. The renderer knows which colours the terminal has.
func NewBoard(facts Facts, begin time.Time, renderer *lipgloss.Renderer) *Board {
	return &Board{facts: facts, begin: begin, style: newStyle(renderer), labels: map[string]int64{}, dead: map[string]int64{}, past: map[string][]Item{}, seen: map[string]int{}}
}

// Add counts an event: Scored, DeadLetter, Tombstone, Items, Ranking or Lag.
func (b *Board) Add(event any) {
	switch e := event.(type) {
	case Scored:
		b.scored++
		b.labels[e.Label]++
		b.agreement.add(e)
		b.sees(e.ItemID)
		b.count(e.At)
		b.rows.add(e, shownRows)
		if !e.Input.IsZero() {
			took := max(e.At.Sub(e.Input), 0)
			if _, behind := b.behind(e.At); behind {
				b.backlog = e.At
			}
			if e.Input.Before(b.backlog) {
				b.late.add(took, 16*latencySamples)
				return
			}
			b.recent.add(sample{e.At, took}, latencySamples)
			b.live.add(took, 16*latencySamples)
		}
	case DeadLetter:
		b.dead[e.Class]++
		b.count(e.At)
		b.faults.add(e, 1)
	case Tombstone:
		b.tombstones++
		b.count(e.At)
	case Ranking:
		b.ranking = e
	case Items:
		b.look(e)
	case Lag:
		b.lag, b.lagKnown = e.Records, true
	default:
		panic(fmt.Sprintf("board: an event of type %T", event))
	}
}

func (b *Board) count(at time.Time) {
	if b.first.IsZero() {
		b.first = at
	}
	b.last = at
	s := &b.rates[at.Unix()%int64(len(b.rates))]
	if s.at != at.Unix() {
		*s = second{at: at.Unix()}
	}
	s.count++
}

// rate of the last whole seconds of the window, at most as long as there were results at all.
func (b *Board) rate(now time.Time) float64 {
	if b.first.IsZero() {
		return 0
	}
	seconds := min(now.Unix()-b.first.Unix(), int64(len(b.rates))-1)
	if seconds < 1 {
		return 0
	}
	n := 0
	for _, s := range b.rates {
		if s.at < now.Unix() && s.at >= now.Unix()-seconds {
			n += s.count
		}
	}
	return float64(n) / float64(seconds)
}

// behind says how long it will take until no backlog is left, where there is one: more than two seconds of work wait. It is 0 where there is no rate yet.
func (b *Board) behind(now time.Time) (left time.Duration, behind bool) {
	const least = 100 // records: fewer are no backlog, however slow the machine
	rate := b.rate(now)
	if !b.lagKnown || float64(b.lag) < max(2*rate, least) {
		return 0, false
	}
	if rate > 0 {
		left = time.Duration(float64(b.lag) / rate * float64(time.Second))
	}
	return left, true
}

// latency of the window, of results as events came: what a backlog had waited says nothing of the service.
func (b *Board) latency(now time.Time) (median, p99 time.Duration, ok bool) {
	var took []time.Duration
	for _, s := range b.recent.kept {
		if now.Sub(s.at) <= window {
			took = append(took, s.took)
		}
	}
	return percentiles(took)
}

func percentiles(took []time.Duration) (median, p99 time.Duration, ok bool) {
	if len(took) == 0 {
		return 0, 0, false
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100], true
}

// average of effects a second, from the first to the last of them.
func (b *Board) average() float64 {
	if d := b.last.Sub(b.first); d > 0 {
		return float64(b.effects()) / d.Seconds()
	}
	return 0
}

func (b *Board) effects() int64 { return b.scored + b.tombstones + sum(b.dead) }

func sum(counts map[string]int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// counts lists what was counted, the most frequent first, between two marks; nothing when there is nothing.
func counts(m map[string]int64, before, after string) string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return ""
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
	parts := make([]string, len(keys))
	for i, key := range keys {
		parts[i] = thousands(m[key]) + " " + clean(key)
	}
	return before + strings.Join(parts, ", ") + after
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short writes a duration in three digits or so.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// style is the view's colours; on a terminal without any they are all plain.
type style struct {
	good, bad, other, dim, bold, alarm lipgloss.Style
}

func newStyle(r *lipgloss.Renderer) style {
	return style{
		good:  r.NewStyle().Foreground(lipgloss.ANSIColor(2)),
		bad:   r.NewStyle().Foreground(lipgloss.ANSIColor(1)),
		other: r.NewStyle().Foreground(lipgloss.ANSIColor(4)),
		dim:   r.NewStyle().Faint(true),
		bold:  r.NewStyle().Bold(true),
		alarm: r.NewStyle().Foreground(lipgloss.ANSIColor(3)),
	}
}

func (s style) label(label string) lipgloss.Style {
	switch label {
	case "positive":
		return s.good
	case "negative":
		return s.bad
	default:
		return s.other
	}
}

// Draw fills a terminal of the given size. Every line fits: none is wrapped.
func (b *Board) Draw(width, height int, now time.Time) string {
	width = max(width, 1)
	d := drawing{width: width - 1, style: b.style, ascii: b.facts.ASCII} // some terminals wrap a full last column
	d.head(b, now)
	d.line("")
	for _, line := range d.numbers(b, now) {
		d.line(line)
	}
	d.line(b.style.dim.Render(strings.Repeat("─", d.width)))
	d.table(b, height-len(d.lines)-1)
	for len(d.lines) < height-1 {
		d.line("")
	}
	if len(d.lines) > height-1 {
		d.lines = d.lines[:max(height-1, 0)]
	}
	foot := b.style.dim.Render("q quits")
	if b.notice != "" {
		foot += "   " + b.style.alarm.Render(clean(b.notice))
	} else if len(b.faults.kept) > 0 {
		f := b.faults.latest(0)
		foot += b.style.dim.Render("   last dead letter: " + clean(f.Class+": "+f.Cause))
	}
	d.line(foot)
	return strings.Join(d.lines, "\n")
}

// drawing collects lines of one width.
type drawing struct {
	width int
	style style
	ascii bool
	lines []string
}

func (d *drawing) line(s string) { d.lines = append(d.lines, d.fit(s, d.width)) }

func (d *drawing) fit(s string, width int) string {
	if d.ascii {
		return fit(ascii(s), width, "...")
	}
	return fit(s, width, "…")
}

func (d *drawing) head(b *Board, now time.Time) {
	left := d.style.bold.Render("nearline") + "  kafka " + b.facts.Kafka
	if b.facts.HTTP != "" {
		left += "  http " + b.facts.HTTP
	}
	right := now.Sub(b.begin).Round(time.Second).String()
	left = d.fit(left, max(d.width-len(right)-1, 0))
	d.line(left + strings.Repeat(" ", max(d.width-cells(left)-len(right), 1)) + right)
	d.line(d.style.dim.Render(b.facts.Input + " → " + b.facts.Output + "   dead letters: " + b.facts.DeadLetters))
}

// numbers are the figures. Which line a figure is on never changes, so that the table below stands still.
func (d *drawing) numbers(b *Board, now time.Time) []string {
	bold := d.style.bold.Render
	pace := fmt.Sprintf("%s/s now   %s/s average   lag ", bold(fmt.Sprintf("%.0f", b.rate(now))), bold(fmt.Sprintf("%.0f", b.average())))
	if b.lagKnown {
		pace += bold(thousands(b.lag))
	} else {
		pace += "unknown"
	}
	if left, behind := b.behind(now); behind {
		if left > 0 {
			pace += ", " + bold(left.Round(time.Second).String()) + " to catch up"
		}
	} else if median, p99, ok := b.latency(now); ok {
		pace += "   latency " + bold(short(median)) + " median, " + bold(short(p99)) + " p99"
	}
	scored := "scored " + bold(thousands(b.scored)) +
		"   " + d.style.label("positive").Render(thousands(b.labels["positive"])+" positive") +
		"   " + d.style.label("negative").Render(thousands(b.labels["negative"])+" negative")
	if b.tombstones > 0 {
		scored += "   tombstones " + thousands(b.tombstones)
	}
	dead := "dead letters " + thousands(sum(b.dead)) + counts(b.dead, ": ", "")
	if len(b.dead) > 0 {
		dead = d.style.alarm.Render(dead)
	}
	numbers := []string{pace, scored, b.agreement.line(bold), dead, d.items(b)}
	if b.facts.Ranking {
		numbers = append(numbers, d.ranking(b))
	}
	return numbers
}

// barWidth of the score, in cells.
const barWidth = 8

// table of the latest results, the youngest first.
func (d *drawing) table(b *Board, height int) {
	if height < 2 {
		return
	}
	d.line(d.style.dim.Render("sentiment  score          stars  helpful  review"))
	if len(b.rows.kept) == 0 {
		d.line("")
		d.line("No results yet. Produce to " + b.facts.Input + " with any Kafka client, for example")
		d.line(fmt.Sprintf("  echo '{\"text\":\"Love it!\"}' | kcat -P -b %s -t %s", b.facts.Kafka, b.facts.Input))
		return
	}
	for i := range min(len(b.rows.kept), height-1) {
		row := b.rows.latest(i)
		style := d.style.label(row.Label)
		label := d.fit(clean(row.Label), 9)
		label += strings.Repeat(" ", 9-cells(label))
		helpful := "  –   "
		if row.Ranked {
			helpful = fmt.Sprintf("%5.2f ", row.Helpfulness)
		}
		d.line(style.Render(label) + "  " + fmt.Sprintf("%.2f ", row.Score) + style.Render(bar(row.Score)) + "  " + d.stars(row) + "  " + helpful + "  " + d.said(row))
	}
}

// bar of a share, in eighths of a cell.
func bar(share float64) string {
	eighths := int(min(max(share, 0), 1)*barWidth*8 + 0.5)
	s := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return s + strings.Repeat(" ", barWidth-len([]rune(s)))
}

// said is what the review says, with its language where that is not English, or its id where nothing else is known. A title is read by the
// model as a sentence before the text.
func (d *drawing) said(s Scored) string {
	title, text := s.Said.parts()
	if title+text == "" {
		return "review " + clean(s.ReviewID)
	}
	if title != "" {
		title = d.style.bold.Render(title) + " "
	}
	if language := clean(s.Said.Language); language != "" && !s.Said.english() {
		title = d.style.other.Render("["+d.fit(language, 8)+"]") + " " + title
	}
	return title + text
}

// parts are the title, as the model reads it, and the text, each on one line.
func (s Said) parts() (title, text string) {
	return clean(schemas.Heading(s.Title)), clean(s.Text)
}

// lineWidth of a review where the view is not a terminal, in cells.
const lineWidth = 160

// Line is a result as one line of text.
func (s Scored) Line() string {
	line := fmt.Sprintf("%-8s %.2f  ", clean(s.Label), s.Score)
	if s.Ranked {
		line += fmt.Sprintf("helpful %.2f  ", s.Helpfulness)
	}
	return fit(line+(&drawing{width: lineWidth}).said(s), lineWidth, "…")
}

// Line is a dead letter as one line of text.
func (d DeadLetter) Line() string {
	return fit(fmt.Sprintf("dead letter  %s  %s: %s", clean(d.Source), clean(d.Class), clean(d.Cause)), lineWidth, "…")
}
