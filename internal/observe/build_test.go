package observe

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestBuildPrefersTheLinkersVersion(t *testing.T) {
	info := func(main string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: main}, Settings: settings}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "abc123"}
	dirty := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for _, c := range []struct {
		name              string
		linked            string
		info              *debug.BuildInfo
		version, revision string
	}{
		{"linked", "v1.2.3", info("v1.0.0"), "v1.2.3", ""},
		{"go install", "", info("v1.0.0"), "v1.0.0", ""},
		{"go build", "", info("(devel)", revision), "dev", "abc123"},
		{"go build with changes", "", info("(devel)", revision, dirty), "dev", "abc123+dirty"},
		{"no information", "", nil, "dev", ""},
	} {
		if got := readBuild(c.linked, c.info); got.Version != c.version || got.Revision != c.revision {
			t.Errorf("%s: got %q %q, want %q %q", c.name, got.Version, got.Revision, c.version, c.revision)
		}
	}
	if got := ReadBuild().String(); !strings.HasPrefix(got, "nearline ") || !strings.Contains(got, "go1.") {
		t.Errorf("got %q, want the program's name and the Go version", got)
	}
}
