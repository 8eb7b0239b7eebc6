package stories

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"nearline/e2e/cluster"
)

// tokens is an endpoint that gives tokens to clients who know a secret, as an identity provider does.
type tokens struct {
	subject string
	key     *rsa.PrivateKey
	url     string

	mu      sync.Mutex // guards secrets
	secrets []string   // of clients, all that count now
}

// tokenLife is how long a token counts: less than a story.
const tokenLife = 20 * time.Second

func newTokens(subject string) (*tokens, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return &tokens{subject: subject, key: key, secrets: []string{"client-hunter2"}}, err
}

var raw64 = base64.RawURLEncoding

// jwks are the keys by which brokers know the tokens.
func (k *tokens) jwks() []byte {
	exponent := big.NewInt(int64(k.key.E)).Bytes()
	return fmt.Appendf(nil, `{"keys": [{"kty": "RSA", "kid": "story", "use": "sig", "alg": "RS256", "n": %q, "e": %q}]}`,
		raw64.EncodeToString(k.key.N.Bytes()), raw64.EncodeToString(exponent))
}

// take those secrets of clients from now on.
func (k *tokens) take(secrets ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.secrets = secrets
}

func (k *tokens) serve(s *shop) {
	server := httptest.NewServer(http.HandlerFunc(k.answer))
	s.t.Cleanup(server.Close)
	k.url = server.URL
}

// keys of kafka.sasl by which a replica gets its tokens here.
func (k *tokens) keys(s *shop) string {
	return fmt.Sprintf("client_credentials: {token_url: %s, client_id: %s, client_secret: %s}", k.url, k.subject, s.reference("client-secret"))
}

func (k *tokens) answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	id, secret, _ := r.BasicAuth()
	if id == "" {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	k.mu.Lock()
	known := id == k.subject && slices.Contains(k.secrets, secret)
	k.mu.Unlock()
	if !known {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error": "invalid_client", "error_description": "the secret is another"}`))
		return
	}
	token, err := k.token(time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(tokenLife.Seconds())})
}

// token signed with RS256, as RFC 7519 and 7518 have it.
func (k *tokens) token(now time.Time) (string, error) {
	header := raw64.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT","kid":"story"}`))
	claims, err := json.Marshal(map[string]any{"sub": k.subject, "aud": cluster.Audience, "iss": cluster.Issuer, "iat": now.Unix(), "exp": now.Add(tokenLife).Unix()})
	if err != nil {
		return "", err
	}
	signed := header + "." + raw64.EncodeToString(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, k.key, crypto.SHA256, digest[:])
	return signed + "." + raw64.EncodeToString(signature), err
}
