package stories

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/e2e/cluster"
	"nearline/internal/harness/certstest"
	"nearline/kafka"
)

// bearer is who has logged in by a token.
const bearer = "bearer"

// fortress is the cluster of all stories in which nothing is spoken in the clear and nothing is allowed that no ACL allows. The first of them brings it up.
// Logins last for five seconds.
var fortress struct {
	sync.Once
	cluster *cluster.Cluster
	tokens  *tokens
	err     error
}

func bringUpFortress() {
	if _, fortress.err = os.Stat(program); fortress.err != nil {
		fortress.err = fmt.Errorf("%w: run `make build` first", fortress.err)
		return
	}
	if fortress.tokens, fortress.err = newTokens(bearer); fortress.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	fortress.cluster, fortress.err = cluster.Start(ctx, cluster.Options{Version: os.Getenv("NEARLINE_E2E_KAFKA"), Security: &cluster.Security{
		Authority: certstest.New("first authority"), JWKS: fortress.tokens.jwks(), Reauthenticate: 5 * time.Second,
	}, Properties: map[string]string{
		// A member of KIP-848 that may no longer say that it leaves is waited for: 45 seconds elsewhere.
		"group.consumer.min.session.timeout.ms": "20000", "group.consumer.session.timeout.ms": "20000",
	}})
}

// guarded is a story on the fortress, with credentials in files that are replaced while it goes on. Its two users are to have the same rights: the second
// takes the place of the first.
type guarded struct {
	*story
	old, young *certstest.Authority
	user, next string
	files      map[string]string // what was written last, by the file's name
	logins     int
	before     []string // handshakes that had failed
}

func beginGuarded(t *testing.T, name string) *guarded {
	t.Helper()
	began := time.Now()
	fortress.Do(bringUpFortress)
	switch {
	case errors.Is(fortress.err, cluster.ErrNoEngine):
		notRun(t, fortress.err)
	case errors.Is(fortress.err, cluster.ErrZooKeeper):
		t.Skipf("NOT RUN: %v", fortress.err)
	case fortress.err != nil:
		t.Fatalf("start a cluster: %v", fortress.err)
	}
	t.Logf("three guarded brokers of %s in %v", fortress.cluster.Image, time.Since(began).Round(100*time.Millisecond))
	s := &guarded{story: beginOn(t, fortress.cluster, name), user: name + "-a", next: name + "-b", files: map[string]string{},
		old: fortress.cluster.Signer(), young: certstest.New("authority after " + name)}
	s.must("make a folder for credentials", os.MkdirAll(filepath.Join(s.folder, "credentials"), 0o700))
	s.put("ca.pem", s.old.PEM)
	s.issue(s.old, "service", "127.0.0.1", "localhost")
	s.login(s.user, "kafka-hunter2")
	s.put("admin-password", []byte(cluster.Password))
	s.put("token", []byte("reader-hunter2-of-pages"))
	s.put("admin-token", []byte("admin-hunter2-of-pages"))
	s.must("make a user", s.cluster.SetPassword(t.Context(), s.user, "kafka-hunter2"))
	s.must("make its other user", s.cluster.SetPassword(t.Context(), s.next, "kafka-hunter3"))
	s.web = web{scheme: "https", token: func() string { return s.files["token"] }, client: visitor(s.old, s.young)}
	s.before = s.failedHandshakes()
	return s
}

// scram is a login by what login has put there.
func (s *guarded) scram() string {
	return "mechanism: scram-sha-512, user: " + s.reference("login/user") + ", password: " + s.reference("login/password")
}

// pair of certificates that the replicas present, and the authorities that they trust, as keys of tls.
func (s *guarded) pair() string {
	return fmt.Sprintf("ca: %s, cert: %s, key: %s", s.path("ca.pem"), s.path("service.pem"), s.path("service.key"))
}

// settings of replicas that log in so.
func (s *guarded) settings(login string) setting {
	return func(o *settings) {
		o.kafka += fmt.Sprintf(", tls: {%s}, sasl: {%s}", s.pair(), login)
		o.serving = fmt.Sprintf(", tls: {cert: %s, key: %s}, tokens: [%s], admin_tokens: [%s]",
			s.path("service.pem"), s.path("service.key"), s.reference("token"), s.reference("admin-token"))
	}
}

// patient have the brokers wait for members. Machines on which tests run stand still for seconds, and no cycle is to be aborted for that. What brokers refuse
// they refuse at once.
func patient(s *settings) { s.kafka += ", session_timeout: 20s, transaction_timeout: 40s" }

// createTopics that a configuration needs, as the administrator.
func (s *guarded) createTopics(of *story, with ...setting) {
	s.t.Helper()
	login := s.settings("mechanism: plain, user: " + cluster.Administrator + ", password: " + s.reference("admin-password"))
	s.nearline("topics", "--create", "--config", of.writeConfig("admin", append([]setting{login}, with...)...))
}

// awaitLater waits for the effects of all events that there are by now, and of so many more, whose time is the load's to say.
func (s *story) awaitLater(n int) {
	s.t.Helper()
	s.ledger.mu.Lock()
	n += len(s.ledger.events)
	s.ledger.mu.Unlock()
	s.awaitEffects(n)
}

// put a file of credentials in place of another, as whoever mounts secrets does: at once.
func (s *guarded) put(name string, content []byte) {
	s.t.Helper()
	path := s.path(name)
	s.must("write "+name, os.WriteFile(path+".new", content, 0o600))
	s.must("replace "+name, os.Rename(path+".new", path))
	s.files[name] = string(content)
}

func (s *guarded) path(name string) string { return filepath.Join(s.folder, "credentials", name) }

// login by SCRAM as a user from now on. Name and password are replaced at once, as Kubernetes replaces the files of a secret.
func (s *guarded) login(user, password string) {
	s.t.Helper()
	s.logins++
	folder := fmt.Sprint("login-", s.logins)
	s.must("make a folder for a login", os.Mkdir(s.path(folder), 0o700))
	s.put(folder+"/user", []byte(user))
	s.put(folder+"/password", []byte(password))
	s.must("link it", os.Symlink(folder, s.path("login.new")))
	s.must("replace the login", os.Rename(s.path("login.new"), s.path("login")))
}

// reference to a file of credentials, as a configuration has it.
func (s *guarded) reference(name string) string { return "'${file:" + s.path(name) + "}'" }

// issue a pair and put it in place, the certificate before its key: whoever reads meanwhile finds two that do not fit.
func (s *guarded) issue(by *certstest.Authority, name string, hosts ...string) {
	s.t.Helper()
	pair := by.Issue(name, certstest.Options{Hosts: hosts})
	s.put(name+".pem", pair.Cert)
	s.put(name+".key", pair.Key)
}

// visitor of the replicas' pages who trusts those authorities. Each request is a connection of its own, so that each sees the certificate of its time.
func visitor(authorities ...*certstest.Authority) *http.Client {
	pool := x509.NewCertPool()
	for _, a := range authorities {
		pool.AppendCertsFromPEM(a.PEM)
	}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}

// grant a user the least that `nearline acls` says that it needs, and no more.
func (s *guarded) grant(config, user string) (commands string) {
	s.t.Helper()
	commands = s.nearline("acls", "--config", config, "--principal", "User:"+user, "--least")
	s.must("grant ACLs to "+user, s.cluster.Grant(s.t.Context(), commands))
	return commands
}

// nearline runs a command that has to go well, and returns what it says.
func (s *guarded) nearline(arguments ...string) string {
	s.t.Helper()
	out, err := s.command(s.t.Context(), arguments...)
	if err != nil {
		s.t.Fatalf("nearline %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return out
}

func (s *guarded) command(ctx context.Context, arguments ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, arguments...).CombinedOutput() //nolint:gosec // the program under test
	return string(out), err
}

// calm says that no cycle of the replicas is aborted, no member starts anew and none loses partitions while f replaces credentials of which the old ones still
// count, and while so many more events come and go.
func (s *guarded) calm(what string, replicas []*replica, events int, f func()) {
	s.t.Helper()
	before := s.troubles(replicas)
	f()
	s.awaitLater(events)
	if after := s.troubles(replicas); after != before {
		s.t.Errorf("%s: of cycles that were aborted, members that started anew and partitions that were lost there were %v, and are %v; want none more while old and new credentials overlap",
			what, before, after)
	}
}

// troubles are the cycles of the replicas that were aborted, their members that started anew, and the partitions that they lost.
func (s *guarded) troubles(replicas []*replica) [3]float64 {
	s.t.Helper()
	return [3]float64{s.aborted(replicas...), s.restarts(replicas...),
		s.sum(regexp.MustCompile(`^nearline_consumer_partition_changes_total\{.*change="lost".*\} (\S+)$`), replicas)}
}

// aborted cycles of the replicas, of all pipelines.
func (s *guarded) aborted(replicas ...*replica) float64 {
	return s.sum(regexp.MustCompile(`^nearline_pipeline_cycles_total\{.*outcome="aborted_.*\} (\S+)$`), replicas)
}

// restarts of the replicas' members.
func (s *guarded) restarts(replicas ...*replica) float64 {
	return s.sum(regexp.MustCompile(`^nearline_pipeline_member_restarts_total\{.*\} (\S+)$`), replicas)
}

func (s *guarded) sum(series *regexp.Regexp, replicas []*replica) (sum float64) {
	s.t.Helper()
	for _, r := range replicas {
		ctx, cancel := s.withDeadline()
		status, page, err := r.get(ctx, "/metrics")
		cancel()
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%d: %s", status, page)
		}
		s.must("read the metrics of "+r.name, err)
		for line := range strings.Lines(page) {
			if match := series.FindStringSubmatch(strings.TrimSpace(line)); match != nil {
				n, err := strconv.ParseFloat(match[1], 64)
				s.must("read "+line, err)
				sum += n
			}
		}
	}
	return sum
}

// failedHandshakes that the brokers' logs tell of: clients that have spoken in the clear, or with certificates that do not count.
func (s *guarded) failedHandshakes() []string {
	s.t.Helper()
	found, err := s.cluster.FailedHandshakes(s.t.Context())
	s.must("read the brokers' logs", err)
	return found
}

// allByTLS wants that no client of the story has tried to speak to a broker without TLS, or with certificates that do not count.
func (s *guarded) allByTLS() {
	s.t.Helper()
	failed := slices.DeleteFunc(s.failedHandshakes(), func(line string) bool { return slices.Contains(s.before, line) })
	if len(failed) > 0 {
		s.t.Errorf("%d handshakes of TLS have failed: somebody has tried to speak in the clear, or with certificates that do not count:\n%s", len(failed), strings.Join(failed[:min(5, len(failed))], "\n"))
	}
}

// nothingInTheClear is allByTLS, and shows that a broker would have said so, by an attempt of the test's own.
func (s *guarded) nothingInTheClear() {
	s.t.Helper()
	s.allByTLS()
	before := len(s.failedHandshakes())
	client, err := kafka.Connection{Brokers: s.cluster.Direct()}.Client(kgo.RequestRetries(0))
	s.must("make a client that speaks in the clear", err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	if err := client.Ping(ctx); err == nil {
		s.t.Error("a client that speaks in the clear is answered")
	}
	s.await("a broker to note the attempt", func(context.Context) error {
		if len(s.failedHandshakes()) == before {
			return errors.New("no broker's log says anything of it")
		}
		return nil
	})
}
