package config

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"

	"nearline/internal/harness/certstest"
	"nearline/internal/secret"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with the file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: make golden writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s: got:\n%s\nwant:\n%s", file, got, want)
	}
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.FromSlash(pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files for %s: %v", pattern, err)
	}
	return files
}

// certificates of a server and of the authority of its clients, in a folder that lasts as long as the tests.
var certificates = sync.OnceValue(func() string {
	folder, err := os.MkdirTemp("", "nearline-certificates")
	if err != nil {
		panic(err)
	}
	authority := certstest.New("authority")
	certstest.Write(folder, "ca.crt", authority.PEM)
	authority.Issue("server", certstest.Options{Hosts: []string{"localhost"}}).Write(folder, "server")
	return folder
})

// setEnv is what the environment holds in the golden files.
func setEnv(t *testing.T) {
	t.Setenv("NEARLINE_TEST_BROKER", "kafka-1:9092")
	t.Setenv("NEARLINE_TEST_MEMBERS", "3")
	t.Setenv("NEARLINE_TEST_YAML", "a: {b: [c\n# d")
	t.Setenv("NEARLINE_TEST_EMPTY", "")
	t.Setenv("NEARLINE_TEST_SECRET", "hunter2")
	t.Setenv("NEARLINE_TEST_TLS", certificates())
}

func TestGoodFilesGolden(t *testing.T) {
	setEnv(t)
	for _, file := range files(t, "testdata/good/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			config, _, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := yaml.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", strings.ReplaceAll(filepath.ToSlash(string(got)), certificates(), "CERTIFICATES"))
		})
	}
}

func TestExamplesAreGood(t *testing.T) {
	for _, file := range append(files(t, "../../examples/*.yaml"), "../../deploy/nearline.yaml", "../../deploy/shop.yaml") {
		if _, _, err := Load(file); err != nil {
			t.Error(err)
		}
	}
}

func TestShopInContainersIsTheExampleOnRedis(t *testing.T) {
	load := func(path string) *Config {
		c, _, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	shop, contained := load("../../examples/shop.yaml"), load("../../deploy/shop.yaml")
	if got := contained.Features.Store.Redis; got == nil || !slices.Equal(got.Addresses, []string{"127.0.0.1:6379"}) {
		t.Errorf("the store is %+v, want Redis at its default address", contained.Features.Store)
	}
	shop.Kafka, shop.Models.Repository, shop.Features.Store = contained.Kafka, contained.Models.Repository, contained.Features.Store
	if !reflect.DeepEqual(shop, contained) { //nolint:govet // errors of secrets that cannot be read: these files have none
		t.Errorf("deploy/shop.yaml is not examples/shop.yaml: want the same views and pipelines\ngot  %+v\nwant %+v", contained, shop)
	}
}

func TestOneVariableMayHoldSeveralBrokers(t *testing.T) {
	const text = "kafka: {brokers: [\"${env:NEARLINE_TEST_BROKERS}\", \"d:4\"]}\n" +
		"pipelines: [{name: a, input: {topic: a}, steps: [{predict: {model: m}}], output: {topic: b}, dead_letters: c}]\n"
	t.Setenv("NEARLINE_TEST_BROKERS", "a:1,b:2, c:3")
	c, _, err := Parse("brokers.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(c.Kafka.Brokers, " "), "a:1 b:2 c:3 d:4"; got != want {
		t.Errorf("got brokers %s, want %s", got, want)
	}
	t.Setenv("NEARLINE_TEST_BROKERS", "a:1,b")
	if _, _, err := Parse("brokers.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), `brokers.yaml:1: kafka.brokers[1] is "b": want host:port`) {
		t.Errorf("got %v, want the broker that has no port, and its line", err)
	}
}

func TestBadFilesGolden(t *testing.T) {
	setEnv(t)
	for _, file := range files(t, "testdata/bad/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			config, _, err := Parse(filepath.Base(file), data)
			if err == nil {
				t.Fatalf("no problem found, got %+v", config)
			}
			want := strings.TrimSuffix(file, ".yaml")
			if strings.Contains(err.Error(), "built with the tag nocloud") {
				want += ".nocloud"
			}
			golden(t, want+".txt", err.Error()+"\n")
			if strings.Contains(err.Error(), os.Getenv("NEARLINE_TEST_SECRET")) {
				t.Error("the error shows what the environment holds")
			}
		})
	}
}

// The full example is what docs/configuration.md explains: a key that is missing there is a key that nobody knows of. There is one store at a time, so each
// of the others has all its keys in an example that is called as it is.
func TestFullExampleNamesEveryKey(t *testing.T) {
	named := namedIn(t, "full")
	stores := 0
	for field := range reflect.TypeFor[Store]().Fields() {
		name := field.Tag.Get("yaml")
		path := "features.store." + name
		if named[path] {
			stores++
			continue
		}
		for key := range namedIn(t, name) {
			if key == path || strings.HasPrefix(key, path+".") {
				named[key] = true
			}
		}
	}
	for key := range namedIn(t, "oauthbearer") { // what nobody has beside a password
		if strings.HasPrefix(key, "kafka.sasl.") {
			named[key] = true
		}
	}
	if stores != 1 {
		t.Errorf("testdata/good/full.yaml has %d stores, want one", stores)
	}
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer:
			walk(path, typ.Elem())
		case reflect.Slice:
			if typ.Elem().Kind() == reflect.Struct && !reflect.PointerTo(typ.Elem()).Implements(selfReading) {
				walk(path+"[]", typ.Elem())
			}
		case reflect.Struct:
			for field := range typ.Fields() {
				name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
				switch {
				case options == "inline":
					walk(path, field.Type)
				case name != "" && name != "-":
					if !named[join(path, name)] {
						t.Errorf("%s is not in testdata/good/full.yaml, nor, if it is of another store, in that one's", join(path, name))
					}
					walk(join(path, name), field.Type)
				}
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
}

// namedIn are the keys that a good file has, whichever of a list has them: no step, and no feature, has every key.
func namedIn(t *testing.T, name string) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "good", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d := newDecoder(name)
	d.decode(data, Default())
	named := map[string]bool{}
	for path := range d.lines {
		named[unindexed(path)] = true
	}
	return named
}

var selfReading = reflect.TypeFor[interface{ UnmarshalYAML(func(any) error) error }]()

func TestPathsAreRelativeToTheFile(t *testing.T) {
	data, err := os.ReadFile("testdata/good/paths.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := Parse("/etc/nearline/nearline.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []struct{ got, want string }{
		{c.Models.Repository, "/etc/nearline/zoo"},
		{c.Models.Runtime, "/opt/onnxruntime.so"},
		{c.Pipelines[0].Input.Schema, "/etc/nearline/schemas/review.avsc"},
		{c.Pipelines[0].Output.Schema, "/etc/result.avsc"},
	} {
		if path.got != path.want {
			t.Errorf("got %s, want %s", path.got, path.want)
		}
	}
}

func TestDefaultLacksOnlyWhatNobodyCanGuess(t *testing.T) {
	c, _, err := Parse("empty.yaml", nil)
	if err == nil {
		t.Fatalf("no problem found, got %+v", c)
	}
	want := "empty.yaml: kafka.brokers is empty: want at least one host:port\n" +
		"empty.yaml: pipelines is empty: want at least one, with name, input, steps, output and dead_letters"
	if err.Error() != want {
		t.Errorf("got:\n%s\nwant:\n%s", err, want)
	}
}

func TestProblemsAreToldInTheOrderOfTheFile(t *testing.T) {
	_, _, err := Load("testdata/bad/everything.yaml")
	problems := Problems(err)
	if len(problems) < 10 {
		t.Fatalf("got %d problems, want all of them at once", len(problems))
	}
	last := 0
	for _, p := range problems {
		if p.Line < last {
			t.Errorf("line %d comes after line %d: %s", p.Line, last, p.Message)
		}
		last = p.Line
	}
}

func TestLoadNamesTheFileThatIsMissing(t *testing.T) {
	_, _, err := Load("testdata/none.yaml")
	if err == nil || !strings.Contains(err.Error(), "testdata/none.yaml") || Problems(err) != nil {
		t.Errorf("got %v, want one error that names the file", err)
	}
}

func TestAByteOrderMarkIsNoPartOfAConfiguration(t *testing.T) {
	good, err := os.ReadFile("testdata/good/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "nearline.yaml")
	for mark, want := range map[string]string{"\xef\xbb\xbf": "", "\xff\xfe": "nearline.yaml is UTF-16: want it saved as UTF-8"} {
		if err := os.WriteFile(file, append([]byte(mark), good...), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Load(file); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", mark, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte("a: &a {<<: *a}\nb: *a"))
	f.Add([]byte("kafka: &k {brokers: *k}"))
	f.Add([]byte("pipelines: &p [*p]"))
	f.Add([]byte("x-a: &a *a\nkafka: *a"))
	f.Add([]byte(strings.Repeat("[", 1000)))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := Parse("fuzz.yaml", data)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("Parse accepted what Validate refuses: %v", err)
		}
	})
}

// What a process finds out while it runs is handed on by arguments: a configuration that carries it is half filled wherever nobody has found it out.
func TestAConfigurationSaysNothingThatItsFileCannotSay(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			walk(path, typ.Elem())
		case reflect.Struct:
			if seen[typ] || typ == reflect.TypeFor[secret.Text]() { // the file says where it stands, and it is read there at each use
				return
			}
			seen[typ] = true
			for field := range typ.Fields() {
				at := path + "." + field.Name
				if strings.HasPrefix(field.Tag.Get("yaml"), "-") {
					t.Errorf("%s is in no file", at)
				}
				walk(at, field.Type)
			}
		case reflect.Interface, reflect.Func, reflect.Chan:
			t.Errorf("%s is %v, which no file can say", path, typ)
		}
	}
	walk("Config", reflect.TypeFor[Config]())
	if len(seen) < 20 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}
