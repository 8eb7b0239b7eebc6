package acls

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/kafka"
)

// Answer is what the brokers say of rights.
type Answer struct {
	// Missing are the rights that whoever asks does not have.
	Missing []Right
	// Unseen are the names of topics that are missing, or that whoever asks may not see: brokers do not tell one from the other.
	Unseen map[string]bool
	// Untold are rights that the brokers say nothing about. Brokers that are not Apache's may do so.
	Untold []Right
	// ZooKeeper says that the brokers keep ACLs there: see ForZooKeeper.
	ZooKeeper bool
}

// scratch ends the name of what is asked about where rights are of all names with a prefix. Nothing of the service has that name.
const scratch = "nearline-check"

// Ask the brokers which of the rights whoever the connection authenticates as has. It changes nothing: topics tell what is allowed; a group answers a
// heartbeat of a member that does not exist, and a transactional id, which nobody has, the end of a transaction that never began. Both look at the right
// first.
func Ask(ctx context.Context, connection kafka.Connection, rights []Right) (Answer, error) {
	client, err := connection.As("nearline-check").Client(kgo.RequestRetries(2), kgo.RetryTimeout(5*time.Second))
	if err != nil {
		return Answer{}, err
	}
	defer client.Close()
	a := asking{client: client, rights: rights, answer: Answer{Unseen: make(map[string]bool)}}
	if err = a.topics(ctx); err == nil {
		err = a.keeper(ctx)
	}
	for _, r := range rights {
		if err == nil && r.Resource.Kind != Topic {
			err = a.other(ctx, r)
		}
	}
	return a.answer, err
}

type asking struct {
	client *kgo.Client
	rights []Right
	answer Answer
}

// untold is what brokers answer that do not tell which operations are allowed.
const untold = -1 << 31

// codes of operations in what brokers say is allowed: the bit with that number.
var codes = map[Operation]kmsg.ACLOperation{
	Read: kmsg.ACLOperationRead, Write: kmsg.ACLOperationWrite, Create: kmsg.ACLOperationCreate, Delete: kmsg.ACLOperationDelete,
	Describe: kmsg.ACLOperationDescribe, DescribeConfigs: kmsg.ACLOperationDescribeConfigs, AlterConfigs: kmsg.ACLOperationAlterConfigs,
}

// among says whether the operations that brokers allow have this one.
func (o Operation) among(allowed int32) bool { return allowed&(1<<codes[o]) != 0 }

// topics asks about all of them at once.
func (a *asking) topics(ctx context.Context) error {
	request := kmsg.NewPtrMetadataRequest()
	request.IncludeTopicAuthorizedOperations = true
	request.Topics = []kmsg.MetadataRequestTopic{} // none; nil would be all
	asked := make(map[string]bool)
	for _, r := range a.rights {
		if name := r.Resource.named(); r.Resource.Kind == Topic && !asked[name] {
			asked[name] = true
			one := kmsg.NewMetadataRequestTopic()
			one.Topic = &name
			request.Topics = append(request.Topics, one)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	response, err := request.RequestWith(ctx, a.client)
	if err != nil {
		return fmt.Errorf("ask what is allowed of topics: %w", err)
	}
	found := make(map[string]kmsg.MetadataResponseTopic, len(response.Topics))
	for _, t := range response.Topics {
		if t.Topic != nil {
			found[*t.Topic] = t
		}
	}
	for _, r := range a.rights {
		if r.Resource.Kind != Topic {
			continue
		}
		if err := a.topic(ctx, r, found); err != nil {
			return err
		}
	}
	return nil
}

func (a *asking) topic(ctx context.Context, r Right, found map[string]kmsg.MetadataResponseTopic) error {
	t, answered := found[r.Resource.named()]
	unknown := t.ErrorCode == kerr.UnknownTopicOrPartition.Code
	switch {
	case t.ErrorCode == kerr.TopicAuthorizationFailed.Code:
		a.answer.Unseen[r.Resource.Name] = !r.Resource.Prefixed
		if r.Operation != Create {
			a.missing(r)
			return nil
		}
		return a.create(ctx, r)
	case r.Operation == Create && !unknown && !r.Resource.Prefixed: // it is there
	case !answered, t.AuthorizedOperations == untold:
		a.answer.Untold = append(a.answer.Untold, r)
	case r.Operation.among(t.AuthorizedOperations):
	case r.Operation == Create:
		return a.create(ctx, r)
	default:
		a.missing(r)
	}
	return nil
}

// create asks whether topics may be made wherever: what the brokers say of a topic leaves that out.
func (a *asking) create(ctx context.Context, r Right) error {
	request := kmsg.NewPtrDescribeClusterRequest()
	request.IncludeClusterAuthorizedOperations = true
	response, err := request.RequestWith(ctx, a.client)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// Brokers before Kafka 2.8 do not know the question.
	if err != nil || response.ClusterAuthorizedOperations == untold || !r.Operation.among(response.ClusterAuthorizedOperations) {
		a.missing(r)
	}
	return nil
}

func (a *asking) missing(r Right) { a.answer.Missing = append(a.answer.Missing, r) }

// named is the name to ask about.
func (r Resource) named() string {
	if r.Prefixed {
		return r.Name + scratch
	}
	return r.Name
}

// other asks about a right that is not of a topic.
func (a *asking) other(ctx context.Context, r Right) error {
	var err error
	switch {
	case r.Resource.Kind == Group && r.Operation == Read:
		err = a.beat(ctx, r.Resource.named())
	case r.Resource.Kind == TransactionalID && r.Operation == Write:
		err = a.end(ctx, r.Resource.named())
	case r.Operation == IdempotentWrite && a.mayWrite():
		err = a.produce(ctx)
	case r.Operation == IdempotentWrite: // whoever may write to no topic is denied it everywhere
	default:
		a.answer.Untold = append(a.answer.Untold, r)
	}
	switch {
	case err == nil:
		return nil
	case isDenied(err):
		a.missing(r)
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return fmt.Errorf("ask what is allowed of %s: %w", r.Resource, err)
	}
}

var denials = []error{kerr.GroupAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed}

func isDenied(err error) bool {
	for _, denial := range denials {
		if errors.Is(err, denial) {
			return true
		}
	}
	return false
}

// keeper asks where ACLs are kept: only brokers with ZooKeeper have others tell them who leads.
func (a *asking) keeper(ctx context.Context) error {
	request := kmsg.NewPtrApiVersionsRequest()
	response, err := request.RequestWith(ctx, a.client)
	if err != nil {
		return fmt.Errorf("ask what the brokers answer: %w", err)
	}
	a.answer.ZooKeeper = slices.ContainsFunc(response.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool { return kmsg.Key(k.ApiKey) == kmsg.LeaderAndISR })
	return nil
}

// denial is the answer's error where that is a denial. Any other answer, such as that there is no such member, comes only to who may ask.
func denial(code int16) error {
	if err := kerr.ErrorForCode(code); isDenied(err) {
		return err
	}
	return nil
}

// beat as a member that does not exist. Every group answers it, also one of KIP-848 and one that does not exist.
func (a *asking) beat(ctx context.Context, group string) error {
	request := kmsg.NewPtrHeartbeatRequest()
	request.Group, request.Generation, request.MemberID = group, -1, scratch
	response, err := request.RequestWith(ctx, a.client)
	if err != nil {
		return err
	}
	return denial(response.ErrorCode)
}

// end a transaction of a producer that does not exist.
func (a *asking) end(ctx context.Context, id string) error {
	request := kmsg.NewPtrEndTxnRequest()
	request.TransactionalID, request.ProducerID, request.ProducerEpoch = id, -1, -1
	response, err := request.RequestWith(ctx, a.client)
	if err != nil {
		return err
	}
	return denial(response.ErrorCode)
}

// mayWrite says that there is a topic that may be written to. Topics are asked about first.
func (a *asking) mayWrite() bool {
	writes := func(r Right) bool { return r.Resource.Kind == Topic && r.Operation == Write }
	for _, r := range a.rights {
		denied := slices.ContainsFunc(a.answer.Missing, func(m Right) bool { return m.Resource == r.Resource && writes(m) })
		if writes(r) && !denied {
			return true
		}
	}
	return false
}

// produce asks for the id of a producer without transactions. It costs a number.
func (a *asking) produce(ctx context.Context) error {
	request := kmsg.NewPtrInitProducerIDRequest()
	request.ProducerID, request.ProducerEpoch = -1, -1
	response, err := request.RequestWith(ctx, a.client)
	if err != nil {
		return err
	}
	return denial(response.ErrorCode)
}
