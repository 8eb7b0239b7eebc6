package consumers

import (
	"cmp"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestMarkSaysWhatIsInDoubt(t *testing.T) {
	const me, other = "me", "other"
	for _, test := range []struct {
		name string
		mark attempt
		at   int64 // 0 is where the mark begins
		want doubt
		none bool
	}{
		{"an ordinary cycle of this process", attempt{By: me, From: 10, Until: 500}, 0, doubt{}, true},
		{"a large ordinary cycle of another", attempt{By: other, From: 10, Until: 500}, 0, doubt{end: 500, size: 64}, false},
		{"a small one", attempt{By: other, From: 10, Until: 74}, 0, doubt{end: 74, size: 8}, false},
		{"the smallest", attempt{By: other, From: 10, Until: 18}, 0, doubt{end: 18, size: 1}, false},
		{"a lone record in an ordinary cycle proves nothing", attempt{By: other, From: 10, Until: 11}, 0, doubt{end: 11, size: 1}, false},
		{"a part of a range", attempt{By: other, From: 10, Until: 74, Size: 64, End: 500}, 0, doubt{end: 74, size: 8}, false},
		{"a part of a part", attempt{By: other, From: 10, Until: 18, Size: 8, End: 74}, 0, doubt{end: 18, size: 1}, false},
		{"a part that this process had", attempt{By: me, From: 10, Until: 74, Size: 64, End: 500}, 0, doubt{end: 500, size: 64}, false},
		{"a part that was survived", attempt{By: other, From: 10, Until: 74, Size: 64, End: 500, Survived: true}, 0, doubt{end: 500, size: 64}, false},
		{"a record alone", attempt{By: other, From: 10, Until: 11, Size: 1, End: 74}, 0, doubt{end: 74, size: 1, deaths: 1}, false},
		{"a record alone, again", attempt{By: other, From: 10, Until: 11, Size: 1, End: 74, Deaths: 1}, 0, doubt{end: 74, size: 1, deaths: 2}, false},
		{"a record alone in this process", attempt{By: me, From: 10, Until: 11, Size: 1, End: 74, Deaths: 1}, 0, doubt{end: 74, size: 1, deaths: 1}, false},
		{"a record alone that was survived", attempt{By: other, From: 10, Until: 11, Size: 1, End: 74, Deaths: 1, Survived: true}, 0, doubt{end: 74, size: 1}, false},
		{"an ordinary cycle that is behind", attempt{By: other, From: 10, Until: 500}, 500, doubt{}, true},
		{"the rest of a range", attempt{By: other, From: 10, Until: 18, Size: 8, End: 74, Survived: true}, 18, doubt{end: 74, size: 8}, false},
		{"what follows a condemned record", attempt{By: other, From: 10, Until: 11, Size: 1, End: 74, Deaths: 1}, 11, doubt{end: 74, size: 1}, false},
		{"a range that is behind", attempt{By: other, From: 73, Until: 74, Size: 1, End: 74}, 74, doubt{}, true},
		{"one that is ahead", attempt{By: other, From: 10, Until: 18, Size: 8, End: 74}, 5, doubt{}, true},
	} {
		got, doubted := test.mark.doubt(me, cmp.Or(test.at, test.mark.From))
		if got != test.want || doubted == test.none {
			t.Errorf("%s: got %+v, in doubt %v: want %+v, %v", test.name, got, doubted, test.want, !test.none)
		}
	}
}

func TestPollThatComesBackEarlyEndsNoDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &quarantine{logger: slog.New(slog.DiscardHandler), doubts: map[int32]doubt{3: {end: 20, size: 8}}}
		began := time.Now()
		for time.Since(began) < quarantinePatience {
			_, cancel := q.patience(t.Context())
			cancel()
			q.waited()
			if _, _, on := q.current(); !on {
				t.Fatalf("the doubt ended after %v: want %v", time.Since(began), quarantinePatience)
			}
			time.Sleep(time.Second)
		}
		q.waited()
		if _, _, on := q.current(); on {
			t.Errorf("the others still wait after %v", time.Since(began))
		}
	})
}
