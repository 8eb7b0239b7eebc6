package kafka

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"nearline/internal/certs"
	"nearline/internal/problems"
	"nearline/internal/secret"
	"nearline/kafka/mskiam"
)

// What SASL.Mechanism may be.
const (
	Plain       = "plain"
	Scram256    = "scram-sha-256"
	Scram512    = "scram-sha-512"
	OAuthBearer = "oauthbearer"
	MSKIAM      = "aws-msk-iam"
)

// SASL is how to log in to brokers. Everything that is secret may stand in a file, which is read at each login: new connections, and those that the
// brokers have log in again, show what it holds then.
type SASL struct {
	// Mechanism is plain, scram-sha-256, scram-sha-512, oauthbearer or aws-msk-iam. Plain sends the password as it is, so it wants TLS. The credentials of
	// aws-msk-iam are those of the AWS SDK: its variables, files, and roles of the machine.
	Mechanism string `yaml:"mechanism"`
	// User and Password are for plain and scram. The user may stand in a file, too: a rotation from one user to another overlaps, where one password
	// replaces the other.
	User     secret.Name `yaml:"user"`
	Password secret.Text `yaml:"password"`
	// Token is for oauthbearer with tokens that somebody else renews in a file.
	Token secret.Text `yaml:"token"`
	// ClientCredentials are for oauthbearer with tokens from an endpoint.
	ClientCredentials *ClientCredentials `yaml:"client_credentials"`
	// Extensions go with the token, as some clouds want it: logicalCluster and identityPoolId.
	Extensions map[string]string `yaml:"extensions"`
}

// ClientCredentials are exchanged for tokens (RFC 6749, section 4.4).
type ClientCredentials struct {
	TokenURL     string      `yaml:"token_url"`
	ClientID     secret.Name `yaml:"client_id"`
	ClientSecret secret.Text `yaml:"client_secret"`
	Scopes       []string    `yaml:"scopes"`
	// Parameters that the endpoint wants besides, such as audience.
	Parameters map[string]string `yaml:"parameters"`
	// TLS with the endpoint; none is with the system's authorities.
	TLS certs.Config `yaml:"tls"`
}

// Validate names every problem, each with its key below path, its value and the remedy.
func (s *SASL) Validate(path string, tls bool) error {
	var p problems.List
	keys := map[string]bool{
		"user": !absent(s.User.Text), "password": !absent(s.Password), "token": !absent(s.Token), "client_credentials": s.ClientCredentials != nil,
		"extensions": len(s.Extensions) > 0,
	}
	var wanted []string
	switch s.Mechanism {
	case Plain, Scram256, Scram512:
		wanted = []string{"user", "password"}
		for _, key := range wanted {
			if !keys[key] {
				p.Add(path+"."+key, "is missing: want what %s logs in with, such as %s: ${file:/run/secrets/kafka-%s}", s.Mechanism, key, key)
			}
		}
	case OAuthBearer:
		wanted = []string{"token", "client_credentials", "extensions"}
		if keys["token"] == keys["client_credentials"] {
			p.Add(path+".token", "and %s.client_credentials are both set, or both missing: want one, a file with tokens or an endpoint to ask for them", path)
		}
	case MSKIAM:
		if !mskiam.Built {
			p.Add(path+".mechanism", "is %q: this binary was built with the tag nocloud, without the client of AWS; want one that was built without the tag", s.Mechanism)
		}
		if !tls {
			p.Add(path+".mechanism", "is %q: want kafka.tls, too ({} for the system's authorities); MSK takes this login over TLS only", s.Mechanism)
		}
	default:
		p.Add(path+".mechanism", "is %q: want %s", s.Mechanism, strings.Join([]string{Plain, Scram256, Scram512, OAuthBearer}, ", ")+" or "+MSKIAM)
		return p.Err()
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if keys[key] && !slices.Contains(wanted, key) {
			p.Add(path+"."+key, "is set, and %s has no use for it: want %s.mechanism that has, or no such key", s.Mechanism, path)
		}
	}
	checkText(&p, path+".user", s.User.Text)
	checkText(&p, path+".password", s.Password)
	checkText(&p, path+".token", s.Token)
	if s.ClientCredentials != nil {
		p.Join(s.ClientCredentials.Validate(path + ".client_credentials"))
	}
	for _, key := range slices.Sorted(maps.Keys(s.Extensions)) {
		value := s.Extensions[key]
		if key == "" || key == "auth" || strings.Trim(key, letters) != "" || strings.ContainsAny(value, "\x00\x01") {
			p.Add(path+".extensions", "has %q: want names of letters other than auth, such as logicalCluster, and values without control signs", key)
		}
	}
	return p.Err()
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// absent says that a key is not in the configuration.
func absent(text secret.Text) bool { return text == (secret.Text{}) }

// checkText that it can be read, and is not empty.
func checkText(p *problems.List, path string, text secret.Text) {
	if absent(text) {
		return
	}
	switch value, err := text.Read(); {
	case err != nil:
		p.Add(path, "is %q: %v", text.Written(), err)
	case value == "":
		p.Add(path, "is empty: want the text, or a file with it")
	}
}

// Validate names every problem, each with its key below path, its value and the remedy.
func (c *ClientCredentials) Validate(path string) error {
	var p problems.List
	endpoint, err := url.Parse(c.TokenURL)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "https" && endpoint.Scheme != "http" || endpoint.User != nil {
		p.Add(path+".token_url", "is %q: want the URL of a token endpoint without a user in it, such as https://login.example/oauth2/token", c.TokenURL)
	}
	for _, of := range []struct {
		key  string
		text secret.Text
	}{{"client_id", c.ClientID.Text}, {"client_secret", c.ClientSecret}} {
		if absent(of.text) {
			p.Add(path+"."+of.key, "is missing: want what the endpoint knows this service by, such as %s: ${file:/run/secrets/%s}", of.key, of.key)
		}
		checkText(&p, path+"."+of.key, of.text)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Parameters)) {
		if key == "grant_type" || key == "scope" || key == "client_id" || key == "client_secret" {
			p.Add(path+".parameters", "has %s, which has a key of its own: leave it out here", key)
		}
	}
	p.Join(c.TLS.Validate(path + ".tls"))
	return p.Err()
}

// name of the mechanism, as brokers have it.
func (s *SASL) name() string {
	if s.Mechanism == MSKIAM {
		return "AWS_MSK_IAM"
	}
	return strings.ToUpper(s.Mechanism)
}

// source of what is shown in a login.
func (s *SASL) source(t *trouble) source {
	switch {
	case s.Mechanism == MSKIAM:
		return newAWS(t)
	case s.ClientCredentials != nil:
		return newEndpoint(*s.ClientCredentials, s.Extensions, t)
	case s.Mechanism == OAuthBearer:
		return &tokenFile{s.Token, s.Extensions}
	default:
		return &password{s}
	}
}

// Paths of the files, for whoever knows which folder they are relative to.
func (s *SASL) Paths() []*string {
	if s.ClientCredentials == nil {
		return nil
	}
	return s.ClientCredentials.TLS.Paths()
}

// unreadable says that a secret has never had a content.
func unreadable(key string, text secret.Text, err error) error {
	return &refusal{words: fmt.Sprintf("%s is %q: %v", key, text.Written(), err)}
}
