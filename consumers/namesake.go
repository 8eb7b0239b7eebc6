package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"nearline/pipeline"
)

// Watched is a member whose faults name their cause where it has a namesake: a living member of its group with the same transactional id, or the same
// instance id, which is what two replicas of one name have. Each fences the other at its start, and all that either hears of it is that its
// epoch is old. That has other causes, too: an heir ended the transaction of a member that had been frozen, or the brokers did for its timeout.
// So the group is asked.
type Watched struct {
	*Member
	// Told of each such fault; nil is nobody.
	Told func(error)
}

var _ pipeline.Source = Watched{}

// ErrNamesake says that a living member of the group has this one's name.
var ErrNamesake = errors.New("two replicas have one name")

// Poll as Member does.
func (w Watched) Poll(ctx context.Context, limits pipeline.Limits) ([]*pipeline.Record, error) {
	records, err := w.Member.Poll(ctx, limits)
	return records, w.explain(ctx, err)
}

// Publish as Member does.
func (w Watched) Publish(ctx context.Context, outputs []pipeline.Output) error {
	return w.explain(ctx, w.Member.Publish(ctx, outputs))
}

// Commit as Member does.
func (w Watched) Commit(ctx context.Context) error { return w.explain(ctx, w.Member.Commit(ctx)) }

// Abort as Member does.
func (w Watched) Abort(ctx context.Context) error { return w.explain(ctx, w.Member.Abort(ctx)) }

// fenced are the brokers' answers to who has a namesake, among others.
var fenced = []error{kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.FencedInstanceID, errAborted}

// namesakePatience is how long the group may take to say who its members are: they wait for it with what they had in hand.
const namesakePatience = 3 * time.Second

// explain an error that a namesake may be the cause of.
func (w Watched) explain(ctx context.Context, err error) error {
	if !isAny(err, fenced) || errors.Is(err, ErrNamesake) {
		return err
	}
	asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), namesakePatience)
	defer cancel()
	hosts, known := w.namesakes(asked)
	switch {
	case known != nil:
		w.config.Logger.Debug("whether another replica has this one's name is not known", "error", known)
		return err
	case len(hosts) == 0 && !errors.Is(err, kerr.FencedInstanceID):
		return err
	}
	w.config.Metrics.fencedByNamesake()
	at := ""
	if len(hosts) > 0 {
		at = ", at " + strings.Join(hosts, " and ")
	}
	named := fmt.Errorf("%w: another process%s has the member %s, too, and each ends the other's work; give each replica its own kafka.replica, or stop one",
		ErrNamesake, at, w.config.TransactionalID())
	if w.Told != nil {
		w.Told(named)
	}
	return fmt.Errorf("%w: %w: %w", pipeline.ErrPermanent, named, err)
}

// namesakes are the hosts of other members of the group that are called as this one is.
func (w Watched) namesakes(ctx context.Context) (hosts []string, err error) {
	own, _ := w.client.GroupMetadata()
	see := func(member, client, host string) {
		if client == w.config.TransactionalID() && member != own && own != "" {
			hosts = append(hosts, strings.TrimPrefix(host, "/"))
		}
	}
	admin, group := kadm.NewClient(w.client), w.config.Group
	if w.config.Kafka.GroupProtocol == ConsumerProtocol {
		described, err := admin.DescribeConsumerGroups(ctx, group)
		if err == nil {
			err = described.Error()
		}
		for _, m := range described[group].Members {
			// What was killed stays a member until its session ends, and never comes to the epoch that the group has had since this one joined.
			if m.MemberEpoch == described[group].Epoch {
				see(m.MemberID, m.ClientID, m.ClientHost)
			}
		}
		return hosts, err
	}
	described, err := admin.DescribeGroups(ctx, group)
	if err == nil {
		err = described.Error()
	}
	for _, m := range described[group].Members {
		see(m.MemberID, m.ClientID, m.ClientHost)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), err
}
