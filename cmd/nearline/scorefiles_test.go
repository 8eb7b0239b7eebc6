package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nearline/internal/plain"
	"nearline/offline"
	"nearline/pipeline"
)

const review = `{"review_id":"r1","text":"Good."}` + "\n"

// scored folder has an input, yesterday's output and rejects, and what leads to them by other names.
func scoredFolder(t *testing.T) (at func(string) string) {
	t.Helper()
	folder := t.TempDir()
	at = func(name string) string { return filepath.Join(folder, name) }
	write(t, at("in"), review)
	write(t, at("out"), "yesterday\n")
	write(t, at("rejects"), "yesterday's\n")
	for link, to := range map[string]string{"link": "in", "outlink": "out"} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(at("in"), at("hard")); err != nil {
		t.Fatal(err)
	}
	return at
}

// contents of all files in a folder.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[entry.Name()] = string(data)
	}
	return all
}

func TestScoreThatCannotBeginDestroysNothing(t *testing.T) {
	models := repository(t)
	for _, c := range []struct {
		name, args string // @ is the folder
		says       []string
	}{
		{"into its input", "--in @in --out @in", []string{"--in", "--out", "the same file"}},
		{"into its input, by a link", "--in @in --out @link", []string{"the same file"}},
		{"into its input, by a hard link", "--in @hard --out @in", []string{"the same file"}},
		{"rejects into the input", "--in @in --rejects @link", []string{"--rejects", "the same file"}},
		{"both outputs into one", "--in @in --out @out --rejects @outlink", []string{"--out", "--rejects", "the same file"}},
		{"both outputs into a new one", "--in @in --out @new --rejects @./new", []string{"the same file"}},
		{"a model that is not there", "--in @in --out @out --rejects @rejects --model sentimnt", []string{"sentimnt"}},
		{"an input that is not there", "--in @none --out @out --rejects @rejects", []string{"--in"}},
		{"an input that is a folder", "--in @. --out @out", []string{"--in", "is a folder"}},
		{"rejects that cannot be", "--in @in --out @out --rejects @none/rejects", []string{"--rejects", "there is no folder"}},
		{"an out that is a folder", "--in @in --out @.", []string{"--out", "folder"}},
		{"a path that is none", "--in @in --out @out --copy a..b", []string{`"a..b"`}},
		{"a line that is none", "--in @in --out @out --from-line 0", []string{"--from-line is 0"}},
		{"a line beyond the end", "--in @in --out @out --from-line 3", []string{"only 1 lines", "line 3"}},
		{"a limit that is none", "--in @in --out @out --max-rejects many", []string{"--max-rejects", "1%"}},
		{"a model's file", "--in @in --out " + filepath.Join(models, "sentiment", "1", "nearline.yaml"), []string{"--out", "a file of the models"}},
		{"a new file of a model", "--in @in --out " + filepath.Join(models, "sentiment", "1", "items.txt"), []string{"--out", "a file of the models"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := scoredFolder(t)
			before := contents(t, at("."))
			args := []string{"score", "--models", models, "--model", "sentiment"}
			for arg := range strings.FieldsSeq(c.args) {
				if name, ok := strings.CutPrefix(arg, "@"); ok {
					arg = at(".") + "/" + name
				}
				args = append(args, arg)
			}
			execute(t, "", args...).fails(t, c.says...)
			if after := contents(t, at(".")); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("got %q, want all as it was, %q", after, before)
			}
			if got, err := os.ReadFile(filepath.Join(models, "sentiment", "1", "nearline.yaml")); err != nil || string(got) != constant {
				t.Errorf("the model is %q (%v), want it as it was", got, err)
			}
		})
	}
}

// Who reads what the shell has opened has no name for it.
func TestScoreRefusesToReplaceItsStandardInput(t *testing.T) {
	at := scoredFolder(t)
	in, err := os.Open(at("in"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c := program(t, "score", "--model", "sentiment", "--models", repository(t), "--out", at("link"))
	c.Stdin = in
	said, err := c.CombinedOutput()
	if err == nil {
		t.Error("got exit status 0, want that the run is refused")
	}
	wantAll(t, "standard error", string(said), "standard input", "the same file")
	if got := contents(t, at("."))["in"]; got != review {
		t.Errorf("got %q, want the input as it was", got)
	}
}

func TestScoreReplacesItsOutputsWhenAllIsThere(t *testing.T) {
	at := scoredFolder(t)
	r := execute(t, "", "score", "--model", "sentiment", "--models", repository(t), "--in", at("in"), "--out", at("outlink"), "--rejects", at("rejects"))
	r.ok(t)
	all := contents(t, at("."))
	if !strings.HasPrefix(all["out"], `{"review_id":"r1"`) || all["rejects"] != "" || len(all) != 6 {
		t.Errorf("got %q, want one answer, no rejects, and nothing left over", all)
	}
}

// Where the folder of a job is its repository, too, what it wrote yesterday is no model's.
func TestScoreWritesBesideTheModelsEveryDay(t *testing.T) {
	folder := repository(t)
	t.Chdir(folder)
	write(t, "in", review)
	write(t, "2026/11/in", review)
	write(t, "nearline.yaml", `
kafka: {brokers: ["kafka:9092"]}
models: {repository: .}
`+jobPipeline)
	for _, out := range []string{"scored.jsonl", "2026/11/scored.jsonl", "sentiment/scored.jsonl"} {
		for range 2 {
			execute(t, "", "score", "--config", "nearline.yaml", "--pipeline", "job", "--in", "in", "--out", out, "--rejects", "rejects.jsonl").ok(t)
			execute(t, "", "score", "--models", ".", "--model", "sentiment", "--in", "in", "--out", out).ok(t)
		}
	}
	if err := os.Symlink("sentiment/1", "current"); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{"sentiment/1/scored.jsonl", "current/nearline.yaml"} {
		execute(t, "", "score", "--config", "nearline.yaml", "--pipeline", "job", "--in", "in", "--out", out).fails(t, "--out "+out, "a file of the models")
	}
}

func TestScoreThatRejectsTooMuchFails(t *testing.T) {
	models := repository(t)
	lines := strings.Repeat(review+"bad\n", 5)
	for _, c := range []struct {
		name, in string
		args     []string
		says     string // "" for a run that is right
	}{
		{"all", "bad\nworse\n", nil, "all 2 lines were rejected, as decode (2)"},
		{"all, which no flag allows", "bad\n", []string{"--max-rejects", "100%"}, "all 1 lines were rejected"},
		{"half, where nobody minds", lines, nil, ""},
		{"half, and so many may be", lines, []string{"--max-rejects", "50%"}, ""},
		{"half, and fewer may be", lines, []string{"--max-rejects", "49.5%"}, "5 of 10 lines were rejected, as decode (5): more than --max-rejects 49.5%"},
		{"five, and so many may be", lines, []string{"--max-rejects", "5"}, ""},
		{"five, and four may be", lines, []string{"--max-rejects", "4"}, "more than --max-rejects 4 lines were rejected"},
		{"five, and none may be", lines, []string{"--max-rejects", "0"}, "more than --max-rejects 0 lines were rejected"},
		{"nothing of nothing", "", []string{"--max-rejects", "0"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := scoredFolder(t)
			write(t, at("in"), c.in)
			r := execute(t, "", append([]string{"score", "--model", "sentiment", "--models", models, "--in", at("in"), "--out", at("out"), "--rejects", at("rejects")}, c.args...)...)
			all := contents(t, at("."))
			if got, want := strings.Count(all["rejects"], "\n"), strings.Count(c.in, "bad")+strings.Count(c.in, "worse"); got != want {
				t.Errorf("got %d rejects, want %d: %q", got, want, all["rejects"])
			}
			if c.says == "" {
				r.ok(t)
				if got, want := strings.Count(all["out"], "\n"), strings.Count(c.in, review); got != want {
					t.Errorf("got %d answers, want %d", got, want)
				}
				return
			}
			r.fails(t, c.says)
			if status(r.failure) != 3 || all["out"] != "yesterday\n" {
				t.Errorf("got status %d and output %q, want 3 and what was there", status(r.failure), all["out"])
			}
		})
	}
}

// A disk that is full takes some of a line. What is kept ends before it, and the rest goes on from there.
func TestScoreThatFailsKeepsWholeLinesAndSaysHowToGoOn(t *testing.T) {
	at := scoredFolder(t)
	s := &scoreFiles{flags: scoreFlags{out: at("out"), rejects: at("rejects"), from: 1}}
	if err := s.begin(nil); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left on device")
	for to, text := range map[string]string{"out": "one\nthree\nfo", "rejects": "two\n"} {
		file := s.outFile
		if to == "rejects" {
			file = s.rejectsFile
		}
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	err := s.end(offline.Stats{Lines: 3, Scored: 2, Rejected: map[pipeline.Class]int64{"decode": 1}, OutBytes: 10, RejectBytes: 4}, full)
	if !errors.Is(err, full) {
		t.Fatalf("got %v, want the disk's error", err)
	}
	wantAll(t, "the error", err.Error(), "lines 1 to 3 are done", at("out.partial"), at("rejects.partial"), "--from-line 4")
	all := contents(t, at("."))
	if all["out.partial"] != "one\nthree\n" || all["rejects.partial"] != "two\n" || all["out"] != "yesterday\n" || all["rejects"] != "yesterday's\n" {
		t.Errorf("got %q, want whole lines, and the files as they were", all)
	}
}

func TestScoreGoesOnFromALine(t *testing.T) {
	at := scoredFolder(t)
	write(t, at("in"), "bad\n\n"+review+"worse\n"+strings.ReplaceAll(review, "r1", "r2"))
	r := execute(t, "", "score", "--model", "sentiment", "--models", repository(t), "--in", at("in"), "--out", at("out"), "--rejects", at("rejects"), "--from-line", "4")
	r.ok(t)
	wantAll(t, "standard error", r.err, "2 lines: 1 scored, 1 rejected, in")
	all := contents(t, at("."))
	if strings.Count(all["out"], "\n") != 1 || !strings.Contains(all["out"], `"r2"`) || !strings.Contains(all["rejects"], `"line":4,`) {
		t.Errorf("got %q, want lines 4 and 5 under their numbers", all)
	}
}

func packed(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestGzipIsReadWhateverItIsCalled(t *testing.T) {
	models, broker := repository(t), startBroker(t)
	at := scoredFolder(t)
	write(t, at("in.jsonl"), packed(t, review)+packed(t, review)) // as gzip's own concatenation makes it
	score := []string{"score", "--model", "sentiment", "--models", models}
	for _, r := range []result{
		execute(t, "", append(score, "--in", at("in.jsonl"))...),
		execute(t, packed(t, review+review), score...),
	} {
		r.ok(t)
		if strings.Count(r.out, `"review_id":"r1"`) != 2 {
			t.Errorf("got %q, want two answers", r.out)
		}
	}
	sent := execute(t, "", "send", "--kafka", broker, at("in.jsonl"))
	sent.ok(t)
	wantAll(t, "standard error", sent.err, "2 records sent")
	write(t, at("cut"), packed(t, strings.Repeat(review, 1000))[:60])
	execute(t, "", append(score, "--in", at("cut"), "--out", at("out"))...).fails(t, "damaged or cut off")
	if got := contents(t, at("."))["out"]; got != "yesterday\n" {
		t.Errorf("got %q, want what was there", got)
	}
}

func TestWhatIsNoFileOfLinesIsNamedWithWhatToDo(t *testing.T) {
	models, broker := repository(t), startBroker(t)
	_, shop := startShop(t)
	for _, c := range []struct {
		name, in string
		says     []string
		binary   bool
	}{
		{"CSV", "review_id,text\nr1,\"Good, really.\"\n", []string{"is CSV", "csv.DictReader"}, false},
		{"semicolons", "review_id;text\nr1;Good\nr2;Bad\n", []string{"is CSV"}, false},
		{"CSV in gzip", packed(t, "review_id,text\nr1,Good\n"), []string{"is CSV"}, false},
		{"an array", "[\n  {\"review_id\":\"r1\"}\n]\n", []string{"a JSON array", "jq -c '.[]'"}, false},
		{"an array on a line", `[{"review_id":"r1"},{"review_id":"r2"}]`, []string{"a JSON array"}, false},
		{"indented JSON", "\ufeff{\n  \"review_id\": \"r1\"\n}\n", []string{"several lines", "jq -c ."}, false},
		{"Parquet", "PAR1\x15\x04\x15\x80\x00\xff", []string{"is Parquet", "duckdb"}, true},
		{"zstd", "\x28\xb5\x2f\xfd\x24\x00\x01", []string{"zstd -dc"}, true},
		{"UTF-16", "\xff\xfe{\x00", []string{"UTF-16", "iconv"}, true},
		{"something else without a zero", "\xa7\x02\x1b\xff\xfe" + strings.Repeat("\xf1\x07q", 20) + "\n", []string{"is binary"}, false},
		{"something else", "\x7fELF\x02\x01\x01\x00\n", []string{"is binary"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "in")
			write(t, file, c.in)
			runs := map[string][]string{
				"score": {"score", "--model", "sentiment", "--models", models, "--in"},
				"rows":  {"features", "export", "--config", shop, "--view", "item", "--rows"},
				"keyed": {"send", "--kafka", broker, "--key", "item_id"},
			}
			if c.binary { // a line that is sent may be anything else
				runs["send"] = []string{"send", "--kafka", broker}
			}
			for what, args := range runs {
				says := append([]string{file, "want JSON lines"}, c.says...)
				execute(t, "", append(slices.Clone(args), file)...).fails(t, says...)
				switch what {
				case "score":
					args = args[:len(args)-1]
				case "rows":
					args = append(slices.Clone(args), "-")
				}
				execute(t, c.in, args...).fails(t, append([]string{"standard input"}, c.says...)...)
			}
		})
	}
}

// Lines that look like something else are lines.
func TestLinesAreTakenForNothingElse(t *testing.T) {
	models := repository(t)
	for name, in := range map[string]string{
		"a bad first line":       "no JSON\n" + review,
		"commas in bad lines":    "a,b\nc,d\n" + review,
		"an array among objects": "[1,2]\n" + review,
		"one line":               strings.TrimSpace(review),
		"blank lines":            "\n \n\r\n" + review,
	} {
		r := execute(t, in, "score", "--model", "sentiment", "--models", models)
		if r.failure != nil || strings.Count(r.out, "\n") != 1 {
			t.Errorf("%s: got %v and %q, want one answer", name, r.failure, r.out)
		}
	}
}

func TestBinaryReachesNoTerminal(t *testing.T) {
	broker := startBroker(t)
	sent := execute(t, "\x1b[2J\xff\n", "send", "--kafka", broker, "--topic", "reviews.raw")
	sent.ok(t)
	var out, errs bytes.Buffer
	c := command()
	c.SetIn(strings.NewReader("{\"review_id\":\"r\u009b1\",\"text\":\"Good.\"}\n\x1b[2J\u009b\xff\n"))
	c.SetOut(&plain.Writer{To: &out})
	c.SetErr(&errs)
	c.SetArgs([]string{"score", "--model", "sentiment", "--models", repository(t)})
	if err := c.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"standard output": out.String(), "standard error": errs.String()} {
		if plain.DrivesTerminal(text) || !strings.Contains(text, `\u009b`) {
			t.Errorf("%s: got %q, want what it says, and nothing that drives a terminal", what, text)
		}
	}
}
