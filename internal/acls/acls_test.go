package acls_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nearline/internal/acls"
	"nearline/internal/config"
)

const shop = `
kafka: {brokers: ["k1:9092", "k2:9092"]}
features:
  store: {redis: {addresses: ["r:6379"]}}
  topics: shop.features
  dead_letters: shop.features.dlq
  views:
    - {name: item, key: item_id, fields: [{name: n, count: {}}]}
    - {name: user, key: user_id, source: store, fields: [{name: age, type: number, default: 0}]}
pipelines:
  - name: reviews
    input: {topic: reviews.raw}
    steps: [{predict: {model: m}}, {aggregate: {view: item}}]
    output: {topic: reviews.scored}
    dead_letters: reviews.dlq
  - name: copies
    delivery: at_least_once
    input: {topic: reviews.scored}
    steps: [{predict: {model: m}}]
    output: {topic: copies}
    dead_letters: reviews.dlq
`

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, _, err := config.Parse("nearline.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// said is a right on a line: what is not needed in brackets.
func said(r acls.Right) string {
	text := fmt.Sprintf("%s %s", r.Operation, r.Resource)
	if !r.Needed() {
		text = "(" + text + ")"
	}
	return text
}

func wantRights(t *testing.T, c *config.Config, purpose acls.Purpose, want string) {
	t.Helper()
	var got []string
	for _, r := range acls.Of(c, purpose) {
		got = append(got, said(r))
		if len(r.Why) == 0 {
			t.Errorf("%s has no reason", said(r))
		}
	}
	if wants := strings.Split(strings.TrimSpace(want), "\n"); !slices.Equal(got, wants) {
		t.Errorf("for %s: got\n%s\nwant\n%s", purpose, strings.Join(got, "\n"), want)
	}
}

func TestTheServiceNeedsEachRightOnce(t *testing.T) {
	wantRights(t, parse(t, shop), acls.Service, `
Read topic reviews.raw
Read group nearline-reviews
Write transactional ids nearline-reviews/…
Read topic nearline.attempts.nearline-reviews
Write topic nearline.attempts.nearline-reviews
(Create topic nearline.attempts.nearline-reviews)
Read topic nearline.progress.nearline-reviews
Write topic nearline.progress.nearline-reviews
(Create topic nearline.progress.nearline-reviews)
Write topic reviews.scored
(DescribeConfigs topic reviews.scored)
Write topic reviews.dlq
(DescribeConfigs topic reviews.dlq)
Write topic shop.features.item.updates
Read topic reviews.scored
Read group nearline-copies
(IdempotentWrite the cluster)
Read topic nearline.attempts.nearline-copies
Write topic nearline.attempts.nearline-copies
(Create topic nearline.attempts.nearline-copies)
Read topic nearline.progress.nearline-copies
Write topic nearline.progress.nearline-copies
(Create topic nearline.progress.nearline-copies)
Write topic copies
(DescribeConfigs topic copies)
Read topic shop.features.item.updates
Read group shop-features-item
Write transactional ids shop-features-item/…
Read topic nearline.attempts.shop-features-item
Write topic nearline.attempts.shop-features-item
(Create topic nearline.attempts.shop-features-item)
Read topic nearline.progress.shop-features-item
Write topic nearline.progress.shop-features-item
(Create topic nearline.progress.shop-features-item)
(Create topic shop.features.item.updates)
(Delete topic shop.features.item.updates)
(AlterConfigs topic shop.features.item.updates)
Read topic shop.features.item.state
Write topic shop.features.item.state
(Create topic shop.features.item.state)
(DescribeConfigs topic shop.features.item.state)
Write topic shop.features.dlq
(Create topic shop.features.dlq)
(DescribeConfigs topic shop.features.dlq)
Read groups shop-features-item-store-…
`)
}

func TestWhatIsOffNeedsNoRights(t *testing.T) {
	off := parse(t, strings.Replace(shop, "kafka: {", "kafka: {attempts_topic: 'off', progress_topic: 'off', ", 1))
	for _, r := range acls.Of(off, acls.Service) {
		if strings.HasPrefix(r.Resource.Name, "nearline.") {
			t.Errorf("got %s, want no right to a topic that is not kept", said(r))
		}
	}
}

func TestViewsInMemoryNeedNoGroupsOfFillings(t *testing.T) {
	text := strings.Replace(shop, "  store: {redis: {addresses: [\"r:6379\"]}}\n", "", 1)
	text = strings.Replace(text, "    - {name: user, key: user_id, source: store, fields: [{name: age, type: number, default: 0}]}\n", "", 1)
	for _, r := range acls.Of(parse(t, text), acls.Service) {
		if strings.Contains(r.Resource.Name, "-store-") {
			t.Errorf("got %s, want no right to a group where each replica has all states in its memory", said(r))
		}
	}
}

func TestOtherPurposesHaveRightsOfTheirOwn(t *testing.T) {
	c := parse(t, shop)
	wantRights(t, c, acls.Letters, `
Read topic reviews.dlq
Read topic reviews.dlq.replayed
(Write topic reviews.dlq.replayed)
(Create topic reviews.dlq.replayed)
(Write transactional id nearline-dlq-replay/reviews.dlq)
(Write topic reviews.raw)
(Read topic reviews.raw)
(Write topic reviews.scored)
(Read topic reviews.scored)
Read topic shop.features.dlq
Read topic shop.features.dlq.replayed
(Write topic shop.features.dlq.replayed)
(Create topic shop.features.dlq.replayed)
(Write transactional id nearline-dlq-replay/shop.features.dlq)
(Write topic shop.features.item.updates)
(Read topic shop.features.item.updates)
`)
	wantRights(t, c, acls.Export, "Read topic shop.features.item.updates")
	wantRights(t, c, acls.Torture, `
Read topics nearline-torture-…
Write topics nearline-torture-…
Create topics nearline-torture-…
Delete topics nearline-torture-…
(AlterConfigs topics nearline-torture-…)
Read groups nearline-torture-…
Delete groups nearline-torture-…
Write transactional ids nearline-torture-…
Read topics nearline.attempts.nearline-torture-…
Write topics nearline.attempts.nearline-torture-…
Create topics nearline.attempts.nearline-torture-…
Read topics nearline.progress.nearline-torture-…
Write topics nearline.progress.nearline-torture-…
Create topics nearline.progress.nearline-torture-…
`)
	for _, r := range acls.Of(c, acls.Topics) {
		if r.Operation == acls.Read || r.Operation == acls.Write {
			t.Errorf("got %s, want no right to read or write for whoever makes topics", said(r))
		}
	}
}

func TestACommandGrantsWhatIsNeededOfOneResource(t *testing.T) {
	by := acls.Grantor{Bootstrap: "k1:9092,k2:9092", Principal: "User:CN=svc,O=It's a Shop"}
	var got []string
	for _, g := range acls.Grants(acls.Of(parse(t, shop), acls.Service))[:5] {
		got = append(got, g.Command(by))
	}
	for i := range got {
		got[i] = strings.TrimPrefix(got[i], `kafka-acls.sh --bootstrap-server k1:9092,k2:9092 --add --allow-principal 'User:CN=svc,O=It'\''s a Shop' `)
	}
	want := []string{
		"--operation Read --topic reviews.raw",
		"--operation Read --group nearline-reviews",
		"--operation Write --transactional-id nearline-reviews/ --resource-pattern-type prefixed",
		"--operation Read --operation Write --topic nearline.attempts.nearline-reviews",
		"--operation Create --topic nearline.attempts.nearline-reviews",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for want, g := range map[string]acls.Grant{
		"kafka-acls.sh --bootstrap-server b --command-config 'my file' --add --allow-principal User:a --operation IdempotentWrite --cluster": {
			Resource: acls.Resource{Kind: acls.Cluster}, Operations: []acls.Operation{acls.IdempotentWrite},
		},
		"kafka-acls.sh --bootstrap-server b --command-config 'my file' --add --allow-principal User:a --operation Read --topic=-a": {
			Resource: acls.Resource{Kind: acls.Topic, Name: "-a"}, Operations: []acls.Operation{acls.Read},
		},
	} {
		if got := g.Command(acls.Grantor{Bootstrap: "b", Principal: "User:a", Config: "my file"}); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// Brokers that keep ACLs in ZooKeeper refuse such names: "Path must not end with / character".
func TestZooKeeperGetsNoNameWithASlash(t *testing.T) {
	var got []string
	for _, r := range acls.ForZooKeeper(append(acls.Of(parse(t, shop), acls.Service), acls.Of(parse(t, shop), acls.Letters)...)) {
		if strings.Contains(r.Resource.Name, "/") {
			t.Errorf("got %s, want no slash", said(r))
		}
		if r.Resource.Kind == acls.TransactionalID {
			got = append(got, said(r))
		}
	}
	want := []string{"Write transactional ids nearline-reviews…", "Write transactional ids shop-features-item…", "(Write transactional ids nearline-dlq-replay…)"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A topic may be read because it has to be, and because it would be well to.
func TestWhatSomebodyNeedsIsNotOnlyWanted(t *testing.T) {
	// The second pipeline reads the first one's dead letters, so these are also originals to be read again.
	text := strings.Replace(shop, "input: {topic: reviews.scored}", "input: {topic: reviews.dlq}", 1)
	again := parse(t, strings.Replace(text, "copies}\n    dead_letters: reviews.dlq", "copies}\n    dead_letters: copies.dlq", 1))
	for _, r := range acls.Of(again, acls.Letters) {
		if r.Resource.Name == "reviews.dlq" && r.Operation == acls.Read && (!r.Needed() || len(r.Why) < 2) {
			t.Errorf("got %s for %v, want it needed, with all reasons", said(r), r.Why)
		}
	}
	for _, g := range acls.Grants(acls.Of(again, acls.Letters)) {
		if g.Resource.Name == "reviews.dlq" && g.Needed() && !slices.Contains(g.Operations, acls.Read) {
			t.Errorf("got %v, want Read among what is needed of reviews.dlq", g.Operations)
		}
	}
}

func TestAPrincipalHasATypeAndAName(t *testing.T) {
	for _, good := range []string{"User:nearline", "User:CN=nearline,OU=a b", "Role:x"} {
		if err := acls.CheckPrincipal(good); err != nil {
			t.Errorf("%s: got %v, want no error", good, err)
		}
	}
	for _, bad := range []string{"", "nearline", "User:", ":nearline", "User:a\nb"} {
		if err := acls.CheckPrincipal(bad); err == nil || !strings.Contains(err.Error(), "want TYPE:NAME") {
			t.Errorf("%q: got %v, want an error that says what is wanted", bad, err)
		}
	}
}
