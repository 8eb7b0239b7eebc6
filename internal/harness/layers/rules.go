package layers

import (
	"fmt"
	"slices"
	"strings"
)

// module is the path that all packages of ours begin with.
const module = "nearline"

// layer says what the packages in one folder may import of ours. The longest matching folder rules.
type layer struct {
	folder string
	// may are the folders it may import from, itself apart; everything stands for all of them.
	may []string
	why string
}

const everything = "..."

// layers, from the inside out.
var layers = []layer{
	{"pipeline", []string{"internal/problems"},
		"the heart defines the vocabulary and the interfaces; it knows nobody but the list of what is wrong with a configuration"},
	{"batching", nil,
		"the scheduler is generic: it knows neither Kafka nor models"},

	{"internal/files", nil, "how files are read and replaced, whatever is in them"},
	{"internal/problems", nil, "what is wrong with a configuration, whoever says so"},
	{"internal/hostport", nil, "which texts are addresses, whoever has them"},
	{"internal/secret", []string{"internal/files"}, "texts and files that change, whoever uses them"},
	{"internal/certs", []string{"internal/secret", "internal/files", "internal/problems"}, "certificates, whoever shows them and to whom"},
	{"internal/plain", nil, "what a terminal is shown, whoever wrote it"},
	{"internal/tables", []string{"internal/plain"}, "texts in columns, whoever wrote them"},
	{"kafka", []string{"kafka/decompress", "kafka/mskiam", "internal/problems", "internal/secret", "internal/certs"}, "whoever needs a client comes to it"},
	{"kafka/mskiam", nil, "credentials of a cloud, whatever they are shown to"},
	{"kafka/decompress", []string{"pipeline"}, "batches to records within a bound, nothing else"},
	{"consumers", []string{"pipeline", "kafka", "kafka/decompress", "internal/problems"}, "a room knows the heart, never its siblings"},
	{"schemas", []string{"pipeline", "internal/files", "internal/problems"}, "a room knows the heart, never its siblings"},
	{"producers", []string{"pipeline", "internal/problems"}, "a room knows the heart, never its siblings"},
	{"features", []string{"pipeline", "internal/problems"}, "a room knows the heart, never its siblings"},
	{"columns", []string{"pipeline", "features", "internal/problems"}, "columns are made of what views know, whoever reads them"},
	{"features/memory", []string{"features", "pipeline"}, "a store knows what it keeps"},
	{"features/redis", []string{"features", "pipeline", "internal/hostport", "internal/problems", "internal/secret", "internal/certs"}, "a store knows what it keeps"},
	{"features/dynamodb", []string{"features", "pipeline", "internal/problems"}, "a store knows what it keeps"},
	{"features/bigtable", []string{"features", "pipeline", "internal/hostport", "internal/problems"}, "a store knows what it keeps"},
	{"features/firestore", []string{"features", "pipeline", "internal/hostport", "internal/problems"}, "a store knows what it keeps"},
	{"features/storetest", []string{"features", "pipeline"}, "what every store has to do, whichever it is"},
	{"offline", []string{"pipeline", "internal/plain"}, "a room knows the heart, never its siblings"},
	{"serving", []string{"pipeline", "internal/problems", "internal/observe", "internal/secret", "internal/certs"}, "a room knows the heart; models reach it through interfaces of its own, and what it shows of the service is told by observe"},
	{"models", []string{"pipeline", "batching", "models/folder", "models/onnx", "models/tokenizer", "models/tasks", "internal/problems"},
		"a loaded model is sessions, a tokenizer and a task behind the scheduler"},
	{"steps", []string{"pipeline", "batching", "schemas", "features", "columns", "models", "models/tasks", "internal/problems", "internal/spelling"}, "a step of the configuration becomes one of a program"},
	{"engine", []string{"pipeline", "batching", "models", "schemas", "steps"}, "the device, what is loaded on it and what runs there, wherever rows come from"},
	{"models/folder", []string{"pipeline", "models/onnx", "models/tokenizer", "models/tasks", "internal/files", "internal/plainyaml"},
		"what files say of a model, before anything of it is loaded"},
	{"models/onnx", []string{"pipeline", "batching", "internal/files"}, "sessions run what the scheduler hands them"},
	{"models/tokenizer", []string{"internal/files"}, "text to tokens, nothing else"},
	{"models/tasks", []string{"pipeline"}, "outputs to predictions, nothing else"},

	{"internal/config", []string{
		"pipeline", "batching", "kafka", "consumers", "schemas", "producers", "features", "columns", "features/redis", "features/dynamodb", "features/bigtable",
		"features/firestore", "offline", "serving", "models", "steps", "internal/observe", "internal/files", "internal/plainyaml", "internal/problems", "internal/secret", "internal/certs",
		"internal/spelling", "internal/veil",
	}, "the whole configuration is made of the rooms' own"},
	{"internal/production", []string{"pipeline", "consumers", "kafka", "internal/config", "internal/secret"}, "it judges what others have found, and asks nobody"},
	{"internal/committed", []string{"pipeline", "kafka", "kafka/decompress"}, "it reads topics, whatever is in them"},
	{"internal/deadletters", []string{"pipeline", "consumers", "kafka", "kafka/decompress", "producers", "internal/committed"}, "it reads what producers wrote, with the care of consumers"},
	{"internal/export", []string{"pipeline", "schemas", "features", "offline", "kafka", "internal/committed"}, "it replays what views were told, by their own code"},
	{"internal/acls", []string{"pipeline", "kafka", "features", "internal/certs", "internal/config", "internal/deadletters", "internal/production"}, "what a configuration's commands do to the cluster is known from the configuration alone"},
	{"internal/observe", []string{"internal/problems"}, "whoever has something to report comes to it"},
	{"internal/harness/kafkatest", []string{"pipeline", "kafka", "internal/secret"}, "a fake cluster for any room's tests"},
	{"internal/harness/hostile", []string{"pipeline", "producers", "kafka"}, "records for any room's tests"},
	{"internal/harness/certstest", nil, "certificates for any room's tests"},
	{"internal/plainyaml", nil, "YAML to trees, whatever is in it"},
	{"internal/spelling", nil, "names to names, whatever they name"},
	{"internal/veil", nil, "texts to texts, whatever is in them"},
	{"internal/harness/layers", nil, "this test"},
	{"internal/harness/mutants", nil, "it breaks texts, whatever is in them"},
	{"internal/harness/size", nil, "it weighs the program, whatever is in it"},

	{"examples", nil, "configurations, nothing else"},
	{"internal/service", []string{everything}, "a configuration, made into a running service"},
	{"internal/harness/bench", []string{everything}, "measures the whole service"},
	{"internal/torture", []string{"kafka", "internal/tables"}, "it judges by what the topics say, and by nothing of ours but how a cluster is reached"},
	{"internal/dev", []string{everything}, "the embedded mode wires the service like cmd does"},
	{"cmd", []string{everything}, "the only place that knows every package"},
	{"e2e", []string{everything}, "tests of the whole service"},
}

// harness is what only tests and measurements use: no code that ships may import it, whatever else it may.
const harness = "internal/harness"

// forTests may be imported by tests of any folder, beside what the folder itself may import.
var forTests = []string{"internal/harness/kafkatest", "internal/harness/hostile", "internal/harness/certstest", "features/storetest"}

// outside says which folders alone may import a package that is not ours, in code that ships. Packages below it count.
var outside = []struct {
	path string
	by   []string
	why  string
}{
	{"C", []string{"models/onnx"}, "the only cgo in the repository"},
	{"github.com/yalue/onnxruntime_go", []string{"models/onnx"}, "the rest builds and runs without the library"},
	{"github.com/twmb/franz-go", []string{"kafka", "consumers", "internal/acls", "internal/service", "internal/harness/bench", "internal/committed", "internal/deadletters", "internal/export", "internal/dev", "internal/harness/hostile", "internal/harness/kafkatest", "internal/torture", "cmd", "e2e"},
		"the member owns the client; schemas and producers handle bytes"},
	{"github.com/redis/go-redis", []string{"features/redis", "internal/harness/bench", "cmd", "e2e"}, "the rest sees a store"},
	{"github.com/aws", []string{"features/dynamodb", "kafka/mskiam"}, "the rest sees a store, or credentials"},
	{"cloud.google.com/go", []string{"features/bigtable", "features/firestore"}, "the rest sees a store"},
	{"github.com/googleapis", []string{"features/bigtable", "features/firestore"}, "the rest sees a store"},
	{"google.golang.org/api", []string{"features/bigtable", "features/firestore"}, "the rest sees a store"},
	{"google.golang.org/grpc", []string{"serving", "features/bigtable", "features/firestore"}, "only the online API and the stores of clouds speak gRPC"},
	{"github.com/linkedin/goavro/v2", []string{"schemas"}, "what bytes mean is the schemas' matter"},
	{"github.com/goccy/go-yaml", []string{"internal/config", "internal/plainyaml", "models/folder", "cmd"}, "one way to read a configuration"},
	{"github.com/spf13/cobra", []string{"cmd"}, "flags are the command's matter"},
	{"github.com/charmbracelet", []string{"internal/dev", "internal/tables", "cmd"}, "the live view is the embedded mode's, and tables have one place"},
	{"text/tabwriter", []string{"internal/tables"}, "tables have one place"},
	{"github.com/mattn/go-runewidth", []string{"internal/dev"}, "what a line needs on a terminal is the live view's matter"},
	{"testing", []string{"internal/harness/kafkatest", "features/storetest", "e2e"}, "code that ships does not carry the test framework"},
}

// imports are what one package says: path is relative to the module.
type imports struct {
	path  string
	code  []string
	tests []string
}

// violations says which imports break the rules, each with the rule's reason.
func violations(packages []imports) []string {
	var found []string
	for _, p := range packages {
		rule, ok := ruleFor(p.path)
		if !ok {
			found = append(found, fmt.Sprintf("%s is in no layer: add its line to internal/harness/layers/rules.go", p.path))
			continue
		}
		for _, imported := range p.code {
			if why := forbidden(p.path, rule, imported, false); why != "" {
				found = append(found, fmt.Sprintf("%s imports %s: %s", p.path, imported, why))
			}
		}
		for _, imported := range p.tests {
			if why := forbidden(p.path, rule, imported, true); why != "" {
				found = append(found, fmt.Sprintf("%s imports %s in a test: %s", p.path, imported, why))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// forbidden says why the package at path, ruled by rule, must not import the other; "" when it may.
func forbidden(path string, rule layer, imported string, inTest bool) string {
	if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
		allowed := slices.Contains(rule.may, everything) || ours == path || below(ours, rule.folder) && !ruledApart(ours, rule)
		for _, may := range rule.may {
			target, _ := ruleFor(ours)
			allowed = allowed || target.folder == may
		}
		if below(ours, harness) && !below(path, harness) && !below(path, "e2e") {
			allowed = false
		}
		if inTest {
			allowed = allowed || slices.ContainsFunc(forTests, func(folder string) bool { return below(ours, folder) })
		}
		if !allowed {
			return rule.why
		}
		return ""
	}
	if inTest {
		return ""
	}
	for _, rule := range outside {
		if below(imported, rule.path) && !slices.ContainsFunc(rule.by, func(folder string) bool { return below(path, folder) }) {
			return rule.why
		}
	}
	return ""
}

// ruledApart says that a package below the rule's folder has a line of its own.
func ruledApart(path string, rule layer) bool {
	own, ok := ruleFor(path)
	return ok && own.folder != rule.folder
}

// ruleFor finds the longest folder in the table that holds the package.
func ruleFor(path string) (layer, bool) {
	var best layer
	for _, l := range layers {
		if below(path, l.folder) && len(l.folder) > len(best.folder) {
			best = l
		}
	}
	return best, best.folder != ""
}

// below says that path is folder, or in it.
func below(path, folder string) bool {
	rest, ok := strings.CutPrefix(path, folder)
	return ok && (rest == "" || rest[0] == '/')
}
