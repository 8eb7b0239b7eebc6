package dev

import (
	"embed"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// What the sample stream says lies in reviews/*.txt, all of it our own words and read by no training. A section is headed by whom it
// serves and by its stance:
//
//	[goods good]         what can be said of anything of a domain
//	[goods/kettle bad]   of one subject; its name stands for {name}
//	[de/goods good]      in another language, of anything of a domain
//
// and each line of it is one thing to say: = a title, ^ an opening, - a point, $ a closing. {one|another} are alternatives, each of which fits
// whatever is chosen elsewhere. Parts of a section fit each other in any order, and each says one thing only; those that would repeat or
// contradict one another have a tag in common, as in "- @age", and never stand in one review.
//
//go:embed reviews/*.txt
var reviewFiles embed.FS

// stance is what a writer thinks of the thing. It is one for the whole review.
type stance int

const (
	good stance = iota
	bad
	mixed
	stances
)

var stanceNames = [stances]string{"good", "bad", "mixed"}

// part is one thing to say.
type part struct {
	tags []string
	text []piece
	// thought is the part of the domain that this one is made of, or itself.
	thought *part
}

// piece is one of several alternatives.
type piece []string

// opinion is all that can be said with one stance of one subject. What is shared goes for every subject of the domain.
type opinion struct {
	titles, openings, points, closings           []*part
	sharedTitles, sharedOpenings, sharedClosings []*part
}

// subject is a thing that people review.
type subject struct {
	name     string
	opinions [stances]opinion
	domain   string
}

// tongue is a language other than English: opinions of a domain.
type tongue struct {
	code    string
	domains map[string]*subject
}

// library is all that the sample stream can say.
type library struct {
	subjects []*subject
	tongues  []*tongue
}

// readLibrary is read once. What is wrong with the files is a fault of ours, which any test of the sample finds.
var readLibrary = sync.OnceValue(func() *library {
	l := &library{}
	shared := map[string]*subject{}
	for _, name := range []string{"goods", "films", "places", "languages"} {
		content, err := reviewFiles.ReadFile("reviews/" + name + ".txt")
		if err != nil {
			panic(err)
		}
		if err := l.parse(shared, string(content)); err != nil {
			panic(fmt.Sprintf("sample: reviews/%s.txt: %v", name, err))
		}
	}
	return l
})

// parse adds what a file says. shared are the domains so far, which stand before their subjects.
func (l *library) parse(shared map[string]*subject, content string) error {
	var into *opinion
	var name string
	for i, line := range strings.Split(content, "\n") {
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			head, stanceName, _ := strings.Cut(strings.Trim(line, "[]"), " ")
			// A name may be of several words; the stance is the last one.
			if at := strings.LastIndex(stanceName, " "); at >= 0 {
				head, stanceName = head+" "+stanceName[:at], stanceName[at+1:]
			}
			at := slices.Index(stanceNames[:], stanceName)
			if at < 0 {
				return fmt.Errorf("line %d: no stance in %s", i+1, line)
			}
			s := l.subjectOf(shared, head)
			into, name = &s.opinions[at], s.name
			if domain := shared[s.domain]; domain != nil && domain != s {
				from := domain.opinions[at]
				into.sharedTitles, into.sharedOpenings, into.sharedClosings = named(from.titles, name), named(from.openings, name), named(from.closings, name)
			}
		case into == nil || len(line) < 3 || line[1] != ' ':
			return fmt.Errorf("line %d: what is %q?", i+1, line)
		default:
			p := parsePart(line[2:])
			if p == nil {
				return fmt.Errorf("line %d: braces or bars that do not pair in %q", i+1, line)
			}
			switch line[0] {
			case '=':
				into.titles = append(into.titles, p)
			case '^':
				into.openings = append(into.openings, p)
			case '-':
				into.points = append(into.points, p)
			case '$':
				into.closings = append(into.closings, p)
			default:
				return fmt.Errorf("line %d: what is %q?", i+1, line)
			}
		}
	}
	return nil
}

// subjectOf finds or makes what the head of a section names: a domain, a subject of it, or a domain in another language.
func (l *library) subjectOf(shared map[string]*subject, head string) *subject {
	before, name, found := strings.Cut(head, "/")
	if !found {
		if shared[head] == nil {
			shared[head] = &subject{name: head, domain: head}
		}
		return shared[head]
	}
	if shared[name] != nil { // a language, since all domains are known by now
		i := slices.IndexFunc(l.tongues, func(t *tongue) bool { return t.code == before })
		if i < 0 {
			i = len(l.tongues)
			l.tongues = append(l.tongues, &tongue{code: before, domains: map[string]*subject{}})
		}
		if l.tongues[i].domains[name] == nil {
			l.tongues[i].domains[name] = &subject{name: name}
		}
		return l.tongues[i].domains[name]
	}
	i := slices.IndexFunc(l.subjects, func(s *subject) bool { return s.domain == before && s.name == name })
	if i < 0 {
		i = len(l.subjects)
		l.subjects = append(l.subjects, &subject{name: name, domain: before})
	}
	return l.subjects[i]
}

// parsePart of a line: tags, and pieces in braces or without. Braces do not nest: nil is a line with such.
func parsePart(line string) *part {
	p := &part{}
	p.thought = p
	for strings.HasPrefix(line, "@") {
		tag, rest, _ := strings.Cut(line, " ")
		p.tags, line = append(p.tags, tag), rest
	}
	for line != "" {
		before, rest, found := strings.Cut(line, "{")
		if before != "" {
			p.text = append(p.text, piece{before})
		}
		if !found {
			break
		}
		inside, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil
		}
		p.text = append(p.text, strings.Split(inside, "|"))
		line = after
	}
	for _, alternatives := range p.text {
		for _, s := range alternatives {
			if strings.ContainsAny(s, "{}") || len(alternatives) == 1 && s != "name" && strings.Contains(s, "|") {
				return nil
			}
		}
	}
	return p
}

// named are the parts with a name in place of {name}.
func named(parts []*part, name string) []*part {
	out := make([]*part, len(parts))
	for i, p := range parts {
		text := slices.Clone(p.text)
		for j, alternatives := range text {
			if len(alternatives) == 1 && alternatives[0] == "name" {
				text[j] = piece{name}
			}
		}
		out[i] = &part{tags: p.tags, text: text, thought: p}
	}
	return out
}

// say chooses among the alternatives.
func (p *part) say(rng *rand.Rand) string {
	var b strings.Builder
	for _, alternatives := range p.text {
		b.WriteString(pick(rng, alternatives))
	}
	return b.String()
}

// clashes says whether a tag of the part is among what was said.
func (p *part) clashes(said map[string]bool) bool {
	return slices.ContainsFunc(p.tags, func(tag string) bool { return said[tag] })
}

var (
	emojiGood = []string{"😍", "👍", "🥰", "🎉", "⭐", "❤️", "👌🏽", "😊", "🙌🏼", "💯"}
	emojiBad  = []string{"😡", "👎", "🙄", "💔", "😤", "🤦🏻‍♀️", "😞", "👎🏾"}
)
