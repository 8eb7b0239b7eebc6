package dev

import (
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	minWords = 5
	maxWords = 150
	// shortWords is what says one thing only.
	shortWords = 12
	// How many reviews lie between two of the same title, two that begin with the same thought, two whose first beginning are the same, and
	// two of the same words: at the default rate, a quarter of a minute, ten seconds, five minutes and a quarter of an hour.
	titledApart, ledApart, begunApart, toldApart = 300, 200, 6000, 16384
	// beginning are what a narrow terminal shows of a review.
	beginning = 48
)

// writer writes reviews, each with one stance. It remembers what was said lately, so that nobody reads it twice. Not safe for concurrent use.
type writer struct {
	rng    *rand.Rand
	titled recent[string]
	led    recent[*part]
	begun  recent[string]
	told   recent[uint64]
}

// draft is one review while it is written.
type draft struct {
	rng       *rand.Rand
	said      map[string]bool // tags, and how sentences begin
	sentences []string
	words     int
	lead      *part
	stale     func(lead *part) bool // nil is never
}

// write makes a title, where one is wanted and the subject has some, and a text of about n words. It is not fresh if much like something said
// lately: then something else had better be reviewed.
func (w *writer) write(o *opinion, stance stance, n int, titled bool) (title, text string, fresh bool) {
	const attempts = 8
	for attempt := 0; attempt < attempts && !fresh; attempt++ {
		d := draft{rng: w.rng, said: map[string]bool{}}
		if attempt < attempts-1 {
			d.stale = w.led.has
		}
		title = d.title(o, titled && attempt < attempts/2) // rather without a title than with one that everybody has just read
		if w.titled.has(title) {
			continue
		}
		if d.compose(o, n+attempt); d.lead == nil {
			continue
		}
		text = strings.Join(d.sentences, " ")
		fresh = w.fresh(title, text, d.lead)
	}
	return title, w.typed(text, stance), fresh
}

// fresh notes what is said, unless it was lately.
func (w *writer) fresh(title, text string, lead *part) bool {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(text)) // has no errors
	told, begun := hash.Sum64(), beginningOf(title, text)
	if w.titled.has(title) || w.led.has(lead) || w.begun.has(begun) || w.told.has(told) {
		return false
	}
	if title != "" {
		w.titled.add(title, titledApart)
	}
	w.led.add(lead, ledApart)
	w.begun.add(begun, begunApart)
	w.told.add(told, toldApart)
	return true
}

func beginningOf(title, text string) string {
	s := title + ". " + text
	return s[:min(beginning, len(s))]
}

// title is drawn first, so that the text does not say it again.
func (d *draft) title(o *opinion, wanted bool) string {
	from := d.either(o.titles, o.sharedTitles)
	if !wanted || len(from) == 0 {
		return ""
	}
	p := pick(d.rng, from)
	s := p.say(d.rng)
	d.note(p, s)
	return strings.TrimSuffix(sentence(d.rng, s), ".")
}

// compose a short review of one thought, or an opening, some points and a closing.
func (d *draft) compose(o *opinion, n int) {
	if n < shortWords && d.rng.IntN(2) == 0 {
		d.add(pick(d.rng, d.either(o.closings, o.sharedClosings)))
	} else if n >= shortWords && d.rng.IntN(3) == 0 {
		d.add(pick(d.rng, d.either(o.openings, o.sharedOpenings)))
	}
	for _, i := range d.rng.Perm(len(o.points)) {
		if d.words >= n {
			break
		}
		d.add(o.points[i])
	}
	if d.words < minWords || d.words < n || n >= shortWords && d.rng.IntN(2) == 0 {
		d.add(pick(d.rng, d.either(o.closings, o.sharedClosings)))
	}
	for _, p := range o.points {
		if d.words < minWords {
			d.add(p)
		}
	}
}

// either the subject's own parts or those of its domain, which many others have, too.
func (d *draft) either(own, shared []*part) []*part {
	if len(own) == 0 || len(shared) > 0 && d.rng.IntN(len(own)+2) >= len(own) {
		return shared
	}
	return own
}

// add says something more, unless it does not go with what was said, is more than anybody reads, or would be a stale beginning.
func (d *draft) add(p *part) {
	s := p.say(d.rng)
	words := countWords(s)
	if p.clashes(d.said) || d.said[startOf(s)] || d.words+words > maxWords {
		return
	}
	if d.lead == nil {
		if d.stale != nil && d.stale(p.thought) {
			return
		}
		d.lead = p.thought
	}
	d.note(p, s)
	d.sentences, d.words = append(d.sentences, sentence(d.rng, s)), d.words+words
}

func (d *draft) note(p *part, s string) {
	d.said[startOf(s)] = true
	for _, tag := range p.tags {
		d.said[tag] = true
	}
}

// startOf a sentence is its first two words: nobody begins two sentences alike, nor says the title again.
func startOf(s string) string {
	words := strings.Fields(strings.ToLower(s))
	return strings.Trim(strings.Join(words[:min(2, len(words))], " "), ".,!")
}

// countWords counts those of languages that have no spaces between them by their length.
func countWords(s string) int {
	if first, _ := utf8.DecodeRuneInString(s); first > 0x3000 {
		return utf8.RuneCountInString(s) / 3
	}
	return len(strings.Fields(s))
}

// sentence has a capital and an end.
func sentence(rng *rand.Rand, s string) string {
	first, size := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(first)) + s[size:]
	if !strings.HasSuffix(s, ".") {
		if last, _ := utf8.DecodeLastRuneInString(s); strings.ContainsRune("!?。", last) {
			return s
		}
		s += "."
	}
	if rng.IntN(12) == 0 {
		return strings.TrimSuffix(s, ".") + "!"
	}
	return s
}

// typed is how it looks when it was typed: some shout, some are in a hurry.
func (w *writer) typed(text string, stance stance) string {
	switch {
	case w.rng.IntN(25) == 0:
		text = strings.ToUpper(strings.TrimRight(text, ".!")) + "!!!"
	case w.rng.IntN(16) == 0:
		text = strings.Map(func(r rune) rune {
			if strings.ContainsRune(".,;!'", r) {
				return -1
			}
			return unicode.ToLower(r)
		}, text)
	case w.rng.IntN(20) == 0:
		text = typos(w.rng, text)
	}
	if stance != mixed && w.rng.IntN(11) == 0 {
		emoji := emojiGood
		if stance == bad {
			emoji = emojiBad
		}
		text += " " + strings.Repeat(pick(w.rng, emoji), 1+w.rng.IntN(3))
	}
	return text
}

// typos swaps neighbouring letters, as hurried thumbs do.
func typos(rng *rand.Rand, text string) string {
	b := []byte(text)
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' }
	for i := 1; i+2 < len(b); i++ {
		if letter(b[i]) && letter(b[i+1]) && rng.IntN(40) == 0 {
			b[i], b[i+1] = b[i+1], b[i]
		}
	}
	return string(b)
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// recent remembers the latest of what it was given.
type recent[K comparable] struct {
	order ring[K]
	held  map[K]int
}

func (r *recent[K]) has(k K) bool { return r.held[k] > 0 }

func (r *recent[K]) add(k K, room int) {
	if r.held == nil {
		r.held = map[K]int{}
	}
	if len(r.order.kept) == room {
		oldest := r.order.latest(room - 1)
		if r.held[oldest]--; r.held[oldest] == 0 {
			delete(r.held, oldest)
		}
	}
	r.order.add(k, room)
	r.held[k]++
}
