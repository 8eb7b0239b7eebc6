package folder

import (
	"slices"
	"strings"
	"testing"
)

func TestListDescribesEveryVersion(t *testing.T) {
	root := repository(t, map[string]string{"b": "single_label", "a": "failing"}, map[string]string{
		"a/10/nearline.yaml": "task: constant\ncolumns: {x: 1}\n",
		"a/9/nearline.yaml":  "task: guess\n",
		"notes/readme.txt":   "",
	})
	entries, err := List(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		names := []string{}
		for _, column := range e.Columns {
			names = append(names, column.Name)
		}
		got = append(got, strings.Join([]string{e.Name, string(rune('0' + e.Version%10)), e.Task, strings.Join(names, " ")}, "/"))
		if (e.Problem != "") != (e.Version == 9) {
			t.Errorf("%s version %d: got problem %q", e.Name, e.Version, e.Problem)
		}
	}
	want := []string{"a/1/classification/a", "a/9/guess/", "a/0/constant/x", "b/1/classification/b"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := List("nowhere"); err == nil || !strings.Contains(err.Error(), "there is no such folder") {
		t.Errorf("got %v, want an error that says that there is no such folder", err)
	}
}
