package kafka

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
)

// shown is what one login shows of itself.
type shown struct {
	content digest
	// user that the broker then knows; "" where only the broker can tell.
	user string
	// token is which one it is, where the content is what it was exchanged for.
	token digest
	// from and until are when a token counts, as far as it says so.
	from, until time.Time
}

// source has the credentials of logins. What it reads may change at any time.
type source interface {
	// take what to show in a login that begins now. An error is a *refusal or a *passing, and was told; or ctx is over.
	take(ctx context.Context) (shown, sasl.Mechanism, error)
	// now is what take would show, as far as nobody has to be asked for that.
	now() (shown, bool)
	// refused is told of what a broker did not accept.
	refused(was shown)
	// remedy says what to look at when a login is refused.
	remedy() string
}

// login is how this process logs in to brokers, the same for all its clients.
type login struct {
	standing[digest]
	name    string // of the mechanism
	source  source
	trouble *trouble

	mu sync.Mutex // guards the two below
	// begun are the first messages of logins that begin, by which a connection knows what is shown on it. The oldest of them comes first in order.
	begun map[digest]shown
	order []digest
}

// mostBegun bounds what is remembered of logins that begin: between a login's first message and its being written nothing happens, so that a few
// for each client would do.
const mostBegun = 4096

var _ sasl.Mechanism = (*login)(nil)

// Name of the mechanism.
func (l *login) Name() string { return l.name }

// Authenticate begins a login, with the credentials that there are now.
func (l *login) Authenticate(ctx context.Context, address string) (sasl.Session, []byte, error) {
	shown, mechanism, err := l.source.take(ctx)
	if err != nil {
		return nil, nil, err
	}
	inner, first, err := mechanism.Authenticate(ctx, address)
	if err != nil {
		return nil, nil, l.unable(address, fmt.Sprintf("%v; %s", err, l.source.remedy()))
	}
	l.show(shown.content)
	l.begin(first, shown)
	return &session{inner, l, address, shown}, first, nil
}

// unable says that there is no login to begin, or that the broker's part in it is wrong.
func (l *login) unable(address, cause string) error {
	refused := &refusal{words: fmt.Sprintf("kafka.sasl: no login to %s by %s: %s", address, l.name, cause), login: true}
	l.trouble.say(place{kindLogin, address}, cause, refused.words, hard)
	return refused
}

func (l *login) begin(first []byte, with shown) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := digestOf(string(first))
	if l.begun == nil {
		l.begun = make(map[digest]shown)
	}
	if _, again := l.begun[key]; !again {
		l.order = append(l.order, key)
	}
	l.begun[key] = with
	if len(l.order) > mostBegun {
		delete(l.begun, l.order[0])
		l.order = l.order[1:]
	}
}

// issued says what is shown by a login with that message.
func (l *login) issued(first []byte) (shown, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	with, ok := l.begun[digestOf(string(first))]
	return with, ok
}

// another user than that one logs in by now.
func (l *login) another(than string) bool {
	now, known := l.source.now()
	return known && than != "" && now.user != "" && now.user != than
}

// changed says that there is something else to show by now.
func (l *login) changed(was shown) bool {
	now, known := l.source.now()
	return known && now.content != was.content
}

// judge a refusal by a broker.
func (l *login) judge(address string, was shown, words string, ended <-chan struct{}) error {
	current := was.content
	if now, known := l.source.now(); known {
		current = now.content
	}
	mayPass := l.refuse(address, was.content, current)
	l.source.refused(was)
	as := ""
	if was.user != "" {
		as = " of " + was.user
	}
	cause := fmt.Sprintf("by %s: %s", l.name, orSilent(words))
	said := cause
	cause = questionID.ReplaceAllString(cause, "ID")
	if doubt := clockDoubt(was, time.Now()); doubt != "" {
		said += "; " + doubt
		cause += "; the token does not count now"
	}
	said = fmt.Sprintf("kafka.sasl: %s refuses the login%s %s; %s", address, as, said, l.source.remedy())
	refused := refusal{words: said, login: true}
	if !mayPass {
		l.trouble.say(place{kindLogin, address}, cause, said, hard)
		return &refused
	}
	l.trouble.say(place{kindLogin, address}, cause, said+". The credentials, here or there, may just be changing", soft)
	l.wait(address, ended, func() bool { return l.changed(was) })
	return &passing{refused}
}

// questionID is what clouds' brokers put into their words, another with each answer.
var questionID = regexp.MustCompile(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`)

// clockDoubt says what is wrong with the times of a token, "" where nothing is or nothing is known.
func clockDoubt(was shown, now time.Time) string {
	switch {
	case !was.from.IsZero() && now.Before(was.from):
		return fmt.Sprintf("the token counts from %s and it is %s here: is this machine's clock right?", was.from.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case !was.until.IsZero() && now.After(was.until):
		return fmt.Sprintf("the token expired at %s and it is %s here", was.until.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return ""
}

func orSilent(words string) string {
	if words = strings.TrimSpace(words); words == "" {
		return "it does not say why"
	}
	return words
}

// session is one login under way.
type session struct {
	sasl.Session
	login   *login
	address string
	shown   shown
}

// Challenge is the broker's answer so far.
func (s *session) Challenge(answer []byte) (bool, []byte, error) {
	done, next, err := s.Session.Challenge(answer)
	if err != nil {
		return false, nil, s.login.unable(s.address, fmt.Sprintf("%v; %s", err, s.login.source.remedy()))
	}
	if done {
		fresh := s.login.accept(s.address, s.shown.content)
		s.login.trouble.clear(place{kindLogin, s.address}, fresh)
	}
	return done, next, nil
}
