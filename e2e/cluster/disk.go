package cluster

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// diskPath is where a broker has its disk.
const diskPath = "/disk"

// disks makes a disk of bounded size for each broker: a volume in memory. Such a volume lives as long as a container has it
// mounted, and it must outlive a broker that is killed, so a container that does nothing else keeps all of them. The same
// one fills them: a dead broker cannot.
func (c *Cluster) disks(ctx context.Context) error {
	var mounts []mount.Mount
	for node := 1; node <= c.options.Brokers; node++ {
		name := c.network.Name + "-" + alias(node)
		_, err := c.engine.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name, Driver: "local", Labels: testcontainers.GenericLabels(),
			DriverOpts: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": fmt.Sprintf("size=%dm,mode=1777", c.options.DiskMiB)}})
		if err != nil {
			return fmt.Errorf("make a disk for broker %d: %w", node, err)
		}
		c.volumes = append(c.volumes, name)
		mounts = append(mounts, mount.Mount{Type: mount.TypeVolume, Source: name, Target: diskPath + "/" + strconv.Itoa(node)})
	}
	keeper, err := testcontainers.Run(ctx, c.Image, testcontainers.WithEntrypoint("sleep"), testcontainers.WithCmd("1000000"),
		testcontainers.WithHostConfigModifier(func(config *container.HostConfig) { config.Mounts = append(config.Mounts, mounts...) }))
	if keeper != nil {
		c.others, c.keeper = append(c.others, keeper), keeper
	}
	if err != nil {
		return fmt.Errorf("start the keeper of the disks: %w", err)
	}
	return nil
}

// FillDisk leaves nothing of a broker's disk. A broker that cannot write to its only disk ends itself.
func (c *Cluster) FillDisk(ctx context.Context, node int) error {
	path := ballast(node)
	out, err := c.keep(ctx, "dd", "if=/dev/zero", "of="+path, "bs=64k")
	if err != nil {
		return fmt.Errorf("fill the disk of broker %d: %w", node, err)
	}
	// dd fails when nothing is left, and that is what it is for.
	if out.code == 0 {
		return fmt.Errorf("fill the disk of broker %d: dd ended before it was full: %s", node, out.text)
	}
	return nil
}

// EmptyDisk gives back what FillDisk took. It does not start the broker again.
func (c *Cluster) EmptyDisk(ctx context.Context, node int) error {
	out, err := c.keep(ctx, "rm", "-f", ballast(node))
	if err == nil && out.code != 0 {
		err = fmt.Errorf("rm: %s", out.text)
	}
	if err != nil {
		return fmt.Errorf("empty the disk of broker %d: %w", node, err)
	}
	return nil
}

// ballast is the file that fills a disk.
func ballast(node int) string { return fmt.Sprintf("%s/%d/ballast", diskPath, node) }

// output of a command.
type output struct {
	code int
	text []byte
}

// keep runs a command in the keeper of the disks.
func (c *Cluster) keep(ctx context.Context, command ...string) (output, error) {
	code, reader, err := c.keeper.Exec(ctx, command)
	if err != nil {
		return output{}, err
	}
	text, err := io.ReadAll(reader)
	return output{code, text}, err
}
