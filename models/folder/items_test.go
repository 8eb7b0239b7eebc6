package folder

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestItemsAreReadFromTheirFile(t *testing.T) {
	for content, want := range map[string]string{
		"":          "items.txt is empty",
		"a\nb\nc\n": "",
		// What Windows puts at the head of a text is no part of the first id, and a line's end none of the others.
		"\xef\xbb\xbfa\r\nb\r\nc\r\n": "",
		"a\n\nc\n":                    "items.txt:2: \"\" is empty, or there already",
		"a\nb\na\n":                   "items.txt:3: \"a\" is empty, or there already",
	} {
		root := repository(t, nil, map[string]string{"m/1/items.txt": content})
		s := &Items{Most: 2}
		err := s.read(filepath.Join(root, "m", "1"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", content, err, want)
		}
		if want == "" && s.index["a"] != 1 {
			t.Errorf("%q: got %v, want a to be the first", content, s.index)
		}
		if content == "a\nb\nc\n" && fmt.Sprint(s.Known([]string{"c", "x", "b", "a", "y"})) != "[2 1]" {
			t.Errorf("got %v, want the last two that are known, in their order", s.Known([]string{"c", "x", "b", "a", "y"}))
		}
	}
	if err := (&Items{}).read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "items.txt is missing") {
		t.Errorf("got %v, want that items.txt is missing", err)
	}
}
