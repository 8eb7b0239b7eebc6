package consumers

import (
	"context"
	"crypto/sha256"
	"encoding/base32"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// As makes a process of another name of it: tests have many in one.
func (a *Attempts) As(by string) {
	sum := sha256.Sum256([]byte(by))
	a.by = base32.StdEncoding.EncodeToString(sum[:])[:len(a.by)]
}

// EndOrphans looks for transactions of dead members once, as a member does that is given partitions.
func EndOrphans(ctx context.Context, client *kgo.Client, config Config) {
	orphans{client: client, admin: kadm.NewClient(client), config: config, logger: config.Logger}.end(ctx)
}

// Places that are noted, by partition.
func (p *Progress) Places(ctx context.Context) (map[int32]int64, error) {
	if err := p.lock(ctx); err != nil {
		return nil, err
	}
	defer p.unlock()
	if err := p.catchUp(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	offsets := make(map[int32]int64)
	for partition, at := range p.places {
		offsets[partition] = at.Offset
	}
	return offsets, nil
}
