//go:build synctests

package kafkatest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/secret"
	"nearline/kafka"
)

// Gate is who may log in to a world. A broker that refuses says so, as Kafka does and kfake does not: that one hangs up.
type Gate struct {
	mu       sync.Mutex // guards all below
	users    map[string][]string
	admitted map[string]int
	refused  int
}

// Admit a user with any of these passwords from now on; with none, nobody is admitted under the name.
//
// A login by SCRAM shows no password: there a user is admitted or not, and its one password is the user's name.
func (g *Gate) Admit(user string, passwords ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.users == nil {
		g.users = make(map[string][]string)
	}
	g.users[user] = passwords
}

// Admitted is how many logins a user had with a password; by SCRAM that is "".
func (g *Gate) Admitted(user, password string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.admitted[user+"/"+password]
}

// Refused is how many logins were refused.
func (g *Gate) Refused() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

// options of a cluster with that gate, for users who may come.
func (g *Gate) options(users []string) []kfake.Opt {
	all := []kfake.Opt{kfake.EnableSASL()}
	for _, user := range users {
		all = append(all, kfake.Superuser("PLAIN", user, user), kfake.Superuser("SCRAM-SHA-256", user, user), kfake.Superuser("SCRAM-SHA-512", user, user))
	}
	return all
}

// watch the logins of a cluster.
func (g *Gate) watch(cluster *kfake.Cluster) {
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked := request.(*kmsg.SASLAuthenticateRequest)
		if g.passes(asked) {
			return nil, nil, false
		}
		answer := asked.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		answer.ErrorCode, answer.ErrorMessage = kerr.SaslAuthenticationFailed.Code, new("Authentication failed: Invalid username or password")
		return answer, nil, true
	})
}

// passes says whether a request of a login goes on to the cluster, which has a password of its own for each user.
func (g *Gate) passes(asked *kmsg.SASLAuthenticateRequest) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	var user, password string
	switch parts := bytes.Split(asked.SASLAuthBytes, []byte{0}); {
	case len(parts) == 3:
		user, password = string(parts[1]), string(parts[2])
		asked.SASLAuthBytes = []byte("\x00" + user + "\x00" + user)
	case strings.HasPrefix(string(asked.SASLAuthBytes), "n,,n="):
		user, _, _ = strings.Cut(strings.TrimPrefix(string(asked.SASLAuthBytes), "n,,n="), ",")
	default:
		return true // the end of a login by SCRAM
	}
	passwords := g.users[user]
	if len(passwords) == 0 || password != "" && !slices.Contains(passwords, password) {
		g.refused++
		return false
	}
	if g.admitted == nil {
		g.admitted = make(map[string]int)
	}
	g.admitted[user+"/"+password]++
	return true
}

// Login is a user and a password in files, as whoever rotates them replaces them.
type Login struct {
	tb        testing.TB
	folder    string
	mechanism string
}

// NewLogin of a mechanism.
func NewLogin(tb testing.TB, mechanism, user, password string) *Login {
	l := &Login{tb, tb.TempDir(), mechanism}
	l.User(user)
	l.Password(password)
	return l
}

// User from now on.
func (l *Login) User(name string) { l.write("user", name) }

// Password from now on.
func (l *Login) Password(word string) { l.write("password", word) }

func (l *Login) write(file, text string) {
	if err := os.WriteFile(filepath.Join(l.folder, file), []byte(text), 0o600); err != nil {
		l.tb.Fatal(err)
	}
}

// Config of a cluster that is logged in to so.
func (l *Login) Config() kafka.Config {
	text := func(key string) secret.Text {
		path := filepath.Join(l.folder, key)
		return secret.New("kafka.sasl."+key, "${file:"+path+"}", func() (string, error) { return secret.File(path) })
	}
	return kafka.Config{SASL: &kafka.SASL{Mechanism: l.mechanism, User: secret.Name{Text: text("user")}, Password: text("password")}}
}
