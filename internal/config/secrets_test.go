package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"nearline/internal/secret"
	"nearline/internal/veil"
)

// everyValue hands each value of the good files, which have every key between them, to plant: set puts another in its place, and document
// is the file with it.
func everyValue(t *testing.T, plant func(path string, set func(any), document func() []byte)) {
	t.Helper()
	for _, file := range []string{"full", "dynamodb", "bigtable", "firestore"} {
		data, err := os.ReadFile(filepath.Join("testdata", "good", file+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := yaml.Unmarshal(data, &tree); err != nil {
			t.Fatal(err)
		}
		document := func() []byte {
			data, err := json.Marshal(tree) // which is YAML, and quick
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		var walk func(path string, value any, set func(any))
		walk = func(path string, value any, set func(any)) {
			switch value := value.(type) {
			case map[string]any:
				for _, key := range slices.Sorted(maps.Keys(value)) {
					walk(join(path, key), value[key], func(v any) { value[key] = v })
				}
			case []any:
				for i := range value {
					walk(fmt.Sprintf("%s[%d]", path, i), value[i], func(v any) { value[i] = v })
				}
			}
			// Of the other stores' files, what full.yaml has not.
			if path != "" && (file == "full" || strings.HasPrefix(path, "features.store.")) {
				plant(file+".yaml "+path, set, document)
				set(value)
			}
		}
		walk("", tree, nil)
	}
}

func TestNoMessageSaysWhatAVariableHolds(t *testing.T) {
	setEnv(t)
	planted, told := 0, 0
	for _, c := range []struct {
		secret    string
		reference any
	}{
		{"redis://:hunter2@vault.example:6379", "${env:NEARLINE_TEST_PLANTED}"},
		{"hunter2 / \"quoted\"\n..hunter2,hunter2", []any{"${env:NEARLINE_TEST_PLANTED}"}},
		{"hunter2", "x${env:NEARLINE_TEST_PLANTED:-y}.z"},
	} {
		t.Setenv("NEARLINE_TEST_PLANTED", c.secret)
		everyValue(t, func(path string, set func(any), document func() []byte) {
			set(c.reference)
			planted++
			_, _, err := Parse("planted.yaml", document())
			if err == nil {
				return
			}
			told++
			for _, part := range []string{"hunter2", "vault.example"} {
				if strings.Contains(err.Error(), part) {
					t.Errorf("%s: a message shows what a variable holds: %v", path, err)
				}
			}
		})
	}
	if planted < 600 || told < 300 {
		t.Errorf("planted %d values and got %d errors, want every key of the good files", planted, told)
	}
}

func TestMessagesSayWhatIsWritten(t *testing.T) {
	t.Setenv("NEARLINE_TEST_PLANTED", "redis://:hunter2@h:6379")
	_, _, err := Parse("planted.yaml", []byte("kafka: {brokers: [\"${env:NEARLINE_TEST_PLANTED}\"], replica: \"a/${env:NEARLINE_TEST_PLANTED}\"}\n"))
	if err == nil {
		t.Fatal("got no error, want those of the brokers and the replica")
	}
	for _, want := range []string{
		`kafka.brokers[0] is "${env:NEARLINE_TEST_PLANTED}": want host:port, such as kafka:9092`,
		`kafka.replica is "a/${env:NEARLINE_TEST_PLANTED}": want`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// What a variable holds may be a word that messages are made of, or one that the file has anyway.
func TestWhatIsNoSecretStaysReadable(t *testing.T) {
	t.Setenv("NEARLINE_TEST_HOST", "kafka")
	t.Setenv("NEARLINE_TEST_TOPIC", "reviews")
	_, hides, err := Parse("plain.yaml", []byte("kafka: {brokers: [\"${env:NEARLINE_TEST_HOST}:9092\"]}\n"+
		"pipelines: [{name: reviews, input: {topic: \"${env:NEARLINE_TEST_TOPIC}\"}, steps: [{predict: {model: m}}], output: {topic: b}, dead_letters: c}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	const text = `kafka.brokers of pipeline reviews do not answer`
	if got := hides.Text(text); got != text {
		t.Errorf("got %q, want it as it is", got)
	}
	var nothing *veil.Veil
	if got := nothing.Text(text); got != text {
		t.Errorf("without variables: got %q, want it as it is", got)
	}
}

// A rotation has the user in a file beside the password. A service is often called as its user is, and its topics as the service.
func TestTheNameOfAUserInAFileLeavesMessagesReadable(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{"user": "shop", "password": "hunter2hunter2"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, hides, err := Parse(filepath.Join(folder, "nearline.yaml"), []byte(`
kafka: {brokers: ["kafka:9092"], sasl: {mechanism: plain, user: "${file:user}", password: "${file:password}"}}
pipelines: [{name: reviews, input: {topic: shop.raw}, steps: [{predict: {model: m}}], output: {topic: b}, dead_letters: c}]
`))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Secrets()); n != 2 {
		t.Errorf("%d files are watched, want that of the user, too", n)
	}
	if got, want := hides.Text("shop may not read shop.raw with hunter2hunter2"), "shop may not read shop.raw with ${file:password}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// secretsOf a configuration with this password of Redis, and its veil.
func secretsOf(t *testing.T, folder, password string) (secret.Text, *veil.Veil, error) {
	t.Helper()
	c, hides, err := Parse(filepath.Join(folder, "secret.yaml"), []byte(`
kafka: {brokers: ["kafka:9092"]}
features: {store: {redis: {addresses: ["redis:6379"], username: joe, password: `+password+`}}}
pipelines: [{name: reviews, input: {topic: a}, steps: [{predict: {model: m}}], output: {topic: b}, dead_letters: c}]
`))
	if err != nil {
		return secret.Text{}, nil, err
	}
	if n := len(c.Secrets()); n != 1 {
		t.Errorf("%d secrets are known, want one", n)
	}
	return c.Features.Store.Redis.Password, hides, nil
}

func TestASecretInAFileIsReadAtEachUseAndHidden(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "password")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("hunter2hunter2\n")
	password, hides, err := secretsOf(t, folder, `"${file:password}"`)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"hunter2hunter2", "correcthorse"} {
		write(content + "\n")
		if got := password.Value(); got != content {
			t.Errorf("got %q, want %q", got, content)
		}
		if got, want := hides.Text("AUTH joe "+content), "AUTH joe ${file:password}"; got != want {
			t.Errorf("messages show %q, want %q", got, want)
		}
	}
	write("")
	if got := password.Value(); got != "correcthorse" {
		t.Errorf("with an empty file: got %q, want the last good one", got)
	}
}

func TestASecretInTheFileIsHidden(t *testing.T) {
	password, hides, err := secretsOf(t, t.TempDir(), "hunter2hunter2")
	if err != nil || password.Value() != "hunter2hunter2" {
		t.Fatalf("got %q, %v; want the password", password.Value(), err)
	}
	if got, want := hides.Text("AUTH joe hunter2hunter2"), "AUTH joe (hidden)"; got != want {
		t.Errorf("messages show %q, want %q", got, want)
	}
}

// Tokens that a secret is exchanged for come every few minutes, for months.
func TestASecretStaysHiddenHoweverManyTokensItIsExchangedFor(t *testing.T) {
	text, hides, err := secretsOf(t, t.TempDir(), "client-secret-for-the-service")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		text.Hide(fmt.Sprintf("token-number-%d", i))
	}
	for _, word := range []string{text.Value(), "token-number-99"} {
		if shown := hides.Text("refused: " + word); strings.Contains(shown, word) {
			t.Errorf("after 100 tokens a message is %q: want no secret in it", shown)
		}
	}
}

func TestSecretsInTheFileAreHiddenHoweverManyThereAre(t *testing.T) {
	var tokens []string
	for i := range 40 {
		tokens = append(tokens, fmt.Sprintf("a-token-of-the-file-%02d", i))
	}
	c, hides, err := Parse("secrets.yaml", []byte(`
kafka: {brokers: ["kafka:9092"]}
serving: {http: "127.0.0.1:0", tokens: [`+strings.Join(tokens, ", ")+`]}
pipelines: [{name: reviews, input: {topic: a}, steps: [{predict: {model: m}}], output: {topic: b}, dead_letters: c}]
`))
	if err != nil || len(c.Secrets()) != len(tokens) {
		t.Fatalf("got %v: want %d secrets", err, len(tokens))
	}
	for _, token := range tokens {
		if shown := hides.Text("told " + token); strings.Contains(shown, token) {
			t.Errorf("a message is %q: want no secret in it", shown)
		}
	}
}

func TestWhatIsWrongWithASecretIsSaidWithoutIt(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{"empty": "\n", "many": "hunter2\nhunter2\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("NEARLINE_TEST_LINES", "hunter2\nhunter2")
	for password, want := range map[string]string{
		`"${file:none}"`:               "features.store.redis.password: ${file:none} cannot be read: open ",
		`"${file:empty}"`:              "password: ${file:empty} cannot be read: ",
		`"${file:many}"`:               "password: it has more than one line",
		`"${env:NEARLINE_TEST_LINES}"`: "password: it has more than one line",
		`"${env:MISSING}"`:             "password: the environment variable MISSING is not set",
		"$HUNTER2":                     "password looks like a reference of a shell: want ${env:NAME} or ${file:PATH}",
		"{hunter2: 1}":                 "password is a mapping: want a single value",
	} {
		_, _, err := secretsOf(t, folder, password)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(strings.ToLower(err.Error()), "hunter2") {
			t.Errorf("%s: got %v, want %q, and nothing of the secret", password, err, want)
		}
	}
}

func TestTextsInFilesAreReadOnce(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "topic"), []byte("hunter2.raw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, hides, err := Parse(filepath.Join(folder, "file.yaml"), []byte(`
kafka: {brokers: ["kafka:9092"]}
pipelines: [{name: reviews, input: {topic: "${file:topic}"}, steps: [{predict: {model: m}}], output: {topic: b}, dead_letters: c}]
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Pipelines[0].Input.Topic; got != "hunter2.raw" || hides.Text(got) != "${file:topic}" {
		t.Errorf("got %q, shown as %q; want what is in the file, shown as it is written", got, hides.Text(got))
	}
}
