package stories

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// previous is the commit of the release before this one.
const previous = "2004443"

// TestPreviousReleaseIsReplaced has the previous release at work, kills one of its replicas in the middle, and puts this one in the
// place of each: same group, same names, same topics.
func TestPreviousReleaseIsReplaced(t *testing.T) {
	old := previousRelease(t)
	s := begin(t, "previous")
	s.topics(6)
	a := s.replica("a", old)
	b := s.replica("b", old)
	s.expectShared(6, "nearline") // all its members call themselves that
	load := s.load(300)
	s.await("both at work", func(context.Context) error {
		for _, r := range []*replica{a, b} {
			if n := r.metric("nearline_pipeline_records_total"); n < 300 {
				return fmt.Errorf("%s has scored %v events", r.name, n)
			}
		}
		return nil
	})

	a.kill() // in the middle of its cycles: what it left open is for its successor to end
	a.start()
	s.expectShared(6, "a", "nearline")
	s.awaitEffects(s.ledger.effects() + 500)

	b.restart()
	s.expectShared(6, "a", "b")
	s.awaitEffects(s.ledger.effects() + 500)
	load.stop()
	s.expectScored()
}

// previousRelease is its binary, built from the history of this checkout.
func previousRelease(t *testing.T) setting {
	t.Helper()
	folder := filepath.Join(cache, "previous-"+previous)
	binary := filepath.Join(folder, "bin", "nearline")
	if _, err := os.Stat(binary); err != nil {
		if err := exec.CommandContext(t.Context(), "git", "-C", root, "cat-file", "-e", previous+"^{commit}").Run(); err != nil {
			notRun(t, fmt.Errorf("the previous release, commit %s, is not in the history of this checkout: git fetch --unshallow", previous))
		}
		build := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c",
			`mkdir -p "$2" && git -C "$1" archive "$3" | tar -x -C "$2" && cd "$2" && go build -trimpath -o bin/nearline ./cmd/nearline`,
			"build", root, folder, previous)
		var said bytes.Buffer
		build.Stdout, build.Stderr = &said, &said
		if err := build.Run(); err != nil {
			t.Fatalf("build the previous release: %v\n%s", err, said.Bytes())
		}
	}
	return func(s *settings) { s.program = binary }
}
