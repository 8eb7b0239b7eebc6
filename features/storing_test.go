package features

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestEntriesOfOneKeyStayInOrder(t *testing.T) {
	of := func(view, key string) Entry { return Entry{View: view, Key: key} }
	got := ByKey([]Entry{of("view", "a"), of("view", "b"), of("view", "a"), of("other", "a"), of("view", "a")})
	if want := "[[0 2 4] [1] [3]]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestTheLongestTextsGo(t *testing.T) {
	of := func(lengths ...int) (texts []string) {
		for _, n := range lengths {
			texts = append(texts, strings.Repeat("x", n))
		}
		return texts
	}
	const most = 100
	for _, c := range []struct {
		texts []string
		want  string
	}{
		{of(1, most-1), "[]"}, {of(1, most), "[1]"}, {of(most/2+1, 5, most/2+1), "[0]"}, {of(most, 5, 2*most), "[2 0]"},
	} {
		if got := fmt.Sprint(Beyond(c.texts, most)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestWhatIsStoredIsReadAsTheViewDeclaresIt(t *testing.T) {
	fields := []FieldConfig{{Name: "n", Count: &CountConfig{}}, {Name: "mood", Default: new(FieldDefault(0.5)), Mean: &MeanConfig{Operand: Operand{Of: "x"}}}}
	ours := NewView(ViewConfig{Name: "item", Key: "id", Fields: fields})
	theirs := NewView(ViewConfig{Name: "facts", Key: "id", Source: SourceStore, Fields: []FieldConfig{{Name: "price", Type: TypeNumber, Default: new(FieldDefault(1.5))}, {Name: "brand", Type: TypeText}}})
	for _, c := range []struct {
		name   string
		view   *View
		at     string
		texts  map[int]string
		want   string // the values; "" for no entry
		unread string
		err    string
	}{
		{"all of it", ours, "1800000000000", map[int]string{0: "3", 1: "0.25"}, "3 0.25", "", ""},
		{"one is missing", ours, "1800000000000", map[int]string{0: "3"}, "3 0.5", "", ""},
		{"one cannot be read", ours, "1800000000000", map[int]string{0: "many", 1: "0.25"}, "0 0.25", "n", ""},
		{"no time", ours, "", map[int]string{0: "3"}, "", "", ""},
		{"no time that is one", ours, "now", map[int]string{0: "3"}, "", "", `"now"`},
		{"a time beyond all times", ours, "9000000000000000000", nil, "", "", "milliseconds"},
		{"others need no time", theirs, "", map[int]string{1: "Acme"}, "1.5 Acme", "", ""},
		{"others have nothing", theirs, "", nil, "", "", ""},
	} {
		unread := ""
		e := c.view.Stored("k", c.at, func(i int) (string, bool) { text, ok := c.texts[i]; return text, ok },
			func(field string, err error) { unread += field })
		switch got := ""; {
		case c.err != "":
			if e == nil || e.Bad == nil || !strings.Contains(e.Bad.Error(), c.err) || e.Values != nil {
				t.Errorf("%s: got %+v, want an entry without values that says %s", c.name, e, c.err)
			}
		case e != nil && e.Bad != nil:
			t.Errorf("%s: got the bad entry %v", c.name, e.Bad)
		case e == nil:
			if c.want != "" {
				t.Errorf("%s: got no entry, want %s", c.name, c.want)
			}
		default:
			for _, f := range e.Values {
				got += " " + FormatValue(f.Value)
			}
			if strings.TrimSpace(got) != c.want || unread != c.unread || e.Unread != len(c.unread) || c.at == "" && e.Age(time.Now()) > time.Minute {
				t.Errorf("%s: got%s of %d, unread %q, want %s, unread %q", c.name, got, e.At, unread, c.want, c.unread)
			}
		}
	}
	if d := ours.Defaults(); d[0].Value.Int != 0 {
		t.Error("what was read has become the default")
	}
}

func TestAJobIsNumberedAboveAllBeforeWhateverItsClock(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for before, want := range map[int64]int64{
		0: 1_800_000_000, 5: 1_800_000_000, 1_799_999_999: 1_800_000_000, 1_800_000_000: 1_800_000_001, 1_800_003_600: 1_800_003_601, 1<<33 - 2: 1<<33 - 1,
	} {
		if got, err := JobNumber(before, now); err != nil || got != want {
			t.Errorf("after %d comes %d (%v), want %d", before, got, err, want)
		}
	}
	for _, before := range []int64{-1, 1<<33 - 1, 1 << 62} {
		if got, err := JobNumber(before, now); err == nil {
			t.Errorf("after %d comes %d, want an error", before, got)
		}
	}
}
