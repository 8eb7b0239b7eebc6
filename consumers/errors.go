package consumers

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
	"nearline/pipeline"
)

// permanent are the broker's answers that no retry changes: somebody must grant, create or mend something first.
var permanent = []error{
	kerr.TopicAuthorizationFailed,
	kerr.GroupAuthorizationFailed,
	kerr.ClusterAuthorizationFailed,
	kerr.TransactionalIDAuthorizationFailed,
	kerr.UnsupportedVersion,
	kerr.InvalidTopicException,
	kerr.UnknownTopicOrPartition,
	kerr.UnknownTopicID,
	kerr.InvalidTransactionTimeout,
	kerr.InvalidGroupID,
	kerr.InconsistentGroupProtocol,
	kerr.PolicyViolation,
}

// refusals are the broker's answers that blame a record for itself. The broker refuses the whole batch with it.
var refusals = []error{
	kerr.MessageTooLarge,
	kerr.RecordListTooLarge,
	kerr.InvalidRecord,
	kerr.InvalidTimestamp,
	kerr.UnsupportedForMessageFormat,
}

// isPermanent says that no retry changes an error. A login that may soon succeed is looked at first: it is a refused login in the broker's words.
func isPermanent(err error) bool {
	return !kafka.Passing(err) && (kafka.Refused(err) || isAny(err, permanent))
}

// Refused says that the broker blamed a record for itself, or another in its batch.
func Refused(err error) bool { return isAny(err, refusals) }

func isAny(err error, targets []error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// blame wraps a broker's error so that pipeline.Assign knows whether it will pass.
func blame(err error) error {
	switch {
	case err == nil:
		return nil
	case isPermanent(err):
		return fmt.Errorf("%w: %w", pipeline.ErrPermanent, explainDenial(err))
	case errors.Is(err, kgo.ErrClientClosed):
		return fmt.Errorf("the member's client was closed: %w", err)
	default:
		return err
	}
}

// errAborted says that a commit was asked for and did not take place, or may not have: see Member.Commit.
var errAborted = errors.New("the transaction was not committed")

// errExpelled says that others may have held what the member holds: see holding.vouch.
var errExpelled = errors.New("the group has given the member up, and taken it in again under another name")

// errUnheard says that outputs were not acknowledged in time: see Member.Publish.
var errUnheard = errors.New("the brokers did not acknowledge within the rebalance timeout")

// errUnmarked says that the topic of attempts did not answer in time: see Attempts.
var errUnmarked = errors.New("the brokers did not answer within the transaction timeout")

// errEndless says that the end of a cycle took longer than the transaction may last: see Member.inTime.
var errEndless = errors.New("the end of the cycle took longer than the transaction timeout")
