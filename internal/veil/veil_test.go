package veil

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

func hiding(values ...string) *Veil {
	v := New(func(text string) bool { return text == "kafka" })
	for i, value := range values {
		v.Hide(value, fmt.Sprintf("${env:V%d}", i))
	}
	return v
}

func TestTextShowsWhatIsWritten(t *testing.T) {
	for _, c := range []struct{ value, text, want string }{
		{"hunter2", "password hunter2 is wrong", "password ${env:V0} is wrong"},
		{"hunter2", "a chunk of hunter22 and xhunter2", "a chunk of hunter22 and xhunter2"}, // parts of words
		{"correcthorse", "xcorrecthorsey", "x${env:V0}y"},
		{"redis://joe:p%40ssword@vault:6379/0", `dial "redis://joe:p%40ssword@vault:6379/0"`, `dial "${env:V0}"`},
		{"redis://joe:p%40ssword@vault:6379/0", "lookup vault: no such host, p@ssword", "lookup ${env:V0}: no such host, ${env:V0}"},
		{"one.example:9092, two.example:9092", "dial tcp: lookup two.example: no such host", "dial tcp: lookup ${env:V0}: no such host"},
		{"a \"b\"\nc", `key is "a \"b\"\nc": want`, `key is "${env:V0}": want`},
		{"a \"b\"\nc", `err="key is \"a \\\"b\\\"\\nc\": want"`, `err="key is \"${env:V0}\": want"`},
		{"pass word&", "https://h/?p=pass+word%26", "https://h/?p=${env:V0}"},
		{"/var//zoo/", "open /var/zoo: no such file", "open ${env:V0}: no such file"},
		{"kafka:9092", "kafka.brokers: kafka:9092 does not answer", "kafka.brokers: ${env:V0} does not answer"},
		{"127.0.0.1:9092", "address=127.0.0.1:8080, broker 127.0.0.1:9092", "address=127.0.0.1:8080, broker ${env:V0}"},
		{"redis://:hunter2@localhost:6379", "localhost:8080 hunter2", "localhost:8080 ${env:V0}"},
		{"0.0.0.0", "0.0.0.0:8080", "0.0.0.0:8080"},
		{"[0:0:0:0:0:0:0:1]:9092", "0:0:0:0:0:0:0:1", "0:0:0:0:0:0:0:1"},
		{"abc", "abc", "abc"}, // too short to be a secret
		{"9092", "9092 records", "9092 records"},
	} {
		if got := hiding(c.value).Text(c.text); got != c.want {
			t.Errorf("%q in %q: got %q, want %q", c.value, c.text, got, c.want)
		}
	}
	if got := (*Veil)(nil).Text("hunter2"); got != "hunter2" {
		t.Errorf("no veil: got %q, want the text", got)
	}
}

func TestLongerValuesGoFirst(t *testing.T) {
	if got, want := hiding("secret", "secret.more").Text("secret.more secret"), "${env:V1} ${env:V0}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErrorsAreStillFound(t *testing.T) {
	v := hiding("/run/hunter2")
	err := v.Error(fmt.Errorf("open %s: %w", "/run/hunter2", fs.ErrNotExist))
	if got, want := err.Error(), "open ${env:V0}: file does not exist"; got != want || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %q, want %q that is fs.ErrNotExist", got, want)
	}
	if err := v.Error(nil); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

func TestDocumentsStayJSON(t *testing.T) {
	v := New(func(string) bool { return false })
	v.Hide("hunter2", `${env:V:-"x"}`)
	document, _ := json.Marshal(map[string]string{"problem": "line\nhunter2"})
	got := v.JSON(document)
	if strings.Contains(string(got), "hunter2") || !json.Valid(got) {
		t.Errorf("got %s, want JSON without the value", got)
	}
	if v.Hide("hunter2hunter2", `${env:V:-"x"}`); !json.Valid(v.JSON([]byte(`{"problem":"a hunter2hunter2"}`))) {
		t.Error("what is written is not escaped")
	}
}

func TestOnlyStringsOfDocumentsAreHidden(t *testing.T) {
	v := hiding("123456", "nhunter2", `a","b`, "größe&hunter2")
	for document, want := range map[string]string{
		`{"lag":123456,"text":"123456"}`:             `{"lag":123456,"text":"${env:V0}"}`,
		`{"lag":[-123456.5e3],"\"":"}"}`:             `{"lag":[-123456.5e3],"\"":"}"}`,
		`"line\nhunter2"`:                            `"line\nhunter2"`,
		`["a","b"]`:                                  `["a","b"]`,
		`["a\",\"b","gr\u00f6\u00dfe\u0026hunter2"]`: `["${env:V2}","${env:V3}"]`,
		`"no end nhunter2`:                           `"no end ${env:V1}`,
	} {
		if got := string(v.JSON([]byte(document))); got != want {
			t.Errorf("%s: got %s, want %s", document, got, want)
		}
	}
}

func TestLoggerHidesInMessagesAndAttributes(t *testing.T) {
	var out bytes.Buffer
	v := hiding("hunter2hunter2")
	logger := v.Logger(slog.New(slog.NewTextHandler(&out, nil))).With("id", "hunter2hunter2-1").WithGroup("g")
	logger.Info("hello hunter2hunter2", "error", errors.New("dial hunter2hunter2"), "list", []string{"hunter2hunter2"}, "n", 1,
		slog.Group("inner", "x", "hunter2hunter2"), "any", struct{ A string }{"hunter2hunter2"})
	if strings.Contains(out.String(), "hunter2") || strings.Count(out.String(), "${env:V0}") != 6 || !strings.Contains(out.String(), "g.n=1") {
		t.Errorf("got %s, want ${env:V0} in six places", out.String())
	}
}

func TestWriterHides(t *testing.T) {
	var out bytes.Buffer
	n, err := fmt.Fprintln(hiding("hunter2hunter2").Writer(&out), "a hunter2hunter2")
	if err != nil || n != 17 || out.String() != "a ${env:V0}\n" {
		t.Errorf("wrote %d, %v, %q; want 17 as asked, and no value", n, err, out.String())
	}
}

func TestContentsThatWereReplacedStayHiddenForAWhile(t *testing.T) {
	v := New(func(string) bool { return false })
	v.Hide("hunter2@shared-host:1", "${env:ADDRESS}")
	for i := range remembered + 1 {
		v.HideLatest(fmt.Sprintf("token-%02d@shared-host:1", i), "${file:token}", "token")
	}
	v.HideLatest("token-16@shared-host:1", "${file:token}", "token") // what is there already
	for text, want := range map[string]string{
		"token-16":    "${file:token}",
		"token-01":    "${file:token}",
		"token-00":    "token-00",
		"hunter2":     "${env:ADDRESS}",
		"shared-host": "${env:ADDRESS}",
	} {
		if got := v.Text("a " + text + " b"); got != "a "+want+" b" {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	if n := len(v.values); n != remembered+1 {
		t.Errorf("%d values are remembered, want %d of one reference", n, remembered)
	}
}

func TestMoreMayBeHiddenWhileTextsAreShown(t *testing.T) {
	v := hiding("hunter2hunter2")
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 100 {
				if got := v.Text("hunter2hunter2"); got != "${env:V0}" {
					t.Errorf("got %q, want it hidden", got)
				}
			}
		})
	}
	for i := range 100 {
		v.HideLatest(fmt.Sprintf("password-%03d", i), "${file:password}", "password")
	}
	readers.Wait()
	if got := v.Text("password-099"); got != "${file:password}" {
		t.Errorf("got %q, want the latest hidden", got)
	}
}
