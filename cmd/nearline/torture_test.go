package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"nearline/internal/config"
	"nearline/internal/torture"
)

// A password may be digits alone, and what it looks like to a reader of YAML is another number.
func TestReplicasOfATortureLogInAsTheConfigurationHasIt(t *testing.T) {
	path := configFile(t, "127.0.0.1:1")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"0123456", "1e3", "0x1F", "true", "1_000", `"quoted: 07"`} {
		write(t, path, strings.Replace(string(text), "replica: test", "replica: test, session_timeout: 7s, sasl: {mechanism: plain, user: 007, password: "+password+"}", 1))
		var o torture.Options
		c := &cobra.Command{}
		c.SetContext(t.Context())
		if err := onCluster(&o, path, nil, c); err != nil {
			t.Fatal(err)
		}
		data, err := o.ConfigFor(torture.Replica{Name: "r1", Input: "in", Output: "out", DeadLetters: "out.dlq", Group: "g", Repository: repository(t), Model: "sentiment"})
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := config.Parse(path, data)
		if err != nil {
			t.Fatalf("%s: %v in\n%s", password, err, data)
		}
		if k := got.Kafka; k.SASL.Password.Value() != strings.Trim(password, `"`) || k.SASL.User.Value() != "007" || k.Replica != "r1" || k.SessionTimeout.Seconds() != 7 {
			t.Errorf("%s: got the password %q of %q, replica %q, %v", password, k.SASL.Password.Value(), k.SASL.User, k.Replica, k.SessionTimeout)
		}
	}
}
