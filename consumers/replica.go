package consumers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
)

// Named gives a replica without a name one: its host's, unless another process on the host has it in one of the groups, and then the first of
// HOST-1, HOST-2 and so on that nobody has. Two members of one name would fence each other for ever. A process keeps its name for as long as it
// lives, however it ends, and one that is started again takes the place of one that is gone: what that left open is fenced at once, as with a
// name of its own.
//
// Other hosts are not asked: where two are called alike, members of one name meet in their group, and Watched tells.
func (c KafkaConfig) Named(groups []string, logger *slog.Logger) (named KafkaConfig, release func()) {
	if c.Replica != "" {
		return c, func() {}
	}
	host := c.replica()
	c.Replica = host
	for n := range maxReplicas {
		if n > 0 {
			c.Replica = fmt.Sprintf("%s-%d", host, n)
		}
		release, free, err := claimAll(c.Replica, groups)
		switch {
		case err != nil: // this system has no such names
			logger.Debug("whether another process has the replica's name is not known", "error", err)
			c.Replica = host
			return c, func() {}
		case !free:
			continue
		case n > 0:
			logger.Info("another process on this host has its name in these groups, so this replica has one of its own; kafka.replica chooses one",
				"replica", c.Replica, "taken", host)
		}
		return c, release
	}
	c.Replica = host
	return c, func() {}
}

// maxReplicas that one host runs. A guess, far above any.
const maxReplicas = 256

// claimAll has a name in all groups, or in none.
func claimAll(replica string, groups []string) (release func(), free bool, err error) {
	var claimed []*os.File
	release = func() {
		for _, file := range claimed {
			_ = file.Close()
		}
	}
	for _, group := range groups {
		sum := sha256.Sum256([]byte(group + "\x00" + replica))
		file, free, err := claim("nearline-replica-" + hex.EncodeToString(sum[:16]))
		if err != nil || !free {
			release()
			return nil, false, err
		}
		claimed = append(claimed, file)
	}
	return release, true, nil
}
