package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"nearline/internal/config"
	"nearline/internal/deadletters"
	"nearline/internal/dev"
	"nearline/internal/harness/certstest"
	"nearline/serving"
)

func TestCheckPrintsEveryProblem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broken.yaml")
	write(t, path, "kafka: {brokers: []}\npipelines:\n  - {name: a, delivery: twice}\nsurprise: 1\n")
	for _, name := range []string{"check", "run"} {
		r := execute(t, "", name, "--config", path)
		r.fails(t)
		wantAll(t, "standard error", r.err, path+":1: kafka.brokers", "pipelines[0].delivery", "pipelines[0].input.topic", "surprise", "things are wrong")
	}
}

// none is a topic that is nobody's: a broker without topics.
var none = dev.Topic{Name: "other", Partitions: 1, Retention: 1 << 20}

func TestCheckSaysWhatTheWorldSays(t *testing.T) {
	for _, c := range []struct {
		name   string
		broker func(t *testing.T) string
		wrong  bool
		says   []string
	}{
		{
			name:   "all is well",
			broker: func(t *testing.T) string { return startBroker(t) },
			says: []string{
				"ok     configuration", "ok     model sentiment version 1 loads on cpu", ": 1 in the cluster",
				"ok     pipeline reviews: topic reviews.raw: 6 partitions, records up to 1048588 bytes",
				"ok     pipeline reviews: topic reviews.scored", "ok     pipeline reviews: topic reviews.raw.dlq",
				"note   pipeline reviews: dead letters of the largest records",
			},
		},
		{
			name:   "topics are missing",
			broker: func(t *testing.T) string { return startBroker(t, none) },
			wrong:  true,
			says: []string{
				"WRONG  pipeline reviews: topic reviews.raw: it does not exist: create it", "topic reviews.scored: it does not exist",
				"topic reviews.raw.dlq: it does not exist", "3 things are wrong",
			},
		},
		{
			name:   "nobody is there",
			broker: func(*testing.T) string { return "127.0.0.1:1" },
			wrong:  true,
			says:   []string{"ok     model sentiment", "WRONG  brokers 127.0.0.1:1", "refused", "are kafka.brokers right", "1 thing is wrong"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := execute(t, "", "check", "--config", configFile(t, c.broker(t)))
			if failed := r.failure != nil; failed != c.wrong {
				t.Errorf("got error %v, want one: %v", r.failure, c.wrong)
			}
			wantAll(t, "standard output", r.out, c.says...)
			if !c.wrong && strings.Contains(r.out, "WRONG") {
				t.Errorf("got %s, want nothing wrong", r.out)
			}
		})
	}
}

func TestCheckAsksTheStoreOfFeatures(t *testing.T) {
	path := configFile(t, startBroker(t))
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := func(address string) result {
		write(t, path, string(file)+"features: {store: {redis: {addresses: [\""+address+"\"]}}}\n")
		return execute(t, "", "check", "--config", path)
	}
	answers := at(miniredis.RunT(t).Addr())
	if answers.failure != nil {
		t.Errorf("got error %v, want none", answers.failure)
	}
	wantAll(t, "standard output", answers.out, "ok     store of features\n")
	away := at("127.0.0.1:1")
	away.fails(t)
	wantAll(t, "standard output", away.out, "WRONG  store of features: features.store.redis.addresses is [\"127.0.0.1:1\"]: no Redis answers there", "1 thing is wrong")
}

func TestCheckSaysWhichModelIsWrong(t *testing.T) {
	path := configFile(t, "127.0.0.1:1")
	folder := filepath.Dir(path)
	write(t, path, "kafka: {brokers: [\"127.0.0.1:1\"]}\nmodels: {repository: zoo}\npipelines:\n"+
		"  - {name: a, input: {topic: a}, steps: [{predict: {model: broken}}], output: {topic: b}, dead_letters: c}\n"+
		"  - {name: b, input: {topic: d}, steps: [{predict: {model: absent}}], output: {topic: e}, dead_letters: c}\n")
	r := execute(t, "", "check", "--config", path)
	r.fails(t)
	wantAll(t, "standard output", r.out, "WRONG  model broken: models.repository is \""+filepath.Join(folder, "zoo")+"\": there is no such folder")

	write(t, filepath.Join(folder, "zoo", "broken", "1", "nearline.yaml"), "task: constant\n")
	r = execute(t, "", "check", "--config", path)
	r.fails(t)
	wantAll(t, "standard output", r.out, "WRONG  model broken: load model broken version 1", "columns is empty", "WRONG  model absent", "want one of broken", "3 things are wrong")
}

func TestCheckSaysWhichModelsHaveGoldenExamples(t *testing.T) {
	path := configFile(t, "127.0.0.1:1")
	zoo := filepath.Join(filepath.Dir(path), "zoo")
	write(t, filepath.Join(zoo, "with", "1", "nearline.yaml"), "task: constant\ncolumns: {w: {label: a, score: 0.5}}\ngolden: [{text: x, expect: {w: {label: a, score: 0.5}}}]\n")
	write(t, filepath.Join(zoo, "without", "1", "nearline.yaml"), "task: constant\ncolumns: {v: {label: a, score: 0.5}}\n")
	write(t, filepath.Join(zoo, "other", "1", "nearline.yaml"), "task: constant\ncolumns: {o: {label: a, score: 0.5}}\ngolden: [{text: x, expect: {o: {label: b, score: 0.5}, p: {label: a}}}]\n")
	write(t, path, "kafka: {brokers: [\"127.0.0.1:1\"]}\nmodels: {repository: zoo}\npipelines:\n"+
		"  - {name: a, input: {topic: a}, steps: [{predict: {model: with}}, {predict: {model: without}}, {predict: {model: other}}], output: {topic: b}, dead_letters: c}\n")
	r := execute(t, "", "check", "--config", path)
	r.fails(t)
	wantAll(t, "standard output", r.out, "ok     model with version 1 loads on cpu and reproduces its golden example\n",
		"ok     model without version 1 loads on cpu and has no golden examples: nothing would notice",
		"WRONG  model other: load model other version 1: golden[0].expect.p: columns has no such name", "golden[0]: o: ")
}

func TestCheckKnowsWhereReplaysAreRemembered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nearline.yaml")
	write(t, path, "kafka: {brokers: [\"127.0.0.1:1\"]}\npipelines:\n"+
		"  - {name: a, input: {topic: a}, steps: [{predict: {model: m}}], output: {topic: "+deadletters.MemoryTopic("dead")+"}, dead_letters: dead}\n")
	r := execute(t, "", "check", "--config", path)
	r.fails(t)
	wantAll(t, "standard error", r.err, "pipelines[0].output.topic is", "replays remember there which dead letters of dead they put back")
}

// A pipe has no end until somebody writes to it.
func TestFilesThatAreNoneAreRefused(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skipf("make a pipe: %v", err)
	}
	for _, path := range []string{pipe, "/dev/zero", folder} {
		for _, command := range [][]string{{"check"}, {"run"}, {"topics"}, {"dlq", "list"}, {"health"}} {
			execute(t, "", append(command, "--config", path)...).fails(t, path, "want a regular file")
		}
	}
	file := configFile(t, "127.0.0.1:1")
	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, strings.Replace(string(config), "{topic: reviews.raw}", "{topic: reviews.raw, format: avro, schema: "+pipe+"}", 1))
	schema := execute(t, "", "check", "--config", file)
	schema.fails(t)
	wantAll(t, "all output", schema.out+schema.err, pipe, "is a pipe")
	model := filepath.Join(folder, "models", "sentiment", "1")
	write(t, filepath.Join(model, "nearline.yaml"), "task: constant\n")
	if err := syscall.Mkfifo(filepath.Join(model, "model.onnx"), 0o600); err != nil {
		t.Fatal(err)
	}
	inspected := execute(t, "", "models", "inspect", model)
	inspected.fails(t)
	wantAll(t, "all output", inspected.out+inspected.err, "is a pipe")
	execute(t, "good", "score", "--model", "sentiment", "--models", filepath.Join(folder, "models")).fails(t, "is a pipe")
}

func TestCheckSaysUntilWhenCertificatesAreValid(t *testing.T) {
	folder, authority, now := t.TempDir(), certstest.New("authority"), time.Now()
	for name, o := range map[string]certstest.Options{
		"good": {To: now.Add(20 * 24 * time.Hour)}, "soon": {To: now.Add(24 * time.Hour)}, "old": {From: now.Add(-2 * time.Hour), To: now.Add(-time.Hour)},
	} {
		authority.Issue(name, o).Write(folder, name)
	}
	for name, want := range map[string]string{
		"good": "", "soon": "it expires in 24h0m0s: put its successor in its place", "old": "the certificate of CN=old expired at ",
	} {
		c := config.Default()
		c.Serving.TLS = &serving.TLS{Cert: filepath.Join(folder, name+".crt"), Key: filepath.Join(folder, name+".key")}
		said := 0
		checkCertificates(c, now.Truncate(time.Second), func(err error, format string, args ...any) {
			said++
			what := fmt.Sprintf(format, args...)
			if _, note := errors.AsType[noteError](err); note != (name == "soon") || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, %v; want %q", name, what, err, want)
			}
			if valid := strings.HasPrefix(what, "serving.tls.cert: valid until "); valid != (name != "old") || !valid && what != "serving.tls.cert" || err != nil && strings.Contains(err.Error(), what) {
				t.Errorf("%s: got %q, %v; want until when, and the key once", name, what, err)
			}
		})
		if said != 1 {
			t.Errorf("%s: %d lines, want one", name, said)
		}
	}
}
