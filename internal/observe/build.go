package observe

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -ldflags "-X nearline/internal/observe.version=v1.2.3".
var version string

// Build says which program this is.
type Build struct {
	// Version is what make built, or the module's version for `go install`, or "dev".
	Version string `json:"version"`
	// Revision is the commit, with "+dirty" when the tree had changes; "" when the build did not record it.
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// ReadBuild reads what the linker and the toolchain left in the program.
func ReadBuild() Build {
	info, _ := debug.ReadBuildInfo()
	return readBuild(version, info)
}

func readBuild(version string, info *debug.BuildInfo) Build {
	b := Build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	var dirty bool
	if info != nil {
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value
			case "vcs.modified":
				dirty = s.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = "dev"
	}
	if b.Revision != "" && dirty {
		b.Revision += "+dirty"
	}
	return b
}

func (b Build) String() string {
	s := fmt.Sprintf("nearline %s (%s, %s)", b.Version, b.Go, b.Platform)
	if b.Revision != "" {
		s += " " + b.Revision
	}
	return s
}
