package stories

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/e2e/cluster"
	"nearline/internal/harness/certstest"
	"nearline/kafka"
)

// The users whom the shop's replicas log in as, however they do: the second takes the place of the first.
const (
	user     = "shop"
	nextUser = "shop-b"
)

// shop is a story in which all that can be guarded is, with credentials in files that are replaced while it goes on.
type shop struct {
	*story
	old, young *certstest.Authority
	tokens     *tokens
	redis      *redis
	files      map[string]string // what was written last, by the file's name
	logins     int
	requests   string // topic
	results    string
}

// put a file of credentials in place of another, as whoever mounts secrets does: at once.
func (s *shop) put(name string, content []byte) {
	s.t.Helper()
	path := s.path(name)
	s.must("write "+name, os.WriteFile(path+".new", content, 0o600))
	s.must("replace "+name, os.Rename(path+".new", path))
	s.files[name] = string(content)
}

func (s *shop) path(name string) string { return filepath.Join(s.folder, "credentials", name) }

// login by SCRAM as a user from now on. Name and password are replaced at once, as Kubernetes replaces the files of a secret.
func (s *shop) login(user, password string) {
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
func (s *shop) reference(name string) string { return "'${file:" + s.path(name) + "}'" }

// issue a pair and put it in place, the certificate before its key: whoever reads meanwhile finds two that do not fit.
func (s *shop) issue(by *certstest.Authority, name string, hosts ...string) {
	s.t.Helper()
	pair := by.Issue(name, certstest.Options{Hosts: hosts})
	s.put(name+".pem", pair.Cert)
	s.put(name+".key", pair.Key)
}

func openShop(t *testing.T) *shop {
	t.Helper()
	old, young := certstest.New("old authority"), certstest.New("young authority")
	granting, err := newTokens(user)
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.ForTest(t, cluster.Options{Security: &cluster.Security{
		Authority: old, JWKS: granting.jwks(), Reauthenticate: 5 * time.Second,
	}})
	s := &shop{story: beginOn(t, c, "shop"), old: old, young: young, tokens: granting, files: map[string]string{}, requests: "shop.requests", results: "shop.rankings"}
	s.must("make a folder for credentials", os.MkdirAll(filepath.Join(s.folder, "credentials"), 0o700))
	s.put("ca.pem", old.PEM)
	s.issue(old, "service", "127.0.0.1", "localhost")
	s.issue(old, "redis", "127.0.0.1", "localhost")
	s.login(user, "kafka-hunter2")
	s.put("client-secret", []byte("client-hunter2"))
	s.put("admin-password", []byte(cluster.Password))
	s.put("redis-password", []byte("redis-hunter2"))
	s.put("token", []byte("reader-hunter2-of-pages"))
	s.put("admin-token", []byte("admin-hunter2-of-pages"))
	granting.serve(s)
	s.must("make the shop's user", c.SetPassword(t.Context(), user, "kafka-hunter2"))
	s.must("make its other user", c.SetPassword(t.Context(), nextUser, "kafka-hunter3"))
	s.guardRedis()
	s.web = web{scheme: "https", token: func() string { return s.files["token"] }, client: &http.Client{
		// Each request is a connection of its own, so that each sees the certificate of its time.
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: s.trusting(old, young), MinVersion: tls.VersionTLS12}},
	}}
	return s
}

func (s *shop) trusting(authorities ...*certstest.Authority) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, a := range authorities {
		pool.AppendCertsFromPEM(a.PEM)
	}
	return pool
}

// guardRedis starts one that speaks TLS alone, to those who present a certificate and know its password.
func (s *shop) guardRedis() {
	s.t.Helper()
	r := s.newRedis()
	certificates := []string{"--tls-cert-file", s.path("redis.pem"), "--tls-key-file", s.path("redis.key"), "--tls-ca-cert-file", s.path("ca.pem")}
	r.serves = slices.Concat([]string{"--port", "0", "--tls-port", strconv.Itoa(r.port), "--tls-auth-clients", "yes", "--requirepass", s.files["redis-password"]}, certificates)
	r.asks = []string{"--tls", "--cacert", s.path("ca.pem"), "--cert", s.path("service.pem"), "--key", s.path("service.key"), "--no-auth-warning", "-a", s.files["redis-password"]}
	r.start()
	s.t.Cleanup(r.kill)
	s.redis = r
}

// settings of the shop's replicas that log in so.
func (s *shop) settings(login string) setting {
	pair := fmt.Sprintf("ca: %s, cert: %s, key: %s", s.path("ca.pem"), s.path("service.pem"), s.path("service.key"))
	return func(o *settings) {
		realModel(o)
		o.kafka = fmt.Sprintf(", tls: {%s}, sasl: {%s}", pair, login)
		o.serving = fmt.Sprintf(", tls: {cert: %s, key: %s}, tokens: [%s], admin_tokens: [%s]",
			s.path("service.pem"), s.path("service.key"), s.reference("token"), s.reference("admin-token"))
		o.steps = ", {aggregate: {view: item}}, {aggregate: {view: user}}"
		o.features = fmt.Sprintf(`features: {partitions: 6, topics: shop.features, dead_letters: shop.features.dlq,
  store: {redis: {addresses: ['127.0.0.1:%d'], timeout: 1s, password: %s, tls: {%s}}}, views: [
  {name: item, key: item_id, fields: [{name: reviews, count: {}}, {name: sentiment, default: 0.68, mean: {of: sentiment, label: positive, half_life: 1h}}]},
  {name: user, key: user_id, fields: [{name: items, last: {of: item_id, n: 20}}]}]}
`, s.redis.port, s.reference("redis-password"), pair)
		o.pipelines = fmt.Sprintf(`  - name: ranks
    input: {topic: %s, map: {id: request_id}}
    steps: [{rank: {model: recommender, history: {view: user, field: items}, items: item,
      inputs: {popularity: {of: absent}, sentiment: item.sentiment, helpfulness: {of: absent}}}}]
    output: {topic: %s, copy: [user_id]}
    dead_letters: %s.dlq
`, s.requests, s.results, s.requests)
	}
}

// grant a user the least that `nearline acls` says that it needs, and no more.
func (s *shop) grant(config, user string) (commands string) {
	s.t.Helper()
	commands = s.nearline("acls", "--config", config, "--principal", "User:"+user, "--least")
	s.must("grant ACLs to "+user, s.cluster.Grant(s.t.Context(), commands))
	return commands
}

// nearline runs a command, and returns what it says.
func (s *shop) nearline(arguments ...string) string {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), program, arguments...).CombinedOutput() //nolint:gosec // the program under test
	if err != nil {
		s.t.Fatalf("nearline %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

// TestShopWhoseCredentialsAreRotated runs the whole shop, the stream, features in Redis and rankings, where nothing is spoken in the clear and nothing is
// granted that is not needed. Meanwhile a replica is killed, a broker is, and all credentials are replaced: certificates, authorities, passwords, secrets of tokens.
// No record is lost or doubled, no cycle is aborted as long as old and new credentials overlap, and nobody tries to speak in the clear.
func TestShopWhoseCredentialsAreRotated(t *testing.T) {
	s := openShop(t)
	s.topics(6)
	admin := s.writeConfig("admin", s.settings("mechanism: plain, user: "+cluster.Administrator+", password: "+s.reference("admin-password")))
	s.nearline("topics", "--create", "--config", admin)
	// A replica's name is the story's to write; all else is as it has to be.
	s.nearline("check", "--production", "--accept", "replica-names", "--config", admin)
	scram := s.settings("mechanism: scram-sha-512, user: " + s.reference("login/user") + ", password: " + s.reference("login/password"))
	bearer := s.settings("mechanism: oauthbearer, " + s.tokens.keys(s))
	config := s.writeConfig("a", scram)
	s.grant(config, user)
	commands := s.grant(config, nextUser)
	a, b, c := s.replica("a", scram), s.replica("b", scram), s.replica("c", bearer)
	load := s.load(60)
	ranking := s.rank(20)
	s.expectShared(6, "a", "b", "c")
	s.awaitEffects(300)

	calm := func(what string, f func()) {
		t.Helper()
		before := s.aborted(a, b, c)
		f()
		s.awaitEffects(s.ledger.effects() + 600) // ten seconds: each connection has logged in again
		if after := s.aborted(a, b, c); after != before {
			t.Errorf("%s: %v cycles were aborted, want none while old and new credentials overlap", what, after-before)
		}
	}
	calm("both authorities are trusted", func() {
		s.put("ca.pem", slices.Concat(s.old.PEM, s.young.PEM))
		s.must("have the brokers trust both", s.cluster.Trust(t.Context(), s.old, s.young))
		s.renewRedis()
	})
	calm("certificates are signed by the other", func() {
		s.must("have the brokers certified anew", s.cluster.Certify(t.Context(), s.young))
		s.issue(s.young, "redis", "127.0.0.1", "localhost")
		s.renewRedis()
		s.issue(s.young, "service", "127.0.0.1", "localhost")
	})
	calm("passwords and secrets of which both count", func() {
		s.must("add a password", s.addRedisPassword("redis-hunter3"))
		s.put("redis-password", []byte("redis-hunter3"))
		s.tokens.take("client-hunter2", "client-hunter3")
		s.put("client-secret", []byte("client-hunter3"))
		s.put("token", []byte("reader-hunter3-of-pages"))
	})
	calm("another user with the same rights", func() { s.login(nextUser, "kafka-hunter3") })
	calm("old passwords and secrets count no more", func() {
		s.must("drop a password", s.dropRedisPassword("redis-hunter2"))
		s.must("change the password of the user before", s.cluster.SetPassword(t.Context(), user, "kafka-of-nobody"))
		s.tokens.take("client-hunter3")
	})

	// A user of SCRAM has one password: there is a moment in which file and brokers disagree. It costs no member.
	restarts := s.restarts(a, b, c)
	s.login(nextUser, "kafka-hunter4")
	s.must("set the password after the file", s.cluster.SetPassword(t.Context(), nextUser, "kafka-hunter4"))
	s.awaitEffects(s.ledger.effects() + 600)
	s.must("set the password before the file", s.cluster.SetPassword(t.Context(), nextUser, "kafka-hunter5"))
	s.login(nextUser, "kafka-hunter5")
	s.awaitEffects(s.ledger.effects() + 600)
	if after := s.restarts(a, b, c); after != restarts {
		t.Errorf("members were made anew %v times while a password changed, want that they wait", after-restarts)
	}

	b.kill()
	s.put("ca.pem", s.young.PEM)
	s.must("have the brokers trust the young authority alone", s.cluster.Trust(t.Context(), s.young))
	s.renewRedis()
	s.awaitEffects(s.ledger.effects() + 300)
	b.start(scram)
	s.must("kill a broker", s.cluster.Kill(t.Context(), 2)) // its connections are made anew, with the new credentials alone
	s.must("start it again", s.cluster.Restart(t.Context(), 2))
	s.must("have all in sync", s.cluster.AwaitInSync(t.Context()))
	s.awaitEffects(s.ledger.effects() + 300)

	s.withdrawUnderLoad(commands)
	load.stop()
	ranking.stop()
	s.await("all rankings", ranking.answered)
	s.await("an effect for every event", func(context.Context) error { return s.ledger.lacking() })
	s.await("Redis to have counted each event once", s.counted)
	s.refuses(a)
	s.expectScored()
	s.nothingInTheClear()
}

// writeConfig of a replica that is not started.
func (s *shop) writeConfig(name string, with setting) string {
	s.t.Helper()
	o := settings{program: program, repository: s.models, model: "constant", output: "copy: [item_id]"}
	with(&o)
	path := filepath.Join(s.folder, name+".yaml")
	s.must("write a configuration", os.WriteFile(path, []byte(s.config(name, o)), 0o600))
	return path
}

// renewRedis has Redis read its files again.
func (s *shop) renewRedis() {
	s.t.Helper()
	_, err := s.redis.ask(s.t.Context(), "CONFIG", "SET", "tls-ca-cert-file", s.path("ca.pem"), "tls-cert-file", s.path("redis.pem"), "tls-key-file", s.path("redis.key"))
	s.must("have Redis read its certificates", err)
}

func (s *shop) addRedisPassword(password string) error {
	_, err := s.redis.ask(s.t.Context(), "ACL", "SETUSER", "default", ">"+password)
	s.redis.asks[len(s.redis.asks)-1] = password
	return err
}

func (s *shop) dropRedisPassword(password string) error {
	_, err := s.redis.ask(s.t.Context(), "ACL", "SETUSER", "default", "<"+password)
	return err
}

// aborted cycles of the replicas, of all pipelines.
func (s *shop) aborted(replicas ...*replica) float64 {
	return s.sum(regexp.MustCompile(`^nearline_pipeline_cycles_total\{.*outcome="aborted_.*\} (\S+)$`), replicas)
}

// restarts of the replicas' members.
func (s *shop) restarts(replicas ...*replica) float64 {
	return s.sum(regexp.MustCompile(`^nearline_pipeline_member_restarts_total\{.*\} (\S+)$`), replicas)
}

func (s *shop) sum(series *regexp.Regexp, replicas []*replica) (sum float64) {
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

// withdrawUnderLoad one grant after the other, and give it back once somebody has said that it lacks.
func (s *shop) withdrawUnderLoad(commands string) {
	s.t.Helper()
	topic := regexp.MustCompile(`(?m)^.*--operation Write .*--topic ` + regexp.QuoteMeta(s.scored) + `\b.*$`).FindString(commands)
	if topic == "" {
		s.t.Fatalf("no command grants writing to %s:\n%s", s.scored, commands)
	}
	s.must("withdraw a grant", s.cluster.Withdraw(s.t.Context(), topic))
	s.replicas["a"].expectStream(http.StatusServiceUnavailable, s.scored)
	s.must("grant it again", s.cluster.Grant(s.t.Context(), topic))
	s.replicas["a"].expectStream(http.StatusOK, "")
	s.awaitEffects(s.ledger.effects() + 300)
}

// counted compares what Redis has of each item with what was written of it.
func (s *shop) counted(ctx context.Context) error {
	want := map[string]int{}
	s.ledger.mu.Lock()
	for _, e := range s.ledger.events {
		if !e.bad {
			want[e.key]++
		}
	}
	s.ledger.mu.Unlock()
	for _, item := range slices.Sorted(maps.Keys(want)) {
		got, err := s.redis.hash(ctx, "nearline:item:"+item)
		if err != nil {
			return err
		}
		if got["reviews"] != strconv.Itoa(want[item]) {
			return fmt.Errorf("Redis has %q reviews of %s, want %d", got["reviews"], item, want[item])
		}
	}
	return nil
}

// refuses says that a replica answers nobody who has no token, or an old one, and shows itself to nobody in the clear.
func (s *shop) refuses(r *replica) {
	s.t.Helper()
	ctx, cancel := s.withDeadline()
	defer cancel()
	for _, c := range []struct {
		page, token string
		want        int
	}{
		{"/healthz", "", http.StatusOK},
		{"/v1/features", "", http.StatusUnauthorized},
		{"/v1/features", "reader-hunter2-of-pages", http.StatusUnauthorized},
		{"/v1/features", s.files["token"], http.StatusOK},
	} {
		request, err := r.request(ctx, http.MethodGet, c.page, nil)
		s.must("make a request", err)
		request.Header.Del("Authorization")
		if c.token != "" {
			request.Header.Set("Authorization", "Bearer "+c.token)
		}
		response, err := r.do(request)
		s.must("ask "+c.page, err)
		_ = response.Body.Close()
		if response.StatusCode != c.want {
			s.t.Errorf("%s with token %q: got %d, want %d", c.page, c.token, response.StatusCode, c.want)
		}
	}
	clear, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.address+"/healthz", http.NoBody)
	s.must("make a request", err)
	if response, err := http.DefaultClient.Do(clear); err == nil {
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			s.t.Error("/healthz is answered in the clear")
		}
	}
}

// nothingInTheClear wants that no client has tried to speak to a broker without TLS, or with certificates that do not count. That a broker would have said so
// is shown at the end.
func (s *shop) nothingInTheClear() {
	s.t.Helper()
	attempts := func() []string {
		found, err := s.cluster.FailedHandshakes(s.t.Context())
		s.must("read the brokers' logs", err)
		return found
	}
	before := attempts()
	if len(before) > 0 {
		s.t.Errorf("%d handshakes of TLS have failed: somebody has tried to speak in the clear, or with certificates that do not count:\n%s", len(before), strings.Join(before[:min(5, len(before))], "\n"))
	}
	client, err := kafka.Connection{Brokers: s.cluster.Direct()}.Client(kgo.RequestRetries(0))
	s.must("make a client that speaks in the clear", err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	if err := client.Ping(ctx); err == nil {
		s.t.Error("a client that speaks in the clear is answered")
	}
	s.await("a broker to note the attempt", func(context.Context) error {
		if len(attempts()) == len(before) {
			return errors.New("no broker's log says anything of it")
		}
		return nil
	})
}

// rankings are requests that are written until stop, each of which has to be answered once.
type rankings struct {
	shop   *shop
	end    func()
	asked  int
	reader *kgo.Client
	seen   map[string]int
}

// rank so many requests a second.
func (s *shop) rank(rate int) *rankings {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	r := &rankings{shop: s, seen: map[string]int{}}
	r.reader = s.client(kgo.ConsumeTopics(s.results), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	s.t.Cleanup(r.reader.Close)
	ended := make(chan struct{})
	r.end = func() { stop(); <-ended }
	s.t.Cleanup(r.end)
	go func() {
		defer close(ended)
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			r.asked++
			user := fmt.Sprint("user ", r.asked%7)
			value := fmt.Appendf(nil, `{"request_id": "q%06d", "user_id": %q, "candidates": ["1", "50", "296", "318", "593", "608"]}`, r.asked, user)
			s.writer.Produce(s.t.Context(), &kgo.Record{Topic: s.requests, Key: []byte(user), Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					s.t.Errorf("write a request: %v", err)
				}
			})
		}
	}()
	return r
}

func (r *rankings) stop() {
	r.shop.t.Helper()
	r.end()
	ctx, cancel := r.shop.withDeadline()
	defer cancel()
	r.shop.must("write requests", r.shop.writer.Flush(ctx))
}

// answered wants that each request has one answer, in full.
func (r *rankings) answered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for record := range r.reader.PollFetches(ctx).RecordsAll() {
		var result ranked
		r.shop.must("read a ranking", json.Unmarshal(record.Value, &result))
		if r.seen[result.RequestID]++; r.seen[result.RequestID] > 1 {
			r.shop.t.Errorf("%s is answered %d times", result.RequestID, r.seen[result.RequestID])
		}
		if len(result.Ranking) != 6 {
			r.shop.t.Errorf("%s has a ranking of %d, want 6", result.RequestID, len(result.Ranking))
		}
	}
	if len(r.seen) < r.asked {
		return fmt.Errorf("%d of %d are answered", len(r.seen), r.asked)
	}
	return nil
}
