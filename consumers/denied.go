package consumers

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// denials are the broker's answers to who asks for what no ACL allows. They name neither who asks nor the operation; what it was of, and
// what it was for, whoever asked says.
var denials = []error{
	kerr.TopicAuthorizationFailed,
	kerr.GroupAuthorizationFailed,
	kerr.ClusterAuthorizationFailed,
	kerr.TransactionalIDAuthorizationFailed,
}

// deniedError is a denial that says what to do.
type deniedError struct{ error }

func (e deniedError) Error() string {
	return e.error.Error() + " (the brokers do not allow it: nearline check --config FILE says which right is missing, and which command grants it)"
}

func (e deniedError) Unwrap() error { return e.error }

// explainDenial says what to do about a denial, once. Other errors stay as they are.
func explainDenial(err error) error {
	if _, told := errors.AsType[deniedError](err); told || !isAny(err, denials) {
		return err
	}
	return deniedError{err}
}
