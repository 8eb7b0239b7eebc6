package kafka

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"nearline/internal/secret"
	"nearline/kafka/mskiam"
)

// password is a user with one.
type password struct{ of *SASL }

func (p *password) take(context.Context) (shown, sasl.Mechanism, error) {
	user, err := p.of.User.Read()
	if err != nil {
		return shown{}, nil, unreadable("kafka.sasl.user", p.of.User.Text, err)
	}
	word, err := p.of.Password.Read()
	if err != nil {
		return shown{}, nil, unreadable("kafka.sasl.password", p.of.Password, err)
	}
	with := shown{content: digestOf(user, word), user: user}
	switch p.of.Mechanism {
	case Scram256:
		return with, scram.Auth{User: user, Pass: word}.AsSha256Mechanism(), nil
	case Scram512:
		return with, scram.Auth{User: user, Pass: word}.AsSha512Mechanism(), nil
	default:
		return with, plain.Auth{User: user, Pass: word}.AsMechanism(), nil
	}
}

func (p *password) now() (shown, bool) {
	with, _, err := p.take(context.Background())
	return with, err == nil
}

func (*password) refused(shown) {}

func (*password) remedy() string {
	return "want the user and the password in kafka.sasl that the cluster knows by this mechanism"
}

// tokenFile has tokens that somebody else renews.
type tokenFile struct {
	token      secret.Text
	extensions map[string]string
}

func (f *tokenFile) take(context.Context) (shown, sasl.Mechanism, error) {
	token, err := f.token.Read()
	if err != nil {
		return shown{}, nil, unreadable("kafka.sasl.token", f.token, err)
	}
	with := shown{content: digestOf(token)}
	with.user, with.from, with.until = claims(token)
	return with, oauth.Auth{Token: token, Extensions: f.extensions}.AsMechanism(), nil
}

func (f *tokenFile) now() (shown, bool) {
	with, _, err := f.take(context.Background())
	return with, err == nil
}

func (*tokenFile) refused(shown) {}

func (*tokenFile) remedy() string {
	return "want a token in kafka.sasl.token that the cluster accepts, renewed in its file before it expires"
}

// claims of a token that is a JWT: whose it is, and when it counts. Nobody here can check its signature, and nothing is decided by what it says: it is for
// messages, and for noticing early that a broker will see another user.
func claims(token string) (subject string, from, until time.Time) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", time.Time{}, time.Time{}
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", time.Time{}, time.Time{}
	}
	var said struct {
		Subject string   `json:"sub"`
		From    *float64 `json:"nbf"`
		Until   *float64 `json:"exp"`
	}
	if json.Unmarshal(body, &said) != nil {
		return "", time.Time{}, time.Time{}
	}
	at := func(seconds *float64) time.Time {
		if seconds == nil || *seconds <= 0 || *seconds > 1<<40 {
			return time.Time{}
		}
		return time.Unix(int64(*seconds), 0)
	}
	return said.Subject, at(said.From), at(said.Until)
}

// awsRole has the credentials of the AWS SDK, which renews and keeps them.
type awsRole struct {
	trouble     *trouble
	credentials *mskiam.Credentials
}

func newAWS(t *trouble) source { return &awsRole{t, mskiam.New()} }

// awsPatience bounds the question for credentials: the SDK asks a machine next door, or a service.
const awsPatience = 5 * time.Second

func (a *awsRole) take(ctx context.Context) (shown, sasl.Mechanism, error) {
	within, cancel := context.WithTimeout(ctx, awsPatience)
	defer cancel()
	at := place{kindToken, "AWS"}
	access, key, session, err := a.credentials.Retrieve(within)
	if err != nil && ctx.Err() != nil {
		return shown{}, nil, ctx.Err()
	}
	if err != nil {
		words := fmt.Sprintf("kafka.sasl: AWS gives no credentials: %v", err)
		a.trouble.say(at, steady(err), words, soft)
		return shown{}, nil, &passing{refusal{words: words}}
	}
	a.trouble.clear(at, false)
	return shown{content: digestOf(access, key, session)}, aws.Auth{AccessKey: access, SecretKey: key, SessionToken: session}.AsManagedStreamingIAMMechanism(), nil
}

func (*awsRole) now() (shown, bool) { return shown{}, false }

func (a *awsRole) refused(shown) { a.credentials.Forget() }

func (*awsRole) remedy() string {
	return "want an identity that may kafka-cluster:Connect, AWS_REGION where the brokers' names do not have the region, and a clock that is right"
}
