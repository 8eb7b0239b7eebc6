package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestSlipsAreAnsweredWithWhatWasMeant(t *testing.T) {
	config := configFile(t, "127.0.0.1:1")
	models := repository(t)
	for args, says := range map[string][]string{
		"check tickets.yaml":                           {"did you mean nearline check --config tickets.yaml?"},
		"run tickets.yml":                              {"did you mean nearline run --config tickets.yml?"},
		"topics create":                                {"did you mean --create?"},
		"check":                                        {"--config is missing", "nearline check --config FILE"},
		"run -c tickets.yaml":                          {"did you mean --config?"},
		"score in.jsonl":                               {"did you mean nearline score --in in.jsonl?"},
		"score tickets.yaml":                           {"did you mean nearline score --config tickets.yaml?"},
		"score --in in.jsonl":                          {"nearline score wants --model or --config"},
		"score --config tickets.yaml":                  {"--config wants --pipeline NAME, too"},
		"score --config a --pipeline b --model c":      {"--config and --model exclude each other"},
		"score --modell sentiment":                     {"unknown flag: --modell: did you mean --model?"},
		"score --model":                                {"flag needs an argument: --model NAME"},
		"score --model sentiment/1 --models " + models: {"want the name alone", "--model sentiment", "models.versions"},
		"score --models " + models + " --model zoo/sentiment":  {"did you mean --models zoo --model sentiment?"},
		"score --models " + models + " --model zoo/sentiment/": {"did you mean --models zoo --model sentiment?"},
		"features export --config a x.jsonl":                   {"did you mean nearline features export --rows x.jsonl?"},
		"features exprot":                                      {"did you mean nearline features export?"},
		"tail reviews.scored":                                  {"did you mean nearline tail --topic reviews.scored?"},
		"tail --kafka http://localhost:9092":                   {"--kafka is", "want HOST:PORT"},
		"tail --max -1":                                        {"--max is -1: want 0 or more"},
		"send --rate -1":                                       {"--rate is -1: want 0 or more"},
		"send a b":                                             {"wants [FILE], and got 2 arguments: a b"},
		"send --kafka 127.0.0.1:1":                             {"is the broker up", "--kafka HOST:PORT", "nearline dev"},
		"dlq lst":                                              {"did you mean nearline dlq list?", "replay"},
		"dlq frobnicate":                                       {"want one of count, dismiss, list"},
		"dlq --config x":                                       {"put it after that"},
		"dlq list reviews.raw.dlq":                             {"did you mean nearline dlq list --topic reviews.raw.dlq?"},
		"dlq list --config a --kafka b":                        {"--config and --kafka exclude each other", "leave one of them out"},
		"dlq list --config " + config:                          {"is the broker up", "kafka.brokers of the configuration"},
		"dlq show":                                             {"wants PARTITION/OFFSET, such as nearline dlq show 3/17"},
		"dlq list --limit many":                                {`--limit is "many": want a whole number`},
		"health foo --url http://127.0.0.1:1":                  {"foo: no answer", "the pages are healthz, readyz, streamz"},
		"health tickets.yaml":                                  {"did you mean nearline health --config tickets.yaml?"},
		"health --url localhost:8080":                          {"want one with its scheme", "http://"},
		"dev --for 10":                                         {`--for is "10": want a duration with its unit`},
		"dev --rate fast":                                      {`--rate is "fast": want a number`},
		"dev --sample=maybe":                                   {`--sample is "maybe": want true or false`},
		"dev --for -5s":                                        {"--for is -5s: want 0s or more"},
		"models inspect":                                       {"wants FOLDER, such as nearline models inspect models/zoo/sentiment/2"},
		"models inspect " + models + "/sentiment":              {"has versions of a model", filepath.Join(models, "sentiment", "1")},
		"models inspect nowhere":                               {"there is no folder nowhere"},
	} {
		t.Run(args, func(t *testing.T) { execute(t, "", strings.Fields(args)...).fails(t, says...) })
	}
}

func TestRunNamesTheKeyOfAPortThatIsTakenAndNoFlagThatItLacks(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := filepath.Join(t.TempDir(), "nearline.yaml")
	write(t, path, strings.ReplaceAll(readFile(t, configFile(t, "127.0.0.1:1")), "127.0.0.1:0", taken.Addr().String()))
	r := execute(t, "", "run", "--config", path)
	r.fails(t, "choose another address with serving.http")
	if strings.Contains(r.failure.Error(), "--http") {
		t.Errorf("got %v, which names a flag that run does not have", r.failure)
	}
}

func TestVersionIsAFlagToo(t *testing.T) {
	r := execute(t, "", "--version")
	r.ok(t)
	if same := execute(t, "", "version"); r.out != same.out {
		t.Errorf("got %q and %q, want the same", r.out, same.out)
	}
}

func TestCheckSaysWhichCommandMakesTopics(t *testing.T) {
	file := configFile(t, startBroker(t))
	path := filepath.Join(t.TempDir(), "nearline.yaml")
	write(t, path, strings.ReplaceAll(readFile(t, file), "reviews.scored", "elsewhere"))
	r := execute(t, "", "check", "--config", path)
	wantAll(t, "the check", r.out, "topic elsewhere: it does not exist: create it, as nearline topics --config "+path+" --create does")
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	return strings.Join(readLines(t, path), "\n")
}
