package deploy

import (
	"archive/tar"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go/wait"

	"nearline/e2e/cluster"
)

// largest that the image may be. It has 101 MB: models and runtime a little over 20 each, and the program 45, of which the clients of clouds are 18.
const largest = 110_000_000

// TestImage runs the image as README and compose file do, on one broker.
func TestImage(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{Brokers: 1})
	e := engine(t)
	t.Run("is small, and says what it is", func(t *testing.T) { saysWhatItIs(t, e) })
	t.Run("has neither a shell nor anything to write to", func(t *testing.T) { hasNoShell(t, e) })
	t.Run("makes its topics", func(t *testing.T) { makesItsTopics(t, c) })
	t.Run("scores in its cage, and drains", func(t *testing.T) { scoresAndDrains(t, c, e) })
	t.Run("says in words what it misses", func(t *testing.T) { saysWhatItMisses(t, c) })
}

func saysWhatItIs(t *testing.T, e *client.Client) {
	found, err := e.ImageInspect(t.Context(), imageName())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %.1f MB", imageName(), float64(found.Size)/1e6)
	if found.Size > largest {
		t.Errorf("it has %d bytes, want at most %d", found.Size, largest)
	}
	if found.Config.User != "65532:65532" {
		t.Errorf("it runs as %q, want 65532:65532: a number, and not root's", found.Config.User)
	}
	if found.Config.Healthcheck == nil || !slices.Contains(found.Config.Healthcheck.Test, "health") {
		t.Errorf("its health check is %+v, want nearline health", found.Config.Healthcheck)
	}
	if version := found.Config.Labels["org.opencontainers.image.version"]; version == "" || version == "dev" {
		t.Errorf("its version is %q, want the one that make built", version)
	}
}

func hasNoShell(t *testing.T, e *client.Client) {
	made, err := e.ContainerCreate(t.Context(), client.ContainerCreateOptions{Image: imageName()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := e.ContainerRemove(t.Context(), made.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
			t.Errorf("remove the container: %v", err)
		}
	}()
	export, err := e.ContainerExport(t.Context(), made.ID, client.ContainerExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer export.Close()
	var programs []string // but for the empty files that the engine adds as places to mount its own on
	for files := tar.NewReader(export); ; {
		file, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := "/" + strings.TrimPrefix(path.Clean(file.Name), "/")
		if file.Mode&0o6000 != 0 {
			t.Errorf("%s takes its owner's rights", name)
		}
		if file.Mode&0o002 != 0 && file.Typeflag != tar.TypeSymlink && name != "/tmp" && !strings.HasPrefix(name, "/dev") {
			t.Errorf("%s can be written by anybody", name)
		}
		if file.Typeflag == tar.TypeReg && file.Size > 0 && file.Mode&0o111 != 0 && !strings.Contains(path.Base(name), ".so") {
			programs = append(programs, name)
		}
	}
	if want := []string{"/nearline"}; !slices.Equal(programs, want) {
		t.Errorf("it has the programs %v, want %v alone", programs, want)
	}
}

func makesItsTopics(t *testing.T, c *cluster.Cluster) {
	p := run(t, c, wait.ForExit(), "topics", "--config", "/etc/nearline/nearline.yaml", "--create", "--wait", "1m")
	if status := p.ended(); status != 0 {
		t.Fatalf("topics ended with %d, want 0", status)
	}
	for _, topic := range []string{raw, scored, "reviews.raw.dlq", "nearline.attempts.nearline-reviews", "nearline.progress.nearline-reviews"} {
		if log := p.log(); !strings.Contains(log, "created "+topic) {
			t.Errorf("it says\n%s\nwant that it created %s", log, topic)
		}
	}
	check := run(t, c, wait.ForExit(), "check", "--config", "/etc/nearline/nearline.yaml")
	if status := check.ended(); status != 0 {
		t.Errorf("check ended with %d, want 0: nothing wrong", status)
	}
}

// scoresAndDrains asks one container to stop in the middle of its work, and has another one end it.
func scoresAndDrains(t *testing.T, c *cluster.Cluster, e *client.Client) {
	const reviews = 1500
	out := read(t, c.Direct())
	first := run(t, c, wait.ForHealthCheck())
	if status, said := first.does("/nearline", "health", "readyz"); status != 0 {
		t.Errorf("readyz: exit status %d (%s), want 0", status, said)
	}
	top, err := e.ContainerTop(t.Context(), first.GetContainerID(), client.ContainerTopOptions{Arguments: []string{"-eo", "pid,uid,args"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(top.Processes) != 1 || top.Processes[0][1] != "65532" {
		t.Errorf("its processes are %v, want one, of 65532", top.Processes)
	}

	send(t, c.Direct(), 0, reviews)
	out.until(t, 1)
	patience := time.Minute
	if err := first.Stop(t.Context(), &patience); err != nil {
		t.Fatal(err)
	}
	if status := first.ended(); status != 0 {
		t.Errorf("after SIGTERM it ended with %d, want 0", status)
	}
	if log := first.log(); !strings.Contains(log, `"msg":"nearline has stopped"`) {
		t.Errorf("its log has no last word:\n%s", log)
	}
	out.rest(t)
	if n := len(out.seen); n == reviews {
		t.Logf("all was scored before the signal: the test shows less than it should")
	} else {
		t.Logf("%d of %d reviews were scored when it had stopped", n, reviews)
	}

	second := run(t, c, wait.ForHealthCheck())
	out.until(t, reviews)
	out.rest(t)
	out.wantEach(t, reviews)
	if status, said := second.does("/nearline", "health", "streamz"); status != 0 {
		t.Errorf("streamz: exit status %d (%s), want 0", status, said)
	}
}

func saysWhatItMisses(t *testing.T, c *cluster.Cluster) {
	p := run(t, c, wait.ForExit(), "run", "--config", "/etc/nearline/other.yaml")
	if status := p.ended(); status != 1 {
		t.Errorf("without its configuration it ended with %d, want 1", status)
	}
	if log := p.log(); !strings.Contains(log, "read configuration: open /etc/nearline/other.yaml") {
		t.Errorf("it says %s, want which file is not there", log)
	}
}
