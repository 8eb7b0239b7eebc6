package kafka

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestTheClientTriesAgainWhatMayPass(t *testing.T) {
	for name, c := range map[string]struct {
		err                     error
		retried, login, refused bool
	}{
		"a refusal":                 {&refusal{words: "no"}, false, false, true},
		"a refused login":           {&refusal{words: "no", login: true}, false, true, true},
		"what may pass":             {&passing{refusal{words: "not yet"}}, true, false, false},
		"a login that may succeed":  {&passing{refusal{words: "not yet", login: true}}, true, true, false},
		"a broker's own refusal":    {fmt.Errorf("%w: %s", kerr.SaslAuthenticationFailed, "no"), false, true, true},
		"a mechanism it knows not":  {kerr.UnsupportedSaslMechanism, false, false, true},
		"a login on a port without": {kerr.IllegalSaslState, false, false, true},
		"anything else":             {errors.New("no"), false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := fmt.Errorf("unable to dial: %w", c.err)
			if got := kgo.IsRetryableBrokerErr(err); got != c.retried {
				t.Errorf("the client tries again: %t, want %t", got, c.retried)
			}
			if got := errors.Is(err, kerr.SaslAuthenticationFailed); got != c.login {
				t.Errorf("it is a failed login: %t, want %t", got, c.login)
			}
			if got := Refused(err); got != c.refused {
				t.Errorf("it is refused: %t, want %t", got, c.refused)
			}
		})
	}
	for _, err := range []error{&refusal{login: true}, &passing{refusal{login: true}}} {
		if _, found := errors.AsType[*kerr.Error](err); found {
			t.Errorf("%T shows a broker's error: the client would give up its producer for that", err)
		}
	}
}
