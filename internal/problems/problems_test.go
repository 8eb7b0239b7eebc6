package problems

import (
	"errors"
	"fmt"
	"testing"
)

func TestProblemsKeepTheirPathsThroughJoins(t *testing.T) {
	var inner, outer List
	inner.Add("a.key with a space", "is %q: want %s", "x", "y")
	inner.Add("a.map.b", ": there is no such path")
	outer.Join(inner.Err())
	outer.Join(nil)
	outer.Join(errors.New("something else"))
	want := "a.key with a space is \"x\": want y\na.map.b: there is no such path\nsomething else"
	if err := outer.Err(); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	var paths []string
	for _, p := range From(outer.Err()) {
		paths = append(paths, p.Path)
	}
	if got, want := fmt.Sprintf("%q", paths), `["a.key with a space" "a.map.b" ""]`; got != want {
		t.Errorf("got paths %s, want %s", got, want)
	}
	if err := new(List).Err(); err != nil || From(err) != nil {
		t.Errorf("got %v of an empty list, want nil", err)
	}
}
