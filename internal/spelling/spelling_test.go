package spelling

import "testing"

func TestNearestGuessesWhatWasMeant(t *testing.T) {
	names := []string{"name", "group", "delivery", "dead_letters", "max_records", "max_bytes", "members"}
	for key, want := range map[string]string{
		"naem": "name", "groups": "group", "delivry": "delivery", "deadletters": "dead_letters",
		"max_record": "max_records", "maxbytes": "max_bytes", "Members": "members",
		"workers": "", "x": "", "topic": "",
	} {
		if got := Nearest(key, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", key, got, want)
		}
	}
}

func TestEditsCountsASwapAsOne(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "bc", 1}, {"kitten", "sitting", 3}} {
		if got := edits(c.a, c.b); got != c.want {
			t.Errorf("edits(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
