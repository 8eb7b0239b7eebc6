package main

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// What a shell is given has nothing in it that the shell would take for a reference of its own.
func TestCommandsThatCheckPrintsMayBePasted(t *testing.T) {
	t.Setenv("NEARLINE_TEST_BROKERS", denying(t))
	t.Setenv("NEARLINE_TEST_OUTPUT", "reviews.scored")
	path := configFile(t, "${env:NEARLINE_TEST_BROKERS}")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.ReplaceAll(string(text), "topic: reviews.scored", `topic: "${env:NEARLINE_TEST_OUTPUT}"`))
	r := execute(t, "", "check", "--config", path)
	r.fails(t)
	const grant = ": kafka-acls.sh --bootstrap-server BROKERS --add --allow-principal User:SERVICE --operation "
	wantAll(t, "standard output", r.out, grant+"Read --topic reviews.raw\n", "topic ${env:NEARLINE_TEST_OUTPUT}: the topic is missing", grant+"Write --topic NEARLINE_TEST_OUTPUT\n")
	if strings.Contains(r.out, "admin.properties") {
		t.Errorf("got\n%s\nwant no file to log in with where nobody does", r.out)
	}
	for text, want := range map[string]string{
		"kafka-acls.sh --bootstrap-server ${env:A},k2:9092 --topic '${env:T:-x}' --group ${file:${env:DIR}/g}": "kafka-acls.sh --bootstrap-server BROKERS --topic 'T' --group VALUE",
		"set kafka.replica: ${env:NEARLINE_REPLICA}":                                                           "set kafka.replica: ${env:NEARLINE_REPLICA}",
	} {
		var out strings.Builder
		if n, err := (&pasting{&out}).Write([]byte(text)); n != len(text) || err != nil || out.String() != want {
			t.Errorf("got %q, %d, %v; want %q", out.String(), n, err, want)
		}
	}
}

func TestCommandsForAClusterThatAsksWhoOneIsNameAFile(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "shop", "word"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	path := configFile(t, cluster.ListenAddrs()[0])
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(text), "replica: test", "replica: test, sasl: {mechanism: plain, user: shop, password: word}", 1))
	const names, jaas = " --command-config admin.properties --add --allow-principal User:shop --operation Read --topic reviews.raw\n",
		`sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="ADMIN" password="PASSWORD";`
	check := execute(t, "", "check", "--config", path)
	check.fails(t)
	wantAll(t, "standard output", check.out, names, "note   admin.properties of these commands is a file with what kafka-acls.sh logs in with, as somebody who may change ACLs: "+
		"security.protocol=SASL_PLAINTEXT, sasl.mechanism=PLAIN, "+jaas+"\n")

	commands := execute(t, "", "acls", "--config", path)
	commands.ok(t)
	wantAll(t, "standard output", commands.out, names, "# admin.properties is a file with what kafka-acls.sh logs in with, as somebody who may change ACLs:\n",
		"#   security.protocol=SASL_PLAINTEXT\n#   sasl.mechanism=PLAIN\n#   "+jaas+"\n")
	own := execute(t, "", "acls", "--config", path, "--command-config", "mine.properties")
	own.ok(t)
	wantAll(t, "standard output", own.out, " --command-config mine.properties --add ")
}

func TestAPortThatSaysNothingIsExplainedOnce(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	r := execute(t, "", "check", "--config", configFile(t, listener.Addr().String()))
	r.fails(t)
	wantAll(t, "standard output", r.out, "ends the connection without an answer: want kafka.tls")
	if strings.Contains(r.out, "can they be reached from here?") {
		t.Errorf("got\n%s\nwant nothing of addresses that were reached", r.out)
	}
	if err := doubtAddresses(errors.New("connection refused"), "kafka.brokers"); !strings.Contains(err.Error(), "are kafka.brokers right") {
		t.Errorf("got %v, want a doubt of the addresses", err)
	}
}
