package consumers

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// orphans are transactions that were open when their member died.
//
// The brokers end them by themselves, but only after the transaction timeout, and they look for those but every ten seconds.
// Until then the group does not say where it stands in the partitions of the dead (KIP-447), so that their heir cannot begin,
// and readers of the outputs that read committed wait. The heir therefore ends them: it asks for a producer of the dead one's
// transactional id, which aborts what that left open and fences it, should it only have been frozen (KIP-98).
//
// Whose member is dead is not guessed from the time: a member's client id is its transactional id, and a member that the group
// does not know cannot commit in it. To fence one that has just joined again would cost it the cycle in hand and nothing
// else.
type orphans struct {
	client *kgo.Client
	admin  *kadm.Client
	config Config
	logger *slog.Logger
}

// end them. Where the brokers do not allow it, or are older than Kafka 3.0, there is nothing but to wait for the timeout.
func (o orphans) end(ctx context.Context) {
	found, err := o.find(ctx)
	if err != nil {
		if ctx.Err() == nil {
			o.logger.Info("what dead members left open ends by its timeout", "timeout", o.config.Kafka.TransactionTimeout, "reason", err)
		}
		return
	}
	for _, id := range found {
		switch err := o.fence(ctx, id); {
		case ctx.Err() != nil:
			return
		case err != nil:
			o.logger.Info("a transaction of a dead member ends by its timeout", "transactional_id", id,
				"timeout", o.config.Kafka.TransactionTimeout, "reason", err)
		default:
			o.logger.Info("ended the transaction of a dead member", "transactional_id", id)
		}
	}
}

// find the ids of transactions that are open, and of the group, but of none of its members.
func (o orphans) find(ctx context.Context) ([]string, error) {
	// The transactions first: of a member that joins in between there is none among them.
	open, err := o.admin.ListTransactions(ctx, nil, []string{"Ongoing"})
	var some *kadm.ShardErrors
	if err != nil && (!errors.As(err, &some) || some.AllFailed) { // what the other coordinators say is good for itself
		return nil, err
	}
	var ids []string
	for id, t := range open {
		if t.State == "Ongoing" && strings.HasPrefix(id, o.config.Group+"/") && id != o.config.TransactionalID() {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	members, err := o.members(ctx)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, id := range ids {
		if !members[id] {
			found = append(found, id)
		}
	}
	return found, nil
}

// members of the group, by their client ids.
func (o orphans) members(ctx context.Context) (map[string]bool, error) {
	members := make(map[string]bool)
	if o.config.Kafka.GroupProtocol == ConsumerProtocol {
		described, err := o.admin.DescribeConsumerGroups(ctx, o.config.Group)
		for _, member := range described[o.config.Group].Members {
			members[member.ClientID] = true
		}
		return members, cmp.Or(err, described.Error())
	}
	described, err := o.admin.DescribeGroups(ctx, o.config.Group)
	for _, member := range described[o.config.Group].Members {
		members[member.ClientID] = true
	}
	return members, cmp.Or(err, described.Error())
}

// fence a transactional id. The answer that its transaction is still being ended is as good as any.
func (o orphans) fence(ctx context.Context, id string) error {
	request := kmsg.NewPtrInitProducerIDRequest()
	request.TransactionalID = &id
	request.TransactionTimeoutMillis = int32(o.config.Kafka.TransactionTimeout.Milliseconds()) //nolint:gosec // bounded by the config
	request.ProducerID, request.ProducerEpoch = -1, -1
	response, err := request.RequestWith(ctx, o.client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil && !errors.Is(err, kerr.ConcurrentTransactions) {
		return err
	}
	return nil
}
