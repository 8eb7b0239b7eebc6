package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
)

// ErrNoEngine is that of a machine on which no containers run.
var ErrNoEngine = errors.New("no container engine answers")

// dial reaches the container engine.
func dial(ctx context.Context) (*client.Client, error) {
	withoutReaper(ctx)
	tclog.SetDefault(quiet{})
	engine, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := engine.Client.Ping(ctx, client.PingOptions{}); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNoEngine, err), engine.Close())
	}
	return engine.Client, nil
}

// quiet drops what testcontainers tells of every step.
type quiet struct{}

// Printf does nothing.
func (quiet) Printf(string, ...any) {}

// withoutReaper switches off testcontainers' reaper where its image is neither here nor to be had, before testcontainers
// reads its settings. What a killed test leaves behind then stays.
var withoutReaper = func() func(context.Context) {
	var once sync.Once
	return func(ctx context.Context) {
		once.Do(func() {
			if os.Getenv(reaperVariable) != "" {
				return
			}
			engine, err := client.New(client.FromEnv)
			if err != nil {
				return
			}
			defer engine.Close()
			if present(ctx, engine, reaperImage) || pull(ctx, engine, reaperImage) == nil {
				return
			}
			_ = os.Setenv(reaperVariable, "true")
		})
	}
}()

const (
	reaperVariable = "TESTCONTAINERS_RYUK_DISABLED"
	reaperImage    = "testcontainers/ryuk:0.14.0" // of the pinned testcontainers
)

// image is what the tests run: what NEARLINE_E2E_KAFKA names; else the official image; where that is not to be had, the
// stand-in that `make e2e-images` builds.
func image(ctx context.Context, engine *client.Client, version string) (string, error) {
	if named := os.Getenv("NEARLINE_E2E_KAFKA"); named != "" && version == Newest {
		return named, nil
	}
	name, err := either(ctx, engine, "apache/kafka:"+version, "nearline-e2e/kafka:"+version)
	if err != nil {
		return "", fmt.Errorf("there is no Kafka %s to run: %w", version, err)
	}
	return name, nil
}

func present(ctx context.Context, engine *client.Client, name string) bool {
	_, err := engine.ImageInspect(ctx, name)
	return err == nil
}

// patience with a registry to say its first word, before it counts as out of reach.
const registryPatience = 20 * time.Second

// pull fetches an image, and fails soon where no registry is reached.
func pull(ctx context.Context, engine *client.Client, name string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(registryPatience, func() {
		cancel(fmt.Errorf("the registry did not answer within %v", registryPatience))
	})
	defer silent.Stop()
	pulling, err := engine.ImagePull(ctx, name, client.ImagePullOptions{})
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	defer pulling.Close()
	for message, err := range pulling.JSONMessages(ctx) {
		silent.Stop()
		switch {
		case err != nil:
			return err
		case message.Error != nil:
			return message.Error
		}
	}
	return nil
}

// given are the ports that freePort has answered with: whoever asked may not listen yet.
var given sync.Map

// freePort of this machine, below the ports that outgoing connections take: a broker that is down must find its own again.
func freePort(ctx context.Context) (int, error) {
	var last error
	for range 100 {
		port := 20000 + rand.IntN(10000) //nolint:gosec // a port, not a secret
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", host(port))
		if err != nil {
			last = err
			continue
		}
		if _, taken := given.LoadOrStore(port, true); taken {
			_ = l.Close()
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("find a free port: %w", last)
}
