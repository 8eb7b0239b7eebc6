package consumers

import (
	"cmp"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nearline/pipeline"
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

// names of processes, as they make them up.
const (
	processA = "AAAAAAAAAAAAAAAAAAAAAAAAAA"
	processB = "BBBBBBBBBBBBBBBBBBBBBBBBBB"
	processC = "CCCCCCCCCCCCCCCCCCCCCCCCCC"
)

func TestMarksThatThisCodeCannotHaveWrittenAreIgnored(t *testing.T) {
	for value, want := range map[string]bool{
		`{"by":"` + processA + `","from":0,"until":500}`:                            true,
		`{"by":"` + processA + `","from":0,"until":500,"survived":true}`:            true,
		`{"by":"` + processA + `","from":10,"until":900,"size":64,"end":500}`:       true, // offsets may have gaps
		`{"by":"` + processA + `","from":0,"until":1,"size":1,"end":1,"deaths":1}`:  true,
		`{"by":"x","from":0,"until":1,"size":1,"end":1,"deaths":9}`:                 false,
		`{"by":"x","from":0,"until":1}`:                                             false,
		`{"by":"` + processA + `","from":0,"until":1,"size":1,"end":1,"deaths":9}`:  false,
		`{"by":"` + processA + `","from":0,"until":1,"size":1,"end":1,"deaths":2}`:  false,
		`{"by":"` + processA + `","from":0,"until":1,"size":1,"end":1,"deaths":-1}`: false,
		`{"by":"` + processA + `","from":0,"until":2,"size":1,"end":9}`:             false,
		`{"by":"` + processA + `","from":0,"until":8,"size":8,"end":9,"deaths":1}`:  false,
		`{"by":"` + processA + `","from":0,"until":1,"size":2,"end":9}`:             false,
		`{"by":"` + processA + `","from":0,"until":1,"size":-1,"end":9}`:            false,
		`{"by":"` + processA + `","from":5,"until":6,"size":1,"end":5}`:             false,
		`{"by":"` + processA + `","from":0,"until":9,"end":9}`:                      false,
		`{"by":"` + processA + `","from":0,"until":9,"deaths":1}`:                   false,
		`{"by":"` + processA + `","from":-1,"until":9}`:                             false,
		`{"by":"` + processA + `","from":9,"until":9}`:                              false,
		`{"by":"` + processA + `","from":0,"until":9,"condemn":true}`:               false,
		`{"by":"` + processA + `","from":0,"until":9}{"by":"` + processA + `"}`:     false,
		`{"by":"` + processA + `","from":0,"until":99999999999999999999}`:           false,
		`[]`:   false,
		`null`: false,
		``:     false,
	} {
		if mark, ok := readAttempt([]byte(value)); ok != want {
			t.Errorf("%s\nis taken: %v, as %+v; want %v", value, ok, mark, want)
		}
	}
}

func TestDeathsAreCountedFromTheMarksAndNotTakenFromOne(t *testing.T) {
	const (
		wide   = `{"by":"` + processA + `","from":10,"until":18}`
		alone  = `{"by":"` + processB + `","from":10,"until":11,"size":1,"end":18}`
		again  = `{"by":"` + processC + `","from":10,"until":11,"size":1,"end":18,"deaths":1}`
		forged = `{"by":"` + processB + `","from":10,"until":11,"size":1,"end":11,"deaths":1}`
	)
	for name, test := range map[string]struct {
		marks []string
		want  doubt
	}{
		"tried alone twice, as the marks tell": {[]string{wide, alone, again}, doubt{end: 18, size: 1, deaths: 2}},
		"once":                                 {[]string{wide, alone}, doubt{end: 18, size: 1, deaths: 1}},
		"a mark may stand there twice":         {[]string{wide, alone, alone, again, again}, doubt{end: 18, size: 1, deaths: 2}},
		"nothing before a mark is known":       {[]string{again}, doubt{end: 11, size: 1}},
		"made up after another's":              {[]string{wide, forged}, doubt{end: 11, size: 1}},
		"made up alone, and then again":        {[]string{forged, strings.ReplaceAll(forged, processB, processC)}, doubt{end: 11, size: 1, deaths: 1}}, // one trial: one is no proof
		"survived in between": {[]string{wide, alone, strings.Replace(alone, "}", `,"survived":true}`, 1), again},
			doubt{end: 18, size: 1, deaths: 1}},
		"garbage in between": {[]string{wide, alone, "garbage", again}, doubt{end: 18, size: 1, deaths: 2}},
	} {
		log := newAttemptLog("marks", attemptPrefix("g", "t"))
		for _, mark := range test.marks {
			log.see("g/t/3", []byte(mark))
		}
		got, doubted := log.marks[3].doubt("DDDDDDDDDDDDDDDDDDDDDDDDDD", 10)
		if !doubted || got != test.want {
			t.Errorf("%s: got %+v, in doubt %v: want %+v", name, got, doubted, test.want)
		}
	}
}

func TestMarksOfOthersAreNotKept(t *testing.T) {
	log := newAttemptLog("marks", attemptPrefix("g", "t"))
	for _, key := range []string{"h/t/3", "g/u/3", "g/t/", "g/t/-1", "g/t/03", "g/t/+3", "g/t/3/4", "g/t/99999999", "g/t/99999999999", "", "3"} {
		log.see(key, []byte(`{"by":"`+processA+`","from":0,"until":9}`))
	}
	if len(log.marks) != 0 {
		t.Errorf("got %v: want none", log.marks)
	}
}

func TestEveryGroupHasATopicOfMarksOfItsOwn(t *testing.T) {
	config := DefaultKafka()
	seen := map[string]string{}
	for _, group := range []string{"nearline-reviews", "a b", "a/b", "a_b", "größe", strings.Repeat("g", 300), strings.Repeat("g", 301)} {
		topic := config.AttemptsTopicOf(group)
		if other := seen[topic]; other != "" || len(topic) > pipeline.MaxTopicName || strings.Trim(topic, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
			t.Errorf("group %s has topic %s, which is %s's too, or no name of a topic", group, topic, other)
		}
		seen[topic] = group
	}
	if got := config.AttemptsTopicOf("nearline-reviews"); got != "nearline.attempts.nearline-reviews" {
		t.Errorf("got %s", got)
	}
	config.AttemptsTopic = "ours"
	if got := config.AttemptsTopicOf("nearline-reviews"); got != "ours" {
		t.Errorf("got %s, want the one topic that was named", got)
	}
}
