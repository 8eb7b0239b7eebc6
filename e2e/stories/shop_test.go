package stories

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/e2e/cluster"
)

// shop is a story in which all that can be guarded is, with credentials in files that are replaced while it goes on.
type shop struct {
	*guarded
	tokens   *tokens
	redis    *redis
	requests string // topic
	results  string
}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{guarded: beginGuarded(t, "shop"), tokens: fortress.tokens, requests: "shop.requests", results: "shop.rankings"}
	s.issue(s.old, "redis", "127.0.0.1", "localhost")
	s.put("client-secret", []byte("client-hunter2"))
	s.put("redis-password", []byte("redis-hunter2"))
	s.tokens.serve(s)
	s.guardRedis()
	return s
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
	return func(o *settings) {
		realModel(o)
		patient(o)
		s.guarded.settings(login)(o)
		o.steps = ", {aggregate: {view: item}}, {aggregate: {view: user}}"
		o.features = fmt.Sprintf(`features: {partitions: 6, topics: shop.features, dead_letters: shop.features.dlq,
  store: {redis: {addresses: ['127.0.0.1:%d'], timeout: 1s, password: %s, tls: {%s}}}, views: [
  {name: item, key: item_id, fields: [{name: reviews, count: {}}, {name: sentiment, default: 0.68, mean: {of: sentiment, label: positive, half_life: 1h}}]},
  {name: user, key: user_id, fields: [{name: items, last: {of: item_id, n: 20}}]}]}
`, s.redis.port, s.reference("redis-password"), s.pair())
		o.pipelines = fmt.Sprintf(`  - name: ranks
    input: {topic: %s, map: {id: request_id}}
    steps: [{rank: {model: recommender, history: {view: user, field: items}, items: item,
      inputs: {popularity: {of: absent}, sentiment: item.sentiment, helpfulness: {of: absent}}}}]
    output: {topic: %s, copy: [user_id]}
    dead_letters: %s.dlq
`, s.requests, s.results, s.requests)
	}
}

// TestShopWhoseCredentialsAreRotated runs the whole shop, the stream, features in Redis and rankings, where nothing is spoken in the clear and nothing is
// granted that is not needed. Meanwhile a replica is killed, a broker is started anew, and all credentials are replaced: certificates, authorities, passwords, secrets of tokens.
// No record is lost or doubled, no cycle is aborted as long as old and new credentials overlap, and nobody tries to speak in the clear.
func TestShopWhoseCredentialsAreRotated(t *testing.T) {
	s := openShop(t)
	s.topics(6)
	admin := s.writeConfig("admin", s.settings("mechanism: plain, user: "+cluster.Administrator+", password: "+s.reference("admin-password")))
	s.nearline("topics", "--create", "--config", admin)
	// A replica's name is the story's to write; all else is as it has to be.
	s.nearline("check", "--production", "--accept", "replica-names", "--config", admin)
	scram, token := s.settings(s.scram()), s.settings("mechanism: oauthbearer, "+s.tokens.keys(s))
	config := s.writeConfig("a", scram)
	s.grant(config, s.user)
	s.grant(config, bearer)
	commands := s.grant(config, s.next)
	a, b, c := s.replica("a", scram), s.replica("b", scram), s.replica("c", token)
	all := []*replica{a, b, c}
	load := s.load(60)
	ranking := s.rank(20)
	for _, group := range []string{s.group, "nearline-ranks", "shop-features-item", "shop-features-user"} {
		s.expectGroup(group, 6, "a", "b", "c") // what is still being shared aborts cycles, too
	}
	s.awaitEffects(300)

	const relogin = 400 // events in six seconds: each connection has logged in again
	calm := func(what string, f func()) { t.Helper(); s.calm(what, all, relogin, f) }
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
		s.put("admin-token", []byte("admin-hunter3-of-pages"))
	})
	calm("another user with the same rights", func() { s.login(s.next, "kafka-hunter3") })
	calm("old passwords and secrets count no more", func() {
		s.must("drop a password", s.dropRedisPassword("redis-hunter2"))
		s.must("change the password of the user before", s.cluster.SetPassword(t.Context(), s.user, "kafka-of-nobody"))
		s.tokens.take("client-hunter3")
	})

	// A user of SCRAM has one password: there is a moment in which file and brokers disagree. It costs no member.
	restarts := s.restarts(all...)
	s.login(s.next, "kafka-hunter4")
	s.must("set the password after the file", s.cluster.SetPassword(t.Context(), s.next, "kafka-hunter4"))
	s.awaitLater(relogin)
	s.must("set the password before the file", s.cluster.SetPassword(t.Context(), s.next, "kafka-hunter5"))
	s.login(s.next, "kafka-hunter5")
	s.awaitLater(relogin)
	if after := s.restarts(all...); after != restarts {
		t.Errorf("members were made anew %v times while a password changed, want that they wait", after-restarts)
	}

	b.kill()
	s.put("ca.pem", s.young.PEM)
	s.web.client = visitor(s.young)
	s.must("have the brokers trust the young authority alone", s.cluster.Trust(t.Context(), s.young))
	s.renewRedis()
	s.awaitLater(300)
	b.start(scram)
	// Its connections are made anew, with the new credentials alone. It is not killed: brokers of 4.4.0 then leave transactions open for ever now and then.
	s.must("stop a broker", s.cluster.Stop(t.Context(), 2))
	s.must("start it again", s.cluster.Restart(t.Context(), 2))
	s.must("have all in sync", s.cluster.AwaitInSync(t.Context()))
	s.awaitLater(300)

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
	s.awaitLater(300)
}

// counted says whether Redis has the right number of reviews for each item.
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
		{"/v1/features", "admin-hunter2-of-pages", http.StatusUnauthorized},
		{"/v1/features", s.files["admin-token"], http.StatusOK},
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
