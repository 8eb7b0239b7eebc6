package cluster

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/twmb/franz-go/pkg/kadm"

	"nearline/internal/certs"
	"nearline/internal/harness/certstest"
	"nearline/internal/secret"
	"nearline/kafka"
)

// Security of a cluster: nothing is spoken in the clear, and what no ACL grants is denied.
//
// Brokers and controllers know each other by certificates of an authority of their own. Clients present a certificate that the brokers trust, and log in by
// SASL; who they are is what they have logged in as. Those of the tests are the administrator.
type Security struct {
	// Authority signs the certificates that brokers show to clients, and those of clients that brokers trust.
	Authority *certstest.Authority
	// Users are the passwords of those who log in by PLAIN. Users of SCRAM are made by SetPassword.
	Users map[string]string
	// JWKS are the keys, as JSON, that sign the tokens of those who log in by OAUTHBEARER; nil goes without.
	JWKS []byte
	// Reauthenticate is how long a login lasts; 0 is for ever.
	Reauthenticate time.Duration
}

// ErrZooKeeper is that of a version to which security is not given here.
var ErrZooKeeper = errors.New("security is for brokers that are their own controllers")

// Audience is whom tokens have to be for, and Issuer whom they have to be from.
const (
	Audience = "kafka"
	Issuer   = "https://tokens.test"
)

// The administrator, who logs in by PLAIN and may do everything. The password guards a cluster that lives for a test.
const (
	Administrator = "admin"
	Password      = "administrator-of-a-test"
)

const (
	// brokerName is who brokers are to each other.
	brokerName = "broker"

	securityPath = "/tmp/security/"
	jwksURL      = "file://" + securityPath + "jwks.json"
)

// identity is what a cluster with security is made of. Its methods may be called concurrently.
type identity struct {
	inner  *certstest.Authority // of brokers and controllers among themselves
	folder string               // of the tests' own certificates
	admin  kafka.Config

	mu      sync.Mutex // guards all below
	signer  *certstest.Authority
	trusted []*certstest.Authority // of clients
	known   []*certstest.Authority // every one that brokers may have been signed by
}

func newIdentity(s *Security) (_ *identity, err error) {
	i := &identity{inner: certstest.New("brokers"), trusted: []*certstest.Authority{s.Authority}}
	if i.folder, err = os.MkdirTemp("", "nearline-e2e-"); err != nil {
		return nil, err
	}
	i.admin = kafka.Config{
		TLS:  &certs.Config{CA: i.path("ca.pem"), Cert: i.path("admin.pem"), Key: i.path("admin.key")},
		SASL: &kafka.SASL{Mechanism: kafka.Plain, User: secret.Name{Text: secret.Plain(Administrator)}, Password: secret.Plain(Password)},
	}
	return i, i.signedBy(s.Authority)
}

func (i *identity) path(name string) string { return filepath.Join(i.folder, name) }

// signedBy an authority are brokers and the tests' own clients from now on.
func (i *identity) signedBy(a *certstest.Authority) error {
	own := a.Issue(Administrator, certstest.Options{})
	i.mu.Lock()
	defer i.mu.Unlock()
	i.signer = a
	if !slices.Contains(i.known, a) {
		i.known = append(i.known, a)
	}
	return errors.Join(os.WriteFile(i.path("ca.pem"), bundle(i.known), 0o600), os.WriteFile(i.path("admin.pem"), own.Cert, 0o600),
		os.WriteFile(i.path("admin.key"), own.Key, 0o600))
}

// Signer is the authority that has signed what the brokers show to clients, and whose certificates they trust.
func (c *Cluster) Signer() *certstest.Authority {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	return c.identity.signer
}

// bundle of the certificates of authorities.
func bundle(authorities []*certstest.Authority) (all []byte) {
	for _, a := range authorities {
		all = append(all, a.PEM...)
	}
	return all
}

// connection of the tests' own clients.
func (c *Cluster) connection(brokers ...string) kafka.Connection {
	if c.identity == nil {
		return kafka.Connection{Brokers: brokers}
	}
	config := c.identity.admin
	config.Brokers = brokers
	return config.Connection()
}

// secure the properties of a broker.
func (c *Cluster) secure(p map[string]string) error {
	s := c.options.Security
	if c.zookeeper() {
		return fmt.Errorf("%w: want Kafka 3.3 or later, and not %s", ErrZooKeeper, c.Version)
	}
	p["listener.security.protocol.map"] = "INTERNAL:SSL,CONTROLLER:SSL,DIRECT:SASL_SSL,PROXIED:SASL_SSL"
	p["ssl.keystore.type"], p["ssl.truststore.type"] = "PEM", "PEM"
	p["ssl.keystore.location"], p["ssl.truststore.location"] = securityPath+"inner.pem", securityPath+"inner-ca.pem"
	p["ssl.client.auth"] = "required"
	p["ssl.principal.mapping.rules"] = "RULE:^CN=([^,]+).*$/$1/,DEFAULT"
	p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
	p["allow.everyone.if.no.acl.found"] = "false"
	p["super.users"] = "User:" + brokerName + ";User:" + Administrator
	if s.Reauthenticate > 0 {
		p["connections.max.reauth.ms"] = strconv.FormatInt(s.Reauthenticate.Milliseconds(), 10)
	}
	const modules = "org.apache.kafka.common.security."
	mechanisms := []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
	users := maps.Clone(s.Users)
	if users == nil {
		users = map[string]string{}
	}
	users[Administrator] = Password
	var logins strings.Builder
	logins.WriteString(modules + "plain.PlainLoginModule required")
	for _, user := range slices.Sorted(maps.Keys(users)) {
		fmt.Fprintf(&logins, " user_%s=%q", user, users[user])
	}
	for _, listener := range []string{"direct", "proxied"} {
		name := "listener.name." + listener + "."
		p[name+"plain.sasl.jaas.config"] = logins.String() + ";"
		for _, hash := range []string{"256", "512"} {
			p[name+"scram-sha-"+hash+".sasl.jaas.config"] = modules + "scram.ScramLoginModule required;"
		}
		if s.JWKS != nil {
			p[name+"oauthbearer.sasl.jaas.config"] = modules + "oauthbearer.OAuthBearerLoginModule required;"
			p[name+"oauthbearer.sasl.server.callback.handler.class"] = modules + "oauthbearer.OAuthBearerValidatorCallbackHandler"
			p[name+"oauthbearer.sasl.oauthbearer.jwks.endpoint.url"] = jwksURL
			p[name+"oauthbearer.sasl.oauthbearer.expected.audience"] = Audience
			p[name+"oauthbearer.sasl.oauthbearer.expected.issuer"] = Issuer
		}
		p[name+"ssl.client.auth"] = "required" // beside the login, which says who it is
		maps.Copy(p, listenerFiles(listener))
	}
	if s.JWKS != nil {
		mechanisms = append(mechanisms, "OAUTHBEARER")
	}
	p["sasl.enabled.mechanisms"] = strings.Join(mechanisms, ",")
	return nil
}

// listenerFiles are the properties that name what a listener shows to clients, and whom it trusts.
func listenerFiles(listener string) map[string]string {
	name := "listener.name." + listener + "."
	return map[string]string{
		name + "ssl.keystore.type":       "PEM",
		name + "ssl.keystore.location":   securityPath + "outer.pem",
		name + "ssl.truststore.type":     "PEM",
		name + "ssl.truststore.location": securityPath + "outer-ca.pem",
	}
}

// securityOptions is what a broker's process is told beside its properties.
func (c *Cluster) securityOptions() string {
	if c.options.Security == nil || c.options.Security.JWKS == nil {
		return ""
	}
	return "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=" + jwksURL
}

// securityFiles of a broker, by their paths in its container.
func (c *Cluster) securityFiles(node int) map[string][]byte {
	i := c.identity
	i.mu.Lock()
	signer, trusted := i.signer, bundle(i.trusted)
	i.mu.Unlock()
	hosts := certstest.Options{Hosts: []string{alias(node), "localhost", "127.0.0.1"}}
	inner, outer := i.inner.Issue(brokerName, hosts), signer.Issue(alias(node), hosts)
	keystore := func(p certstest.Pair) []byte { return slices.Concat(p.Key, p.Cert) }
	files := map[string][]byte{
		"inner.pem": keystore(inner), "inner-ca.pem": i.inner.PEM, "outer.pem": keystore(outer), "outer-ca.pem": trusted,
	}
	if jwks := c.options.Security.JWKS; jwks != nil {
		files["jwks.json"] = jwks
	}
	return files
}

// securityCustomizer puts the files into a broker's container before it starts.
func (c *Cluster) securityCustomizer(node int) []testcontainers.ContainerCustomizer {
	if c.identity == nil {
		return nil
	}
	files := c.securityFiles(node)
	var containerFiles []testcontainers.ContainerFile
	for _, name := range slices.Sorted(maps.Keys(files)) {
		containerFiles = append(containerFiles, testcontainers.ContainerFile{Reader: bytes.NewReader(files[name]), ContainerFilePath: securityPath + name, FileMode: 0o644})
	}
	return []testcontainers.ContainerCustomizer{testcontainers.WithFiles(containerFiles...)}
}

// Trust those authorities, and no others, of certificates that clients present from now on. Connections that are open stay.
func (c *Cluster) Trust(ctx context.Context, authorities ...*certstest.Authority) error {
	i := c.identity
	i.mu.Lock()
	i.trusted = authorities
	known := slices.Clone(i.known)
	i.mu.Unlock()
	if err := c.renew(ctx, "truststore", "outer-ca.pem"); err != nil {
		return err
	}
	for _, a := range append(known, authorities...) {
		if err := c.awaitShown(ctx, a, func(_ *x509.Certificate, err error) error {
			if trusts := slices.Contains(authorities, a); trusts != (err == nil) {
				return fmt.Errorf("it trusts the authority: %v, want %v (%w)", !trusts, trusts, cmp.Or(err, errNone))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// errNone stands where there is no error.
var errNone = errors.New("no error")

// Certify the brokers, and the tests' own clients, by an authority from now on. Connections that are open stay.
func (c *Cluster) Certify(ctx context.Context, a *certstest.Authority) error {
	if err := c.identity.signedBy(a); err != nil {
		return err
	}
	if err := c.renew(ctx, "keystore", "outer.pem"); err != nil {
		return err
	}
	return c.awaitShown(ctx, a, func(shown *x509.Certificate, err error) error {
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(a.PEM)
		_, err = shown.Verify(x509.VerifyOptions{Roots: roots})
		return err
	})
}

// awaitShown has judge look at the certificate that each broker shows to a client whom an authority has signed, until it is content: brokers take what they
// are told some time later.
func (c *Cluster) awaitShown(ctx context.Context, client *certstest.Authority, judge func(shown *x509.Certificate, err error) error) error {
	pair := client.Issue("somebody", certstest.Options{})
	own, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	c.identity.mu.Lock()
	roots.AppendCertsFromPEM(bundle(c.identity.known))
	c.identity.mu.Unlock()
	// Before TLS 1.3 a handshake fails where the broker refuses the certificate; from then on the first answer does. It goes by another listener than FailedHandshakes
	// looks at.
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}}
	for _, b := range c.brokers {
		err := await(ctx, time.Minute, fmt.Sprintf("broker %d to go by other certificates", b.node), func(ctx context.Context) error {
			connection, err := dialer.DialContext(ctx, "tcp", host(b.behind))
			if err != nil {
				return judge(nil, err)
			}
			defer connection.Close()
			return judge(connection.(*tls.Conn).ConnectionState().PeerCertificates[0], nil) //nolint:errcheck // as the dialer says
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// renew a file of every broker, and have the brokers read it again: they do when the setting is written, although it stays the same.
func (c *Cluster) renew(ctx context.Context, store, file string) error {
	for _, b := range c.brokers {
		files := c.securityFiles(b.node)
		if err := c.put(ctx, b, file, files[file]); err != nil {
			return fmt.Errorf("give broker %d another %s: %w", b.node, store, err)
		}
		var settings []kadm.AlterConfig
		for _, listener := range []string{"direct", "proxied"} {
			for name, value := range listenerFiles(listener) {
				if strings.Contains(name, store) {
					settings = append(settings, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
				}
			}
		}
		err := c.admin(ctx, func(ctx context.Context, admin *kadm.Client) error {
			altered, err := admin.AlterBrokerConfigs(ctx, settings, int32(b.node)) //nolint:gosec // a handful
			for _, a := range altered {
				err = errors.Join(err, a.Err)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("have broker %d read another %s: %w", b.node, store, err)
		}
	}
	return nil
}

// put a file of security into a broker's container. It is dated, as brokers read a file again whose time of change is another.
func (c *Cluster) put(ctx context.Context, b *broker, file string, content []byte) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content)), ModTime: time.Now(), Format: tar.FormatPAX})
	if err == nil {
		_, err = w.Write(content)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	_, err = c.engine.CopyToContainer(ctx, b.container.GetContainerID(), client.CopyToContainerOptions{DestinationPath: securityPath, Content: &archive})
	return err
}

// FailedHandshakes are what the brokers' logs say of clients that connected to the Direct addresses and did not agree with the broker on TLS: those that
// speak in the clear, and those with the wrong certificates.
func (c *Cluster) FailedHandshakes(ctx context.Context) (lines []string, err error) {
	for _, b := range c.brokers {
		log, err := c.Logs(ctx, b.node)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(log)) {
			// The connection is called by its addresses, the broker's first.
			if strings.Contains(line, "SSL handshake failed") && strings.Contains(line, fmt.Sprintf(":%d-", directPort)) {
				lines = append(lines, fmt.Sprintf("broker %d: %s", b.node, strings.TrimSpace(line)))
			}
		}
	}
	return lines, nil
}

// SetPassword of a user of SCRAM, who is made where there is none.
func (c *Cluster) SetPassword(ctx context.Context, user, password string) error {
	return c.admin(ctx, func(ctx context.Context, admin *kadm.Client) error {
		for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // brokers take one of a user at a time
			altered, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: user, Mechanism: mechanism, Iterations: 4096, Password: password}})
			if err == nil {
				err = altered.Error()
			}
			if err != nil {
				return fmt.Errorf("set the password of %s: %w", user, err)
			}
		}
		return nil
	})
}

// Grant what commands of kafka-acls.sh grant, one a line, such as `nearline acls` prints. Other lines are passed by.
func (c *Cluster) Grant(ctx context.Context, commands string) error {
	return c.eachGrant(ctx, commands, func(ctx context.Context, admin *kadm.Client, acl *kadm.ACLBuilder) error {
		made, err := admin.CreateACLs(ctx, acl)
		for _, one := range made {
			err = errors.Join(err, one.Err)
		}
		return err
	})
}

// Withdraw what those commands grant.
func (c *Cluster) Withdraw(ctx context.Context, commands string) error {
	return c.eachGrant(ctx, commands, func(ctx context.Context, admin *kadm.Client, acl *kadm.ACLBuilder) error {
		gone, err := admin.DeleteACLs(ctx, acl)
		for _, one := range gone {
			err = errors.Join(err, one.Err)
			if one.Err == nil && len(one.Deleted) == 0 {
				err = errors.Join(err, fmt.Errorf("nothing of it was granted: %s", one.Type))
			}
		}
		return err
	})
}

// eachGrant has f deal with each grant of the commands. It is an error where there is none.
func (c *Cluster) eachGrant(ctx context.Context, commands string, f func(context.Context, *kadm.Client, *kadm.ACLBuilder) error) error {
	all, err := grants(commands)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("there is no command of kafka-acls.sh in %q", commands)
	}
	return c.admin(ctx, func(ctx context.Context, admin *kadm.Client) error {
		for _, g := range all {
			if err := f(ctx, admin, g.acl()); err != nil {
				return fmt.Errorf("%+v: %w", g, err)
			}
		}
		return nil
	})
}
