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

// Mark an attempt at a record of a group's input.
func (a *Attempts) Mark(ctx context.Context, group, topic string, partition int32, from int64) error {
	return a.mark(ctx, group, topic, map[int32]attempt{partition: {From: from, Until: from + 1}})
}

// Marked is the first record of the last mark of a partition.
func (a *Attempts) Marked(ctx context.Context, group, topic string, partition int32) (from int64, marked bool, err error) {
	marks, err := a.last(ctx, group, topic, []int32{partition})
	mark, marked := marks[partition]
	return mark.From, marked, err
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

// Stable says whether the group says where it stands in what the member holds.
func (m *Member) Stable(ctx context.Context) bool {
	_, stable := m.compare(ctx)
	return stable
}
