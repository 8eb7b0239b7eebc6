package main

import (
	"os"
	"strings"
	"testing"
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

func TestSlipsOfProductionAreNamed(t *testing.T) {
	path := configFile(t, "127.0.0.1:1")
	execute(t, "", "check", "--config", path, "--production", "--accept", "replicas-name").fails(t, "--accept replicas-name: there is no such rule", "did you mean replica-names?", "the rules are ")
	execute(t, "", "check", "--config", path, "--accept", "delivery").fails(t, "--accept delivery", "--production")
}
