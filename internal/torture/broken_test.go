package torture

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// e2e/broken.sh builds and tortures them, which takes minutes; that they no longer apply is to be known sooner.
func TestPatchesOfTheBrokenBuildsApply(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	patches, err := filepath.Glob(filepath.Join(root, "e2e/broken/*.patch"))
	if err != nil || len(patches) < 4 {
		t.Fatalf("found %v, %v: want the four of e2e/broken", patches, err)
	}
	for _, patch := range patches {
		c := exec.Command("git", "apply", "--check", "--unidiff-zero", patch)
		c.Dir = root
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", filepath.Base(patch), err, out)
		}
	}
}
