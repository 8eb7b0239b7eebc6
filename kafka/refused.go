package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The client library decides by an error's type whether it tries again, and looks for that through everything an error wraps (kgo.IsRetryableBrokerErr).
// So both errors here wrap nothing: a *kerr.Error inside would end the producer's identity, an *os.SyscallError would pass for a failed dial, and what a
// token endpoint answers would be taken for something that a broker said.

// refusal says in words why brokers and this process do not come together, and what to do. No retry changes that.
type refusal struct {
	words string
	// login says that a broker has refused a login.
	login bool
}

func (e *refusal) Error() string { return e.words }

// Temporary is what the client library asks.
func (*refusal) Temporary() bool { return false }

// Timeout is false: what is no timeout is no network fault either.
func (*refusal) Timeout() bool { return false }

// Is the broker's own answer, for those that look for it.
func (e *refusal) Is(target error) bool { return e.login && target == kerr.SaslAuthenticationFailed }

// passing says the same of what may be over in a moment: credentials have just changed here or at the broker, or a token endpoint is away. The client
// takes it for a fault of the network, and tries again without giving anything up.
type passing struct{ refusal }

// Temporary is what the client library asks.
func (*passing) Temporary() bool { return true }

// unanswered says what a port may want that says nothing. The client gives its request up, as it does by itself; whoever asked may try again, since a
// proxy whose broker is not there yet does the same.
type unanswered struct{ refusal }

// Refused says that credentials, certificates or their settings were refused, here or by a broker, so that somebody must mend something first. What
// is just being changed is not refused yet.
func Refused(err error) bool {
	if Passing(err) {
		return false
	}
	if _, ok := errors.AsType[*refusal](err); ok {
		return true
	}
	return errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism) || errors.Is(err, kerr.IllegalSaslState)
}

// Passing says that a login did not succeed, and may soon: see Refused.
func Passing(err error) bool {
	_, ok := errors.AsType[*passing](err)
	return ok
}
