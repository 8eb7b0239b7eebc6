package deploy

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/wait"

	"nearline/e2e/cluster"
)

// imageName of the service, as `make image` names it.
func imageName() string {
	if name := os.Getenv("NEARLINE_IMAGE"); name != "" {
		return name
	}
	return "nearline:latest"
}

// engine is a client of the container engine, for what testcontainers has no words for.
func engine(t *testing.T) *client.Client {
	t.Helper()
	e, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	if _, err := e.ImageInspect(t.Context(), imageName()); err != nil {
		t.Fatalf("the image %s is not built: run `make image` (%v)", imageName(), err)
	}
	return e
}

// caged is a container of the service with nothing that it does not need: no capabilities, no way to gain any, and a root file
// system that it cannot write to.
type caged struct {
	*testcontainers.DockerContainer
	t *testing.T
}

// run a command of the image in the cluster's network; without one it is the service.
func run(t *testing.T, c *cluster.Cluster, ready wait.Strategy, command ...string) *caged {
	t.Helper()
	options := []testcontainers.ContainerCustomizer{
		testcontainers.WithEnv(map[string]string{"NEARLINE_BROKERS": c.Internal()[0]}),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
			host.NetworkMode = container.NetworkMode(c.Network())
			host.ReadonlyRootfs = true
			host.CapDrop = []string{"ALL"}
			host.SecurityOpt = []string{"no-new-privileges"}
		}),
		testcontainers.WithWaitStrategyAndDeadline(2*time.Minute, ready),
	}
	if len(command) > 0 {
		options = append(options, testcontainers.WithCmd(command...))
	}
	made, err := testcontainers.Run(t.Context(), imageName(), options...)
	p := &caged{made, t}
	if made != nil {
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the container's log:\n%s", p.log())
			}
			if err := made.Terminate(context.Background(), testcontainers.StopTimeout(0)); err != nil {
				t.Errorf("remove a container: %v", err)
			}
		})
	}
	if err != nil {
		t.Fatalf("run %s %s: %v", imageName(), strings.Join(command, " "), err)
	}
	return p
}

// ended waits until a container ends, and returns its exit status.
func (p *caged) ended() int {
	p.t.Helper()
	state, err := p.State(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	if state.Running {
		p.t.Fatal("the container runs, want it to have ended")
	}
	return state.ExitCode
}

// log of the container, both of its outputs.
func (p *caged) log() string {
	reader, err := p.Logs(context.Background())
	if err != nil {
		return err.Error()
	}
	defer reader.Close()
	text, err := io.ReadAll(reader)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// does runs a program in the container, and returns its exit status and all that it says.
func (p *caged) does(command ...string) (int, string) {
	p.t.Helper()
	status, reader, err := p.Exec(p.t.Context(), command, tcexec.Multiplexed())
	if err != nil {
		p.t.Fatalf("exec %v: %v", command, err)
	}
	var said bytes.Buffer
	if _, err := said.ReadFrom(reader); err != nil {
		p.t.Fatal(err)
	}
	return status, said.String()
}
