package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/moby/moby/client"
)

// Kill ends a broker as kill -9 does. Its disk stays.
func (c *Cluster) Kill(ctx context.Context, node int) error {
	b, err := c.broker(node)
	if err != nil {
		return err
	}
	if err := c.Refuse(node); err != nil { // a dead broker does not accept connections only to close them, as its proxy would
		return err
	}
	if _, err := c.engine.ContainerKill(ctx, b.container.GetContainerID(), client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
		return fmt.Errorf("kill broker %d: %w", node, err)
	}
	return await(ctx, time.Minute, fmt.Sprintf("broker %d to be dead", node), func(ctx context.Context) error {
		running, err := c.Running(ctx, node)
		if err == nil && running {
			err = errRunning
		}
		return err
	})
}

// Stop has a broker end in order, as a rollout of brokers does: it gives its partitions away first.
func (c *Cluster) Stop(ctx context.Context, node int) error {
	b, err := c.broker(node)
	if err != nil {
		return err
	}
	patience := 120 // seconds
	if _, err := c.engine.ContainerStop(ctx, b.container.GetContainerID(), client.ContainerStopOptions{Timeout: &patience}); err != nil {
		return fmt.Errorf("stop broker %d: %w", node, err)
	}
	return c.Refuse(node)
}

// Restart starts a broker that was killed or stopped, or that ended by itself, and waits until it is a member of the cluster. One that
// runs is left alone.
func (c *Cluster) Restart(ctx context.Context, node int) error {
	b, err := c.broker(node)
	if err != nil {
		return err
	}
	if _, err := c.engine.ContainerStart(ctx, b.container.GetContainerID(), client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("start broker %d: %w", node, err)
	}
	if err := c.AwaitBroker(ctx, node); err != nil {
		return err
	}
	return c.proxies.start(node)
}

// Pause freezes a broker: its connections stay, and nothing answers.
func (c *Cluster) Pause(ctx context.Context, node int) error {
	b, err := c.broker(node)
	if err != nil {
		return err
	}
	_, err = c.engine.ContainerPause(ctx, b.container.GetContainerID(), client.ContainerPauseOptions{})
	return err
}

// Unpause lets a frozen broker go on.
func (c *Cluster) Unpause(ctx context.Context, node int) error {
	b, err := c.broker(node)
	if err != nil {
		return err
	}
	_, err = c.engine.ContainerUnpause(ctx, b.container.GetContainerID(), client.ContainerUnpauseOptions{})
	return err
}

// Running says whether a broker's process lives, frozen or not.
func (c *Cluster) Running(ctx context.Context, node int) (bool, error) {
	b, err := c.broker(node)
	if err != nil {
		return false, err
	}
	found, err := c.engine.ContainerInspect(ctx, b.container.GetContainerID(), client.ContainerInspectOptions{})
	if err != nil {
		return false, fmt.Errorf("look at broker %d: %w", node, err)
	}
	return found.Container.State.Running, nil
}

// Logs of a broker, all of its lives.
func (c *Cluster) Logs(ctx context.Context, node int) ([]byte, error) {
	b, err := c.broker(node)
	if err != nil {
		return nil, err
	}
	logs, err := b.container.Logs(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the log of broker %d: %w", node, err)
	}
	defer logs.Close()
	return io.ReadAll(logs)
}

// KeepLogs writes the brokers' logs into a folder.
func (c *Cluster) KeepLogs(ctx context.Context, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, b := range c.brokers {
		logs, err := c.Logs(ctx, b.node)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, "broker-"+strconv.Itoa(b.node)+".log"), logs, 0o644); err != nil {
			return err
		}
	}
	return nil
}
