package decompress

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// DefaultBytes is what a client holds of what it fetches that has no bound of its own to keep: twice the largest batch that brokers and clients
// take (64 MiB), so that nothing is withheld of what a producer of ours wrote.
const DefaultBytes = 128 << 20

// NewClient makes a client whose fetches stay within d. Every client of ours is made here, or by NewSession: without a bound, a batch of a
// megabyte may take a gigabyte, and the client decompresses it before anybody sees a record. Records that were withheld are told by Record.
func (d *Bounded) NewClient(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(slices.Clip(options), kgo.WithDecompressor(d))...)
}

// NewSession is NewClient for a member of a group with transactions.
func (d *Bounded) NewSession(options ...kgo.Opt) (*kgo.GroupTransactSession, error) {
	return kgo.NewGroupTransactSession(append(slices.Clip(options), kgo.WithDecompressor(d))...)
}

// NewClient makes a client within DefaultBytes: for those that do not look for withheld records, or read nothing.
func NewClient(options ...kgo.Opt) (*kgo.Client, error) {
	return Within(DefaultBytes).NewClient(options...)
}
