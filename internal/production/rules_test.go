package production

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"nearline/consumers"
	"nearline/internal/config"
	"nearline/internal/harness/certstest"
	"nearline/internal/secret"
)

// file is a configuration that is fit for production.
const file = `
kafka: {brokers: ["kafka:9092"], replica: "${env:PRODUCTION_TEST_REPLICA}", tls: {}, sasl: {mechanism: scram-sha-512, user: nearline, password: "${env:PRODUCTION_TEST_SECRET}"}}
pipelines:
  - {name: reviews, input: {topic: raw}, steps: [{predict: {model: m}}, {aggregate: {view: item}}], output: {topic: scored}, dead_letters: raw.dlq}
  - {name: other, input: {topic: raw}, steps: [{predict: {model: m}}], output: {topic: others}, dead_letters: others.dlq}
features:
  store: {redis: {addresses: ["redis:6379"], password: "${env:PRODUCTION_TEST_SECRET}", tls: {}}}
  views: [{name: item, key: item_id, fields: [{name: n, count: {}}]}]
serving: {http: ":8443", tls: {cert: CERT, key: KEY}, tokens: ["${env:PRODUCTION_TEST_SECRET}"]}
`

// redisStore is its store.
const redisStore = `redis: {addresses: ["redis:6379"], password: "${env:PRODUCTION_TEST_SECRET}", tls: {}}`

// configured is that configuration with some of its text replaced.
func configured(t *testing.T, replace ...string) *config.Config {
	t.Helper()
	t.Setenv("PRODUCTION_TEST_REPLICA", "replica-7")
	t.Setenv("PRODUCTION_TEST_SECRET", "hunter2-0123456789abcdef")
	cert, key := certstest.New("authority").Issue("nearline", certstest.Options{Hosts: []string{"localhost"}}).Write(t.TempDir(), "nearline")
	text := strings.NewReplacer("CERT", cert, "KEY", key).Replace(file)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("the configuration has no %q", replace[i])
		}
		text = strings.Replace(text, replace[i], replace[i+1], 1)
	}
	c, _, err := config.Parse("nearline.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fit is a cluster that is fit for production.
func fit(c *config.Config) *World {
	w := &World{Brokers: 3, Topics: map[string]consumers.Topic{}}
	uses := append(c.Topics(), config.TopicUse{Topic: OffsetsTopic}, config.TopicUse{Topic: TransactionsTopic})
	for _, use := range uses {
		topic := consumers.Topic{Name: use.Topic, Partitions: 6, Replicas: 3, Retention: 7 * day, Settings: map[string]string{
			"min.insync.replicas": "2", "unclean.leader.election.enable": "false", "retention.bytes": "-1", "cleanup.policy": "delete",
		}}
		if use.Use == config.UseProgress || use.Use == config.UseStates || use.Use == "" {
			topic.Compacted, topic.Settings["cleanup.policy"] = true, "compact"
		}
		w.Topics[use.Topic] = topic
	}
	return w
}

func (w *World) change(topic string, f func(*consumers.Topic)) {
	changed := w.Topics[topic]
	changed.Settings = maps.Clone(changed.Settings)
	f(&changed)
	w.Topics[topic] = changed
}

func told(found []Finding) (lines []string) {
	for _, f := range found {
		line := fmt.Sprintf("%s: %s: %s: %s", f.Rule, f.What, f.Why, f.Do)
		if f.Unseen {
			line = "unseen " + line
		}
		lines = append(lines, line)
	}
	return lines
}

func TestWhatIsFitForProductionIsFoundToBe(t *testing.T) {
	c := configured(t)
	if found := told(Check(c, fit(c))); len(found) > 0 {
		t.Errorf("got %q, want nothing", found)
	}
}

func TestEachRuleFindsWhatItIsFor(t *testing.T) {
	setting := func(topic, name, value string) func(*World) {
		return func(w *World) { w.change(topic, func(t *consumers.Topic) { t.Settings[name] = value }) }
	}
	for _, c := range []struct {
		name    string
		replace []string // of the configuration
		config  func(*config.Config)
		world   func(*World)
		rule    string
		says    []string
	}{
		{name: "brokers in the clear", replace: []string{"tls: {}, sasl:", "sasl:"}, rule: "kafka-tls", says: []string{"kafka.tls is missing", "set kafka.tls: {ca: FILE}"}},
		{name: "a password in the clear", replace: []string{"tls: {}, sasl: {mechanism: scram-sha-512", "sasl: {mechanism: plain"}, rule: "kafka-tls",
			says: []string{`kafka.tls is missing, and kafka.sasl.mechanism is "plain"`, "set kafka.tls: {ca: FILE}"}},
		{name: "tokens in the clear", replace: []string{`mechanism: scram-sha-512, user: nearline, password: "${env:PRODUCTION_TEST_SECRET}"`,
			`mechanism: oauthbearer, client_credentials: {token_url: "http://login.example/token", client_id: nearline, client_secret: "${env:PRODUCTION_TEST_SECRET}"}`},
			rule: "kafka-tls", says: []string{`kafka.sasl.client_credentials.token_url is "http://login.example/token"`}},
		{name: "DynamoDB in the clear", replace: []string{redisStore, `dynamodb: {table: features, region: eu-central-1, endpoint: "http://127.0.0.1:8000"}`}, rule: "store-tls",
			says: []string{`features.store.dynamodb.endpoint is "http://127.0.0.1:8000"`}},
		{name: "an emulator of Bigtable", replace: []string{redisStore, `bigtable: {project: p, instance: i, table: t, emulator: "127.0.0.1:8086"}`}, rule: "store-tls",
			says: []string{`features.store.bigtable.emulator is "127.0.0.1:8086"`}},
		{name: "an emulator of Firestore", replace: []string{redisStore, `firestore: {project: p, emulator: "127.0.0.1:8080"}`}, rule: "store-tls",
			says: []string{`features.store.firestore.emulator is "127.0.0.1:8080"`}},
		{name: "nobody in particular", replace: []string{`, sasl: {mechanism: scram-sha-512, user: nearline, password: "${env:PRODUCTION_TEST_SECRET}"}`, ""}, rule: "kafka-login",
			says: []string{"kafka.sasl is missing, and kafka.tls has no certificate", "password: ${file:/run/secrets/kafka}"}},
		{name: "a store in the clear", replace: []string{`SECRET}", tls: {}}}`, `SECRET}"}}`}, rule: "store-tls", says: []string{"features.store.redis.tls is missing"}},
		{name: "a store for everybody", replace: []string{`password: "${env:PRODUCTION_TEST_SECRET}", tls: {}}}`, `tls: {}}}`}, rule: "store-login",
			says: []string{"features.store.redis.password is missing"}},
		{name: "pages in the clear", config: func(c *config.Config) { c.Serving.TLS = nil }, rule: "serving-tls", says: []string{`serving.tls is missing, and serving.http is ":8443"`}},
		{name: "pages for everybody", replace: []string{`, tokens: ["${env:PRODUCTION_TEST_SECRET}"]`, ""}, rule: "serving-tokens", says: []string{"serving.tokens is empty"}},
		{name: "profiles for nobody", replace: []string{"serving: {", "serving: {pprof: true, "}, rule: "serving-tokens", says: []string{"serving.pprof is true and serving.admin_tokens is empty"}},
		{name: "a secret in the file", replace: []string{`["redis:6379"], password: "${env:PRODUCTION_TEST_SECRET}"`, `["redis:6379"], password: hunter2`}, rule: "secrets",
			says: []string{"features.store.redis.password is written in the configuration", "${file:/run/secrets/NAME}"}},
		{name: "a secret as a default", replace: []string{`["redis:6379"], password: "${env:PRODUCTION_TEST_SECRET}"`, `["redis:6379"], password: "${env:PRODUCTION_TEST_NONE:-hunter2}"`}, rule: "secrets",
			says: []string{"features.store.redis.password is written in the configuration", "${env:NAME} without a default"}},
		{name: "at least once", replace: []string{"name: other,", "name: other, delivery: at_least_once,"}, rule: "delivery",
			says: []string{"pipelines[1].delivery is at_least_once", "set pipelines[1].delivery: exactly_once"}},
		{name: "no marks", replace: []string{"replica:", "attempts_topic: off, replica:"}, rule: "safeguards", says: []string{"kafka.attempts_topic is off"}},
		{name: "no progress", replace: []string{"replica:", "progress_topic: off, replica:"}, rule: "safeguards", says: []string{"kafka.progress_topic is off"}},
		{name: "one name for all", replace: []string{"${env:PRODUCTION_TEST_REPLICA}", "one"}, rule: "replica-names",
			says: []string{`kafka.replica is "one" for every replica`, "${env:NEARLINE_REPLICA}"}},
		{name: "a static member without a name", replace: []string{"${env:PRODUCTION_TEST_REPLICA}", "", "replica:", "static_membership: true, replica:"},
			rule: "replica-names", says: []string{"kafka.replica is empty"}},
		{name: "a short transaction", replace: []string{"replica:", "transaction_timeout: 9s, replica:"}, rule: "timeouts", says: []string{"kafka.transaction_timeout is 9s"}},
		{name: "a long transaction", replace: []string{"replica:", "transaction_timeout: 61s, replica:"}, rule: "timeouts", says: []string{"kafka.transaction_timeout is 1m1s"}},
		{name: "a long session", replace: []string{"replica:", "session_timeout: 46s, replica:"}, rule: "timeouts", says: []string{"kafka.session_timeout is 46s"}},
		{name: "a model that hangs for long", replace: []string{"pipelines:", "models: {hang_timeout: 60s}\npipelines:"}, rule: "timeouts",
			says: []string{"models.hang_timeout is 1m0s and kafka.rebalance_timeout 1m0s"}},
		{name: "two brokers", world: func(w *World) { w.Brokers = 2 }, rule: "brokers", says: []string{"the cluster has 2 brokers", "add brokers"}},
		{name: "two replicas", world: func(w *World) { w.change("scored", func(t *consumers.Topic) { t.Replicas = 2 }) },
			rule: "replication", says: []string{"topic scored has 2 replicas", "kafka-reassign-partitions.sh"}},
		{name: "one replica of the brokers' own", world: func(w *World) {
			w.change(TransactionsTopic, func(t *consumers.Topic) { t.Replicas = 1; t.Settings = nil })
		},
			rule: "replication", says: []string{"topic __transaction_state has 1 replica:"}},
		{name: "one in sync", world: setting("raw.dlq", "min.insync.replicas", "1"), rule: "in-sync",
			says: []string{"topic raw.dlq has min.insync.replicas=1", "--entity-name raw.dlq --add-config min.insync.replicas=2"}},
		{name: "all in sync", world: setting("raw", "min.insync.replicas", "3"), rule: "in-sync", says: []string{"topic raw has min.insync.replicas=3 and 3 replicas"}},
		{name: "unclean elections", world: setting("raw", "unclean.leader.election.enable", "true"), rule: "elections",
			says: []string{"topic raw has unclean.leader.election.enable=true", "--add-config unclean.leader.election.enable=false"}},
		{name: "an input for two days", world: func(w *World) { w.change("raw", func(t *consumers.Topic) { t.Retention = 2 * day }) }, rule: "retention",
			says: []string{"topic raw, input of pipeline reviews, keeps records for 48h0m0s", "retention.ms=259200000"}},
		{name: "an input by size", world: setting("raw", "retention.bytes", "1000"), rule: "retention", says: []string{"beyond 1000 bytes a partition", "retention.bytes=-1"}},
		{name: "dead letters for six days", world: func(w *World) { w.change("raw.dlq", func(t *consumers.Topic) { t.Retention = 6 * day }) }, rule: "retention",
			says: []string{"topic raw.dlq, dead letters of pipeline reviews, keeps records for 144h0m0s", "retention.ms=604800000"}},
		{name: "progress that is deleted", world: setting("nearline.progress.nearline-reviews", "cleanup.policy", "compact,delete"), rule: "compaction",
			says: []string{"nearline.progress.nearline-reviews, progress, has cleanup.policy=compact,delete"}},
		{name: "states that are deleted", world: setting("nearline.features.item.state", "cleanup.policy", "delete"), rule: "compaction",
			says: []string{"nearline.features.item.state, states, has cleanup.policy=delete"}},
		{name: "an input that is compacted", world: func(w *World) {
			w.change("raw", func(t *consumers.Topic) { t.Compacted, t.Settings["cleanup.policy"] = true, "compact" })
		}, rule: "compaction", says: []string{"topic raw, the input of pipeline reviews, has cleanup.policy=compact"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := configured(t, c.replace...)
			if c.config != nil {
				c.config(file)
			}
			world := fit(file)
			if c.world != nil {
				c.world(world)
			}
			found := slices.DeleteFunc(Check(file, world), func(f Finding) bool { return f.Unseen })
			if len(found) != 1 || found[0].Rule != c.rule || found[0].Why == "" {
				t.Fatalf("got %q, want one thing that rule %s finds", told(found), c.rule)
			}
			for _, want := range c.says {
				if got := told(found)[0]; !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
		})
	}
}

func TestEveryRuleIsTried(t *testing.T) {
	// Where nothing is right every rule has something to say, so that none is dead.
	c := configured(t, "${env:PRODUCTION_TEST_REPLICA}", "one", "replica:", "attempts_topic: off, transaction_timeout: 1s, replica:", "name: other,", "name: other, delivery: at_least_once,")
	c.Kafka.TLS, c.Kafka.SASL, c.Serving.TLS, c.Serving.Tokens = nil, nil, nil, nil
	c.Features.Store.Redis.TLS, c.Features.Store.Redis.Password = nil, secret.Text{}
	c.Serving.AdminTokens = []secret.Text{secret.Plain("hunter2")}
	world := fit(c)
	world.Brokers = 1
	for name := range world.Topics {
		world.change(name, func(t *consumers.Topic) {
			t.Replicas, t.Retention, t.Compacted = 1, time.Hour, false
			t.Settings = map[string]string{"min.insync.replicas": "1", "unclean.leader.election.enable": "true", "cleanup.policy": "delete"}
		})
	}
	found := map[string]bool{}
	for _, f := range Check(c, world) {
		found[f.Rule] = true
	}
	for _, name := range Names() {
		if !found[name] {
			t.Errorf("rule %s found nothing where nothing is right", name)
		}
	}
}

func TestWhatMayNotBeReadIsSaidToBe(t *testing.T) {
	c := configured(t)
	world := fit(c)
	for _, name := range []string{"raw", "scored"} {
		world.change(name, func(t *consumers.Topic) { t.Settings = nil })
	}
	world.Topics[OffsetsTopic] = consumers.Topic{Name: OffsetsTopic, Err: kerr.TopicAuthorizationFailed}
	found := Check(c, world)
	seen := map[string]bool{}
	for _, f := range found {
		settings := strings.HasPrefix(f.What, "the settings of topics raw and 1 other may not be read") && strings.HasPrefix(f.Do, "want DescribeConfigs of them all: nearline acls --config FILE --for check")
		topic := strings.HasPrefix(f.What, "topic __consumer_offsets may not be seen") && strings.HasPrefix(f.Do, "want Describe of them all: nearline acls --config FILE --for check")
		if !f.Unseen || !settings && !topic {
			t.Errorf("got %q, want what may not be seen, and the command that lets it be", told([]Finding{f}))
		}
		seen[f.What] = true
	}
	if len(seen) != 2 {
		t.Errorf("got %q, want one of a topic and one of settings", told(found))
	}
}

func TestWhatIsMissingIsLeftToThoseWhoNeedIt(t *testing.T) {
	c := configured(t)
	world := fit(c)
	world.Topics["raw"] = consumers.Topic{Name: "raw", Err: kerr.UnknownTopicOrPartition}
	delete(world.Topics, OffsetsTopic)
	if found := told(Check(c, world)); len(found) > 0 {
		t.Errorf("got %q, want nothing", found)
	}
	if found := told(Check(c, nil)); len(found) > 0 {
		t.Errorf("without a cluster: got %q, want nothing", found)
	}
}
