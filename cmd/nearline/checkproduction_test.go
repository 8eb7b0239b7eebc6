package main

import (
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestCheckHoldsTheClusterAgainstTheProductionChecklist(t *testing.T) {
	path := configFile(t, startBroker(t))
	plain := execute(t, "", "check", "--config", path)
	plain.ok(t)
	if strings.Contains(plain.out, "production") {
		t.Errorf("got %s\nwant nothing of production unless asked", plain.out)
	}
	r := execute(t, "", "check", "--config", path, "--production")
	r.fails(t)
	wantAll(t, "standard output", r.out,
		"WRONG  production brokers: the cluster has 1 broker: with fewer, one that is lost stops the stream, or takes records along: add brokers until there are 3\n",
		"WRONG  production replication: topic reviews.raw has 1 replica: ", "production replica-names: kafka.replica is \"test\" for every replica",
		"ok     production delivery: every pipeline has delivery: exactly_once\n", "things are wrong")

	accepted := execute(t, "", "check", "--config", path, "--production", "--accept", "brokers,replication", "--accept", "replica-names")
	wantAll(t, "standard output", accepted.out, "note   production brokers: the cluster has 1 broker: accepted, although with fewer", "note   production replication: topic reviews.raw has 1 replica: accepted")
	for _, rule := range []string{"brokers", "replication", "replica-names"} {
		if strings.Contains(accepted.out, "WRONG  production "+rule) {
			t.Errorf("got %s\nwant %s accepted", accepted.out, rule)
		}
	}
}

func TestCheckOfProductionNeedsNoCluster(t *testing.T) {
	path := configFile(t, "127.0.0.1:1")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(text), "replica: test", "attempts_topic: off", 1))
	r := execute(t, "", "check", "--config", path, "--production")
	r.fails(t)
	wantAll(t, "standard output", r.out, "WRONG  brokers 127.0.0.1:1", "WRONG  production safeguards: kafka.attempts_topic is off", "ok     production delivery")
	if strings.Contains(r.out, "production replication") {
		t.Errorf("got %s\nwant nothing of topics that nobody has seen", r.out)
	}
}

// A rollout asks for the exit status: what nobody has looked at does not hold.
func TestWhatMayNotBeLookedAtFailsTheProductionCheck(t *testing.T) {
	const topic, read, write = kmsg.ACLResourceTypeTopic, kmsg.ACLOperationRead, kmsg.ACLOperationWrite
	rights := []kfake.ACL{allowed(topic, "reviews.raw", read), allowed(kmsg.ACLResourceTypeGroup, "nearline-reviews", read), allowed(kmsg.ACLResourceTypeTransactionalId, "nearline-reviews/", write)}
	for _, name := range []string{"reviews.scored", "reviews.raw.dlq", "nearline.attempts.nearline-reviews", "nearline.progress.nearline-reviews"} {
		rights = append(rights, allowed(topic, name, write), allowed(topic, name, read))
	}
	path := configFile(t, denying(t, rights...))
	r := execute(t, "", "check", "--config", path, "--production")
	r.fails(t)
	wantAll(t, "standard output", r.out,
		"WRONG  production in-sync: the settings of topics reviews.raw and 4 others may not be read: want DescribeConfigs of them all: nearline acls --config FILE --for check prints",
		"WRONG  production elections: ", "note   production: ", " of the rules could not be looked at everywhere: grant what nearline acls --config FILE --for check prints",
		"ok     production store-login: there is no store of Redis\n", "ok     production store-tls: there is no store\n")

	accepted := execute(t, "", "check", "--config", path, "--production", "--accept", "unseen,brokers,replication,replica-names,kafka-tls,kafka-login,serving-tokens")
	accepted.ok(t)
	wantAll(t, "standard output", accepted.out, "note   production in-sync: the settings of topics reviews.raw and 4 others may not be read: accepted, although nobody has looked\n")
}

func TestSlipsOfProductionAreNamed(t *testing.T) {
	path := configFile(t, "127.0.0.1:1")
	execute(t, "", "check", "--config", path, "--production", "--accept", "replicas-name").fails(t, "--accept replicas-name: there is no such rule", "did you mean replica-names?", "the rules are ")
	execute(t, "", "check", "--config", path, "--accept", "delivery").fails(t, "--accept delivery", "--production")
}
