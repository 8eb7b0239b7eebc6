//go:build redisserver

package redis

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"nearline/features"
	"nearline/features/storetest"
	"nearline/internal/certs"
	"nearline/internal/harness/certstest"
	"nearline/internal/secret"
)

// securedServers of Redis: they speak TLS and nothing else, demand a certificate, and know one user.
type securedServers struct {
	folder    string
	addresses []string
	// own and its are the files of the store, and of the servers.
	own, its certs.Config
	admin    *certs.Files
	name     string // in the servers' certificates
}

// at is a file of theirs.
func (r *securedServers) at(name string) string { return filepath.Join(r.folder, name) }

// issue the servers a certificate in new files, and return these.
func (r *securedServers) issue(by *certstest.Authority, file string) (cert, key string) {
	return by.Issue("redis", certstest.Options{Hosts: []string{r.name}}).Write(r.folder, file)
}

// startSecured starts one server, or three that are a cluster.
func startSecured(t *testing.T, first *certstest.Authority, n int, name string) *securedServers {
	t.Helper()
	r := &securedServers{folder: t.TempDir(), name: name}
	r.its.CA = certstest.Write(r.folder, "server-ca.pem", first.PEM)
	r.its.Cert, r.its.Key = r.issue(first, "server")
	r.own.CA = certstest.Write(r.folder, "ca.pem", first.PEM)
	r.own.Cert, r.own.Key = first.Issue("nearline", certstest.Options{}).Write(r.folder, "client")
	admin := certs.Config{CA: certstest.Write(r.folder, "admin-ca.pem", first.PEM), ServerName: name}
	admin.Cert, admin.Key = first.Issue("admin", certstest.Options{}).Write(r.folder, "admin")
	if net.ParseIP(name) == nil {
		r.own.ServerName = name
	}
	r.admin = certs.New("admin", admin)
	for range n {
		port := freePort(t)
		args := []string{"--port", "0", "--tls-port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
			"--tls-ca-cert-file", r.its.CA, "--tls-cert-file", r.its.Cert, "--tls-key-file", r.its.Key, "--tls-auth-clients", "yes",
			"--user", "nearline", "on", ">password-one", "~*", "&*", "+@all"}
		if n > 1 {
			args = append(args, "--cluster-enabled", "yes", "--cluster-config-file", "nodes-"+port, "--cluster-port", freePort(t), "--tls-cluster", "yes", "--tls-replication", "yes")
		}
		r.start(t, port, args...)
	}
	if n > 1 {
		r.cluster(t)
	}
	return r
}

func freePort(t *testing.T) string {
	t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	_, number, err := net.SplitHostPort(port.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return number
}

func (r *securedServers) start(t *testing.T, port string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	server := exec.Command("redis-server", args...) //nolint:gosec,noctx // of this test
	server.Dir, server.Stdout, server.Stderr = r.folder, &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // killed
	})
	r.addresses = append(r.addresses, "127.0.0.1:"+port)
	until(t, "the server answers", func() bool {
		return r.ask(t, len(r.addresses)-1, func(ctx context.Context, c *goredis.Client) error { return c.Ping(ctx).Err() }) == nil
	})
}

// ask a server as its default user, which may do anything.
func (r *securedServers) ask(t *testing.T, server int, f func(context.Context, *goredis.Client) error) error {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: r.addresses[server], Dialer: secured(nil, r.admin)})
	return errors.Join(f(t.Context(), c), c.Close())
}

// all of the servers are told the same.
func (r *securedServers) all(t *testing.T, args ...any) {
	t.Helper()
	for i := range r.addresses {
		if err := r.ask(t, i, func(ctx context.Context, c *goredis.Client) error { return c.Do(ctx, args...).Err() }); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
}

// cluster is made of the servers. By their own words, since redis-cli checks no name of a certificate but the host's.
func (r *securedServers) cluster(t *testing.T) {
	t.Helper()
	for i, address := range r.addresses {
		err := r.ask(t, i, func(ctx context.Context, c *goredis.Client) error {
			const each = slots / 3
			last := (i+1)*each - 1
			if i == len(r.addresses)-1 {
				last = slots - 1
			}
			return errors.Join(c.ClusterAddSlotsRange(ctx, i*each, last).Err(), c.Do(ctx, "cluster", "set-config-epoch", i+1).Err())
		})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			continue
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		bus := r.bus(t, i)
		if err := r.ask(t, 0, func(ctx context.Context, c *goredis.Client) error {
			return c.Do(ctx, "cluster", "meet", host, port, bus).Err()
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range r.addresses {
		until(t, "the cluster is one", func() bool {
			var text string
			err := r.ask(t, i, func(ctx context.Context, c *goredis.Client) (err error) {
				text, err = c.ClusterInfo(ctx).Result()
				return err
			})
			return err == nil && strings.Contains(text, "cluster_state:ok") && strings.Contains(text, "cluster_known_nodes:3")
		})
	}
}

// bus is the port by which a server of a cluster is spoken to by the others.
func (r *securedServers) bus(t *testing.T, server int) (port string) {
	t.Helper()
	if err := r.ask(t, server, func(ctx context.Context, c *goredis.Client) error {
		said, err := c.ConfigGet(ctx, "cluster-port").Result()
		port = said["cluster-port"]
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return port
}

// until something holds, which another process decides.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 600 {
		if holds() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("it never came that %s", what)
}

// config of a store there.
func (r *securedServers) config() Config {
	c := patient(r.addresses...)
	c.TLS = &r.own
	read := func(key, file string) secret.Text {
		return secret.New(path+"."+key, "${file:"+file+"}", func() (string, error) { return secret.File(r.at(file)) })
	}
	certstest.Write(r.folder, "user", []byte("nearline\n"))
	certstest.Write(r.folder, "password", []byte("password-one\n"))
	c.Username, c.Password = secret.Name{Text: read("username", "user")}, read("password", "password")
	return c
}

// eachSecured runs a test with one server, and with a cluster. The test starts them itself: those of e2e/redis.sh speak no TLS.
func eachSecured(t *testing.T, f func(t *testing.T, r *securedServers, first *certstest.Authority)) {
	for name, c := range map[string]struct {
		n    int
		name string
	}{"one server": {1, "127.0.0.1"}, "a cluster": {3, "redis.example"}} {
		t.Run(name, func(t *testing.T) {
			first := certstest.New("first")
			f(t, startSecured(t, first, c.n, c.name), first)
		})
	}
}

func TestStoreOnSecuredServers(t *testing.T) {
	eachSecured(t, func(t *testing.T, r *securedServers, _ *certstest.Authority) {
		storetest.Run(t, func(t *testing.T) features.Store { return Open(ownPrefix(t, r.config())) }, spoils...)
	})
}

// Authorities, certificates, the password and the user are replaced while a store is written and read: no call fails for them, and no key is lost.
func TestCredentialsOfSecuredServersAreReplacedInUse(t *testing.T) {
	eachSecured(t, func(t *testing.T, r *securedServers, first *certstest.Authority) {
		second := certstest.New("second")
		s := opened(t, r.config())
		const n = 200
		keys := make([]string, n)
		for i := range keys {
			keys[i] = "key-" + strconv.Itoa(i)
		}
		var rounds atomic.Int64
		use, ended := context.WithCancel(t.Context())
		var working sync.WaitGroup
		failed := func(err error) bool {
			_, handshake := errors.AsType[*certs.HandshakeError](err)
			_, refused := errors.AsType[goredis.Error](err)
			if err != nil && use.Err() == nil && (handshake || refused || s.explains(err) != "") {
				t.Errorf("a call failed for credentials: %v", err)
			}
			return err != nil // by a connection that was cut: whoever calls tries again
		}
		working.Go(func() {
			entries := make([]features.Entry, n)
			for offset := int64(1); use.Err() == nil; offset++ {
				for i := range entries {
					entries[i] = entry(keys[i], offset)
				}
				if _, err := s.Put(use, entries); failed(err) {
					continue
				}
				found, err := s.Get(use, item, keys)
				if failed(err) {
					continue
				}
				if slices.Contains(found, nil) {
					t.Error("a key is gone in between")
				}
				rounds.Add(1)
			}
		})
		// go on has all connections made anew, and the store used by them.
		goOn := func(after string) {
			t.Helper()
			r.all(t, "client", "kill", "type", "normal", "skipme", "yes")
			before := rounds.Load()
			until(t, "the store was used after "+after, func() bool { return rounds.Load() > before+3 })
		}
		goOn("the beginning")

		both := slices.Concat(first.PEM, second.PEM)
		for _, file := range []string{"ca.pem", "server-ca.pem", "admin-ca.pem"} {
			certstest.Write(r.folder, file, both)
		}
		r.all(t, "config", "set", "tls-ca-cert-file", r.its.CA)
		goOn("both authorities are trusted")
		cert, key := r.issue(second, "server-two")
		r.all(t, "config", "set", "tls-cert-file", cert, "tls-key-file", key)
		goOn("the servers show a certificate of the second")
		second.Issue("nearline", certstest.Options{}).Write(r.folder, "client")
		second.Issue("admin", certstest.Options{}).Write(r.folder, "admin")
		goOn("the store shows one of the second")
		for _, file := range []string{"ca.pem", "server-ca.pem", "admin-ca.pem"} {
			certstest.Write(r.folder, file, second.PEM)
		}
		r.all(t, "config", "set", "tls-ca-cert-file", r.its.CA)
		goOn("the first authority is gone")

		r.all(t, "acl", "setuser", "nearline", ">password-two")
		certstest.Write(r.folder, "password", nil) // as it is for a moment
		goOn("the file of the password is empty")
		certstest.Write(r.folder, "password", []byte("password-two\n"))
		r.all(t, "acl", "setuser", "nearline", "<password-one")
		goOn("the old password is gone")

		r.all(t, "acl", "setuser", "nearline-b", "on", ">password-two", "~*", "&*", "+@all")
		certstest.Write(r.folder, "user", []byte("nearline-b\n"))
		r.all(t, "acl", "deluser", "nearline")
		goOn("the old user is gone")
		ended()
		working.Wait()
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		for i, e := range mustGet(t, s, keys...) {
			if e == nil {
				t.Errorf("%s is gone", keys[i])
			}
		}
		t.Logf("%d rounds", rounds.Load())
	})
}

func TestASecuredServerSaysWhatIsWrongWithCredentials(t *testing.T) {
	r := startSecured(t, certstest.New("first"), 1, "127.0.0.1")
	c := r.config()
	if err := pingOnce(t, c); err != nil {
		t.Errorf("with all as it should be: %v", err)
	}
	without := c
	without.TLS = nil
	wants(t, pingOnce(t, without), "features.store.redis.tls")
	other := c
	other.TLS = &certs.Config{CA: certstest.Write(r.folder, "other.pem", certstest.New("another").PEM)}
	wants(t, pingOnce(t, other), "features.store.redis.tls.ca", "CN=first")
	bare := c
	bare.TLS = &certs.Config{CA: r.own.CA}
	wants(t, pingOnce(t, bare), "features.store.redis.tls.cert")
	certstest.Write(r.folder, "password", []byte("wrong\n"))
	wants(t, pingOnce(t, c), "features.store.redis", "password", "WRONGPASS")
}

func pingOnce(t *testing.T, c Config) error {
	t.Helper()
	s := Open(c)
	err := s.Ping(t.Context())
	return errors.Join(err, s.Close())
}
