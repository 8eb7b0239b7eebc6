package dev

import (
	"fmt"
	"strings"
)

// agreement counts how often a label is what the writer's stars say: one and two are negative, four and five positive. English is apart, since
// that is what the model is made for.
type agreement struct {
	english, others tally
	undecided       int64 // three stars
}

type tally struct{ agreed, of int64 }

func (a *agreement) add(s Scored) {
	agrees, decided := s.agrees()
	if s.Said.Stars == 3 {
		a.undecided++
	}
	if !decided {
		return
	}
	to := &a.others
	if s.Said.english() {
		to = &a.english
	}
	to.of++
	if agrees {
		to.agreed++
	}
}

// agrees says whether the label is what the stars say; they have to say something, of a review whose language is known.
func (s Scored) agrees() (agrees, decided bool) {
	stars := s.Said.Stars
	decided = (stars == 1 || stars == 2 || stars == 4 || stars == 5) && s.Said.Language != "" && (s.Label == "positive" || s.Label == "negative")
	return (stars > 3) == (s.Label == "positive"), decided
}

func (s Said) english() bool {
	language := strings.ToLower(s.Language)
	return language == "en" || strings.HasPrefix(language, "en-") || strings.HasPrefix(language, "en_")
}

func (t tally) String() string {
	return fmt.Sprintf("%.1f%% of %s", float64(t.agreed)/float64(t.of)*100, thousands(t.of))
}

// line is empty where nobody gave stars.
func (a *agreement) line(bold func(...string) string) string {
	var parts []string
	if a.english.of > 0 {
		parts = append(parts, bold(a.english.String())+" English")
	}
	if a.others.of > 0 {
		parts = append(parts, a.others.String()+" others")
	}
	if len(parts) == 0 {
		return ""
	}
	if a.undecided > 0 {
		parts = append(parts, thousands(a.undecided)+" mixed")
	}
	return "agrees with stars: " + strings.Join(parts, ", ")
}

// stars of a review, which stand out where the label says otherwise.
func (d *drawing) stars(s Scored) string {
	if s.Said.Stars < 1 || s.Said.Stars > 5 {
		return "  –  "
	}
	stars := fmt.Sprintf("  %d★ ", s.Said.Stars)
	if agrees, decided := s.agrees(); decided && !agrees {
		return d.style.alarm.Render(stars)
	}
	return stars
}
