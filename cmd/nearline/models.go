package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"nearline/internal/dev"
	"nearline/internal/tables"
	"nearline/models"
	"nearline/models/folder"
	"nearline/pipeline"
)

func modelsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "models",
		Short: "Look at models: what a folder holds, what a repository has",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(inspectCommand(), listCommand())
	return c
}

func inspectCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "inspect FOLDER",
		Short: "Say what a model folder holds, whether it loads, and how fast it is here",
		Long: `Reads a model folder (config.json, tokenizer.json, model.onnx and what else an export writes), tries it on the CPU and on a GPU
where there is one, and prints what was found with the configuration to run it by. If the folder does not load, it prints
everything that is wrong with it, and the exit status is 1. Nothing is written.`,
		Example: `  nearline models inspect models/zoo/sentiment/2
  nearline models inspect ./my-export --no-speed --json`,
		Args: cobra.ExactArgs(1),
	}
	asJSON := c.Flags().Bool("json", false, "print JSON instead, for programs")
	noSpeed := c.Flags().Bool("no-speed", false, "do not measure how fast it is: some seconds less")
	runtime := c.Flags().String("onnxruntime", "", "`FILE` of ONNX Runtime's library (default: where make puts it)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := versionsIn(args[0]); err != nil {
			return err
		}
		config := models.DefaultConfig()
		config.Runtime = *runtime
		waiting := !*noSpeed && dev.IsTerminal(os.Stderr)
		if waiting {
			fmt.Fprint(os.Stderr, "loading and measuring...\r")
		}
		report, err := models.Inspect(c.Context(), config, args[0], models.InspectOptions{Speed: !*noSpeed})
		if waiting {
			fmt.Fprint(os.Stderr, ansi.EraseEntireLine)
		}
		if err != nil {
			return err
		}
		if *asJSON {
			encoder := json.NewEncoder(c.OutOrStdout())
			encoder.SetIndent("", "  ")
			encoder.SetEscapeHTML(false)
			err = encoder.Encode(report)
		} else {
			describeModel(c.OutOrStdout(), report)
		}
		if err == nil && len(report.Problems) > 0 {
			err = errTold
		}
		return err
	}
	return c
}

// versionsIn refuses a folder that has a model's versions, or a whole repository, and a name in place of a folder.
func versionsIn(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		if shipped, found := findModels(); found == nil {
			if versions, err := folder.Versions(shipped, path); err == nil && len(versions) > 0 {
				return fmt.Errorf("there is no folder %s: did you mean %s?", path, filepath.Join(shipped, path, strconv.Itoa(versions[len(versions)-1])))
			}
		}
		return fmt.Errorf("there is no folder %s (%w): want that of a model, which has its model.onnx or nearline.yaml", path, syscall.ENOENT)
	}
	if err != nil || len(entries) == 0 { // which whoever reads it names
		return nil //nolint:nilerr // see above
	}
	var versions []string
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil || !entry.IsDir() {
			return nil //nolint:nilerr // it has something else, as a model has
		}
		versions = append(versions, filepath.Join(path, entry.Name()))
	}
	return fmt.Errorf("%s has versions of a model: want one of them: %s", path, strings.Join(versions, ", "))
}

// describeModel prints a report for people: a line a fact, tables aligned, nothing that a pipe would not want.
func describeModel(out io.Writer, r *models.Report) {
	fact := func(name, format string, args ...any) {
		lines := strings.Split(ansi.Wordwrap(fmt.Sprintf(format, args...), 100, ""), "\n")
		fmt.Fprintf(out, "%-11s %s\n", name, strings.Join(lines, "\n"+strings.Repeat(" ", 12)))
	}
	fact("folder", "%s, %s on disk", r.Folder, size(r.Bytes))
	if r.Version > 0 {
		fact("model", "%s version %d", r.Name, r.Version)
	} else {
		fact("model", "%s", r.Name)
	}
	if r.Task != "" {
		fact("task", "%s", r.Task)
	}
	for _, column := range r.Columns {
		fact("column", "%s", describeColumn(column))
	}
	if t := r.Tokenizer; t != nil {
		fact("tokenizer", "%s, %d tokens", t.Kind, t.Vocabulary)
	}
	if len(r.Reads) > 0 {
		fact("reads", "%s", columnList(r.Reads))
	}
	if r.MaxTokens > 0 {
		fact("text", "up to %d tokens (said by %s)", r.MaxTokens, r.LimitFrom)
	}
	if g := r.Graph; g != nil {
		fact("graph", "%s", strings.TrimSuffix(fmt.Sprintf("%s, opset %d, by %s", g.File, g.Opset, g.Producer), ", by "))
		fact("inputs", "%s", strings.Join(g.Inputs, ", "))
		fact("outputs", "%s", strings.Join(g.Outputs, ", "))
		if g.Weights > 0 {
			fact("precision", "%s (%s of them)", g.Precision, count(g.Weights))
		}
		if g.Alone == "" {
			fact("batches", "rows may share one: nothing in the graph makes them move each other's answers")
		} else {
			fact("batches", "of one row, so that neighbours do not matter: %s", g.Alone)
		}
	}
	if len(r.Problems) == 0 && r.Golden > 0 {
		fact("golden", "%d of %d examples reproduced, scores within %v", r.Golden, r.Golden, r.Tolerance)
	}
	describeSpeed(out, fact, r.Devices)
	for _, warning := range r.Warnings {
		fact("warning", "%s", warning)
	}
	if len(r.Problems) > 0 {
		for _, problem := range r.Problems {
			fact("WRONG", "%s", problem)
		}
		fmt.Fprintf(out, "\nIt does not load: %s.\n", things(len(r.Problems)))
		return
	}
	describeConfig(out, r)
}

func describeColumn(c folder.Column) string {
	text := c.Name + ": " + c.Kind
	usual := map[string]string{"classification": "softmax", "multi_label": "sigmoid", "score": "identity"}[c.Kind]
	if c.Activation != "" && c.Activation != usual {
		text += " through " + c.Activation
	}
	if n := len(c.Labels); n > 0 {
		const most = 12
		text += " as " + strings.Join(c.Labels[:min(n, most)], ", ")
		if n > most {
			text += fmt.Sprintf(" and %d more", n-most)
		}
	}
	return text
}

func describeSpeed(out io.Writer, fact func(string, string, ...any), devices []models.DeviceFacts) {
	for _, d := range devices {
		if d.Missing != "" {
			fact("device", "%s is not here: %s", d.Device, d.Missing)
			continue
		}
		slots := "one slot"
		if d.Slots > 1 {
			slots = fmt.Sprintf("%d slots at once", d.Slots)
		}
		fact("device", "%s, %s, ready in %.1f s", d.Device, slots, d.Load)
		if len(d.Paces) == 0 {
			continue
		}
		table := tables.New(3, "tokens a text", "batch", "texts/s", "tokens/s")
		if d.Paces[0].Tokens == 0 {
			table = tables.New(3, "batch", "rows/s")
		}
		table.Right, table.Indent = true, 12 // where facts begin
		for _, p := range d.Paces {
			batch, texts := strconv.Itoa(p.Batch), rounded(p.Texts)
			if p.Tokens == 0 {
				table.Row(batch, texts)
				continue
			}
			table.Row(strconv.Itoa(p.Tokens), batch, texts, rounded(p.Texts*float64(p.Tokens)))
		}
		_ = table.Write(out) // which is printed to like that everywhere
	}
}

func rounded(number float64) string { return strconv.FormatFloat(number, 'f', 0, 64) }

// describeConfig prints what to paste.
func describeConfig(out io.Writer, r *models.Report) {
	path, err := filepath.Abs(r.Folder)
	if err != nil {
		path = r.Folder
	}
	name := topical(r.Name)
	if r.Version > 0 && name == r.Name {
		fmt.Fprintf(out, "\nIt loads. Run it with\n\n%s", snippet(filepath.Dir(filepath.Dir(path)), r.Name, r.Reads))
		return
	}
	fmt.Fprintf(out, "\nIt loads. Put it into a repository:\n\n  mkdir -p my-models/%[1]s && cp -r %[2]s my-models/%[1]s/1\n\nand run it with\n\n%[3]s",
		name, quoted(r.Folder), snippet("my-models", name, r.Reads))
}

// columnList names columns, each with what it has if that is not a number.
func columnList(columns []pipeline.Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.String()
	}
	return strings.Join(names, ", ")
}

// topical makes a name that topics, groups and folders may have.
func topical(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 128 && (r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '-'
	}, name)
}

// snippet is a configuration that runs a model, with its columns if it reads such; the names of topics are made up of its own.
func snippet(repository, name string, reads []pipeline.Column) string {
	mapping, inputs := "{id: id, text: text}", ""
	if len(reads) > 0 {
		const most = 6
		var columns []string
		for _, c := range reads[:min(most, len(reads))] {
			columns = append(columns, fmt.Sprintf("%s: %[1]s", c.Name))
		}
		mapping, inputs = "{id: id}", ", inputs: {"+strings.Join(columns, ", ")+"}"
		if len(reads) > most { // all by their names
			inputs = ""
		}
	}
	return fmt.Sprintf(`kafka: {brokers: ["localhost:9092"]}
models: {repository: %[1]q}
pipelines:
  - name: %[2]s
    input: {topic: %[2]s.in, map: %[3]s}
    steps: [{predict: {model: %[2]s%[4]s}}]
    output: {topic: %[2]s.out}
    dead_letters: %[2]s.dlq
`, repository, name, mapping, inputs)
}

// quoted is a path as a shell takes it.
func quoted(path string) string {
	if strings.ContainsAny(path, " '\"$&;()*?\\") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

// count is a number of weights.
func count(n int64) string {
	if n >= 1e5 {
		return fmt.Sprintf("%.1f million", float64(n)/1e6)
	}
	return strconv.FormatInt(n, 10)
}

func size(bytes int64) string {
	switch {
	case bytes >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
	case bytes >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%.1f kB", float64(bytes)/1e3)
}

func listCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list [FOLDER]",
		Short: "List the models and versions of a repository",
		Example: `  nearline models list
  nearline models list my-models --json`,
		Args: cobra.MaximumNArgs(1),
	}
	asJSON := c.Flags().Bool("json", false, "print JSON instead, for programs")
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		var repository string
		if len(args) == 1 {
			repository = args[0]
		} else if repository, err = findModels(); err != nil {
			return err
		}
		entries, err := folder.List(repository)
		if err != nil {
			return err
		}
		if *asJSON {
			encoder := json.NewEncoder(c.OutOrStdout())
			encoder.SetIndent("", "  ")
			encoder.SetEscapeHTML(false)
			return encoder.Encode(entries)
		}
		if len(entries) == 0 {
			fmt.Fprintf(c.OutOrStdout(), "%s has no model: want folders NAME/VERSION/ in it, such as sentiment/1/\n", repository)
			return nil
		}
		table := tables.New(3, "MODEL", "VERSION", "TASK", "ANSWERS")
		for _, e := range entries {
			answers := make([]string, len(e.Columns))
			for i, column := range e.Columns {
				answers[i] = describeColumn(column)
			}
			if e.Problem != "" {
				answers = []string{"WRONG: " + e.Problem}
			}
			table.Row(e.Name, strconv.Itoa(e.Version), e.Task, strings.Join(answers, "; "))
		}
		return table.Write(c.OutOrStdout())
	}
	return c
}
