package deadletters

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nearline/producers"
)

// Dimensions that dead letters can be counted by.
var dimensions = map[string]func(*producers.Letter) string{
	"class":  func(l *producers.Letter) string { return string(l.Class) },
	"cause":  func(l *producers.Letter) string { return alike(l.Cause) },
	"stage":  func(l *producers.Letter) string { return l.Stage },
	"source": func(l *producers.Letter) string { return l.Source.Topic },
	"model": func(l *producers.Letter) string {
		if l.Model == "" {
			return "-"
		}
		return fmt.Sprintf("%s/%d", l.Model, l.Version)
	},
	"day":    func(l *producers.Letter) string { return l.Time.UTC().Format(time.DateOnly) },
	"hour":   func(l *producers.Letter) string { return l.Time.UTC().Format("2006-01-02T15Z") },
	"replay": func(l *producers.Letter) string { attempt, _ := l.Replayed(); return strconv.Itoa(attempt) },
}

// CheckDimension says whether letters can be counted by it.
func CheckDimension(name string) error {
	if dimensions[name] != nil {
		return nil
	}
	return fmt.Errorf("cannot count by %q: want class, cause, stage, source, model, day, hour or replay", name)
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
var numbers = regexp.MustCompile(`\d+`)

// alike makes one text of causes that differ in what they quote and count.
func alike(cause string) string {
	return numbers.ReplaceAllString(quoted.ReplaceAllString(cause, `"…"`), "N")
}

// Count of letters that are alike.
type Count struct {
	Values   []string // in the order of the dimensions asked for
	Letters  int64
	Replayed int64 // of them, repaired or as they were
	// Dismissed are those that somebody decided to leave dead.
	Dismissed int64
}

// maxCounts bounds how many kinds of letters are told apart; what goes beyond is counted together.
const maxCounts = 10_000

// Counts counts the letters that the filter picks, the most frequent first. What is no dead letter is counted apart.
func (t *Topic) Counts(ctx context.Context, filter Filter, by []string) (counts []Count, foreign int64, err error) {
	before, err := t.dealt(ctx)
	if err != nil {
		return nil, 0, err
	}
	found := make(map[string]*Count)
	err = t.Each(ctx, filter, func(f Found) error {
		if f.Err != nil {
			foreign++
			return nil //nolint:nilerr // what is no dead letter is counted, and hides none of the others
		}
		how := before.dealing(f.At)
		if filter.Left && how != Left {
			return nil
		}
		values := make([]string, len(by))
		for i, dimension := range by {
			values[i] = dimensions[dimension](f.Letter)
		}
		key := strings.Join(values, "\x00")
		if found[key] == nil && len(found) >= maxCounts {
			key, values = "", slices.Repeat([]string{"(others)"}, len(by))
		}
		if found[key] == nil {
			found[key] = &Count{Values: values}
		}
		found[key].Letters++
		switch how {
		case Left:
		case Dismissed:
			found[key].Dismissed++
		case PutBack, Repaired:
			found[key].Replayed++
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	for _, count := range found {
		counts = append(counts, *count)
	}
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Letters, a.Letters), slices.Compare(a.Values, b.Values))
	})
	return counts, foreign, nil
}

// Listed is a letter, and what was done about it.
type Listed struct {
	Found
	Replayed bool // repaired, or as it was
	Dealt    Dealing
}

// List hands over the letters that the filter picks, at most limit of them, 0 being no limit. It says whether there may be more.
func (t *Topic) List(ctx context.Context, filter Filter, limit int, f func(Listed) error) (more bool, err error) {
	before, err := t.dealt(ctx)
	if err != nil {
		return false, err
	}
	listed := 0
	err = t.Each(ctx, filter, func(found Found) error {
		how := before.dealing(found.At)
		if filter.Left && how != Left {
			return nil
		}
		if limit > 0 && listed == limit {
			more = true
			return errEnough
		}
		listed++
		return f(Listed{found, how == PutBack || how == Repaired, how})
	})
	return more, err
}
