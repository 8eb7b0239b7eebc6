package consumers

import "testing"

func TestMarkSaysWhatIsInDoubt(t *testing.T) {
	const me, other = "me", "other"
	for _, test := range []struct {
		name string
		mark attempt
		want doubt
		none bool
	}{
		{"an ordinary cycle of this process", attempt{By: me, From: 10, Until: 500}, doubt{}, true},
		{"a large ordinary cycle of another", attempt{By: other, From: 10, Until: 500}, doubt{end: 500, size: 64}, false},
		{"a small one", attempt{By: other, From: 10, Until: 74}, doubt{end: 74, size: 8}, false},
		{"the smallest", attempt{By: other, From: 10, Until: 18}, doubt{end: 18, size: 1}, false},
		{"a lone record in an ordinary cycle proves nothing", attempt{By: other, From: 10, Until: 11}, doubt{end: 11, size: 1}, false},
		{"a part of a range", attempt{By: other, From: 10, Until: 74, Size: 64, End: 500}, doubt{end: 74, size: 8}, false},
		{"a part of a part", attempt{By: other, From: 10, Until: 18, Size: 8, End: 74}, doubt{end: 18, size: 1}, false},
		{"a part that this process had", attempt{By: me, From: 10, Until: 74, Size: 64, End: 500}, doubt{end: 500, size: 64}, false},
		{"a part that was survived", attempt{By: other, From: 10, Until: 74, Size: 64, End: 500, Survived: true}, doubt{end: 500, size: 64}, false},
		{"a record alone", attempt{By: other, From: 10, Until: 11, Size: 1, End: 74}, doubt{end: 74, size: 1, deaths: 1}, false},
		{"a record alone, again", attempt{By: other, From: 10, Until: 11, Size: 1, End: 74, Deaths: 1}, doubt{end: 74, size: 1, deaths: 2}, false},
		{"a record alone in this process", attempt{By: me, From: 10, Until: 11, Size: 1, End: 74, Deaths: 1}, doubt{end: 74, size: 1, deaths: 1}, false},
		{"a record alone that was survived", attempt{By: other, From: 10, Until: 11, Size: 1, End: 74, Deaths: 1, Survived: true}, doubt{end: 74, size: 1}, false},
	} {
		got, doubted := test.mark.doubt(me)
		if got != test.want || doubted == test.none {
			t.Errorf("%s: got %+v, in doubt %v: want %+v, %v", test.name, got, doubted, test.want, !test.none)
		}
	}
}
