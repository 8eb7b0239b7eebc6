package serving

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"nearline/internal/problems"
	"nearline/internal/secret"
)

// access says who may ask what:
//
//   - Probes are open to all who can connect, since what restarts a container has no token.
//   - Everything else is read by who has one of serving.tokens, or of serving.admin_tokens; by all where there are no tokens for reading.
//   - What changes something, or shows what is in memory, is for one of serving.admin_tokens. Without any it is for nobody.
//
// Where client certificates are required, all but the probes want one, too.
type access struct {
	read, admin *tokens
	certificate bool
}

func newAccess(c Config) *access {
	return &access{read: newTokens(c.Tokens), admin: newTokens(c.AdminTokens), certificate: c.TLS != nil && c.TLS.ClientCertificates == CertificatesRequired}
}

// probes are pages that a prober asks for.
var probes = []string{"/healthz", "/readyz", "/streamz"}

// reading has everything behind next read by those who may.
func (a *access) reading(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case slices.Contains(probes, r.URL.Path):
		case a.certificate && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0):
			answer(w, http.StatusForbidden, problem("want a client certificate that one of the authorities in serving.tls.ca has issued"))
			return
		case a.read.none():
		case !a.read.has(r) && !a.admin.has(r):
			unauthorized(w, r, "serving.tokens")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// changing has next only called by those who may change something.
func (a *access) changing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case a.admin.none():
			answer(w, http.StatusForbidden, problem("nobody may do this, since there is no token for it: set serving.admin_tokens, such as [\"${file:/run/secrets/nearline-admin}\"]"))
		case a.admin.has(r) && a.read.has(r):
			// What was copied into the wrong file while the service runs lets no reader change anything.
			answer(w, http.StatusForbidden, problem("the token is one of serving.tokens, too: want another one in serving.admin_tokens"))
		case a.admin.has(r):
			next.ServeHTTP(w, r)
		case a.read.has(r):
			answer(w, http.StatusForbidden, problem("the token may read, and no more: want one of serving.admin_tokens"))
		default:
			unauthorized(w, r, "serving.admin_tokens")
		}
	})
}

func unauthorized(w http.ResponseWriter, r *http.Request, key string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="nearline"`)
	if _, shown := bearer(r); shown {
		answer(w, http.StatusUnauthorized, problem("the token is none of "+key))
		return
	}
	answer(w, http.StatusUnauthorized, problem("want the header Authorization: Bearer TOKEN, with one of "+key))
}

// bearer is the token that a request shows.
func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

const (
	// fresh is how long the tokens' files are not read again: a token that is gone is refused from then on.
	fresh = time.Second
	// freshForUnknown is the same where a request shows a token that is not known: a new one counts at once, and who guesses does not have files read all the
	// time.
	freshForUnknown = 100 * time.Millisecond
)

// tokens of which a request has to show one. They are compared by their hashes, each with all, so that the time that it takes says nothing of them.
type tokens struct {
	texts []secret.Text

	mu   sync.Mutex // guards all below
	sums [][sha256.Size]byte
	read time.Time // when sums were made
}

func newTokens(texts []secret.Text) *tokens { return &tokens{texts: texts} }

// none says that there are none, and never will be.
func (t *tokens) none() bool { return len(t.texts) == 0 }

// has says whether a request shows one of them.
func (t *tokens) has(r *http.Request) bool {
	shown, ok := bearer(r)
	if !ok || shown == "" || t.none() { // an empty one is nobody's, whatever a file may hold
		return false
	}
	sum := sha256.Sum256([]byte(shown))
	return among(t.now(fresh), sum) || among(t.now(freshForUnknown), sum)
}

// among says whether a sum is one of all, in a time that depends on their number alone.
func among(all [][sha256.Size]byte, sum [sha256.Size]byte) bool {
	found := 0
	for i := range all {
		found |= subtle.ConstantTimeCompare(all[i][:], sum[:])
	}
	return found == 1
}

// now are the sums of the tokens as their files had them at most so long ago.
func (t *tokens) now(old time.Duration) [][sha256.Size]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); t.sums == nil || now.Sub(t.read) >= old {
		sums := make([][sha256.Size]byte, 0, len(t.texts))
		for _, text := range t.texts {
			sums = append(sums, sha256.Sum256([]byte(text.Value())))
		}
		t.sums, t.read = sums, now
	}
	return t.sums
}

// shortestToken is as long as half of what openssl rand -hex 16 says, which nobody guesses.
const shortestToken = 16

// fitsToken says what keeps a content from being a token.
func fitsToken(content string) error {
	if len(content) < shortestToken {
		return fmt.Errorf("it has %d characters: want at least %d, such as openssl rand -hex 32 prints", len(content), shortestToken)
	}
	if strings.ContainsFunc(content, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("it has a space, or a character beyond ASCII: want what a header can have, such as openssl rand -hex 32 prints")
	}
	return nil
}

// validateTokens of both kinds. What comes into their files later has to fit as well.
func (c Config) validateTokens(p *problems.List, path string) {
	seen := make(map[string]string)
	for _, kind := range []struct {
		key    string
		tokens []secret.Text
	}{{path + ".tokens", c.Tokens}, {path + ".admin_tokens", c.AdminTokens}} {
		for i, token := range kind.tokens {
			key := fmt.Sprintf("%s[%d]", kind.key, i)
			if token.Empty() {
				p.Add(key, "is empty: want a token, such as ${file:/run/secrets/nearline}, or no such entry")
				continue
			}
			if err := token.Require(fitsToken); err != nil {
				p.Add(key, "is %q: %v", token.Written(), err)
				continue
			}
			if other, twice := seen[token.Value()]; twice {
				p.Add(key, "is %q: %s is the same token; want another one, so that each can be withdrawn for itself", token.Written(), other)
			}
			seen[token.Value()] = key
		}
	}
}
