package folder

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHighestVersionRunsUnlessOneIsPinned(t *testing.T) {
	root := repository(t, nil, map[string]string{
		"m/2/nearline.yaml": "", "m/10/nearline.yaml": "", "m/9/nearline.yaml": "", "m/011/x": "", "m/0/x": "", "m/draft/x": "", "m/12": "a file",
	})
	versions, err := Versions(root, "m")
	if err != nil || !slices.Equal(versions, []int{2, 9, 10}) {
		t.Fatalf("got %v, %v, want [2 9 10]", versions, err)
	}
	folder, version, err := Locate(root, nil, "m")
	if err != nil || version != 10 || folder != filepath.Join(root, "m", "10") {
		t.Errorf("got %s version %d, %v, want m/10", folder, version, err)
	}
	pins := map[string]int{"m": 9}
	if _, version, err := Locate(root, pins, "m"); err != nil || version != 9 {
		t.Errorf("pinned: got version %d, %v, want 9", version, err)
	}
	pins["m"] = 3
	if _, _, err := Locate(root, pins, "m"); err == nil || !strings.Contains(err.Error(), "models.versions.m is 3") {
		t.Errorf("pinned to what is not there: got %v, want the key named", err)
	}
}

func TestMissingModelsAreNamedWithWhatThereIs(t *testing.T) {
	root := repository(t, nil, map[string]string{"sentiment/1/nearline.yaml": "", "empty/readme": ""})
	for name, want := range map[string]string{
		"sentimant": "want one of empty, sentiment",
		"empty":     "has no version",
		"../x":      "want the name of a folder",
		"":          "want the name of a folder",
	} {
		if _, err := Versions(root, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want it to say %q", name, err, want)
		}
	}
}
