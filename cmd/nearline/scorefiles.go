package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nearline/internal/files"
	"nearline/models/folder"
	"nearline/offline"
)

// scoreFiles are what a run reads and writes. Nothing is written before everything else is known to be right.
type scoreFiles struct {
	flags        scoreFlags
	in           io.Reader
	input        io.Closer // nil for standard input
	size         int64     // of in, 0 when it is not known
	out, rejects io.Writer
	// outFile and rejectsFile are nil for streams.
	outFile, rejectsFile *files.Replacement
}

// openFiles opens the input, and makes sure that the outputs can be written and destroy nothing that the run reads. Rejects go to stderr where no
// flag names a file for them.
func openFiles(c *cobra.Command, stderr io.Writer, f scoreFlags, repository string) (_ *scoreFiles, err error) {
	s := &scoreFiles{flags: f, out: c.OutOrStdout(), rejects: stderr}
	uses := []files.Use{files.Reads("--config", f.config), files.Reads("--onnxruntime", f.runtime)}
	if f.in == "-" {
		uses = append(uses, files.ReadsStream("standard input", c.InOrStdin()))
	} else {
		uses = append(uses, files.Reads("--in", f.in))
	}
	for _, output := range []struct {
		flag, path, name string
		stream           io.Writer
	}{{"--out", f.out, "standard output", s.out}, {"--rejects", f.rejectsPath(), "standard error", s.rejects}} {
		if output.path == "-" {
			uses = append(uses, files.WritesStream(output.name, output.stream))
			continue
		}
		if err := files.Writable(output.path); err != nil {
			return nil, fmt.Errorf("%s: %w", output.flag, err)
		}
		// Beside the models there may be what a daily job writes.
		for _, version := range folder.Folders(repository) {
			if files.Inside(output.path, version) {
				return nil, fmt.Errorf("%s %s is a file of the models in %s: want another place", output.flag, output.path, repository)
			}
		}
		uses = append(uses, files.Writes(output.flag, output.path))
	}
	if err := files.Distinct(uses...); err != nil {
		return nil, err
	}
	return s, s.open(c.InOrStdin())
}

// open the input, and look what it is. What standard input is shows when it comes.
func (s *scoreFiles) open(stdin io.Reader) error {
	if s.flags.in == "-" {
		s.in = offline.NewInput(stdin, "-", true)
		return nil
	}
	in, size, err := openLines(s.flags.in, true)
	if err != nil {
		return fmt.Errorf("--in: %w", err)
	}
	s.in, s.input, s.size = in, in, size
	return nil
}

// lineFile is a file of lines.
type lineFile struct {
	*offline.Input
	io.Closer
}

// openLines opens a file of lines, and refuses what is none. The size is 0 where it does not tell how much there is to read.
func openLines(path string, objects bool) (*lineFile, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder: want a file of lines", path)
	}
	in := offline.NewInput(file, path, objects)
	var size int64
	if err == nil && info.Mode().IsRegular() { // a pipe may have nothing yet
		if err = in.Look(); err == nil && !in.Packed() {
			size = info.Size()
		}
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return &lineFile{in, file}, size, nil
}

// rejectsPath is - for standard error.
func (f scoreFlags) rejectsPath() string {
	if f.rejects == "" {
		return "-"
	}
	return f.rejects
}

// begin what is written.
func (s *scoreFiles) begin(*cobra.Command) (err error) {
	if s.flags.out != "-" {
		if s.outFile, err = files.Replace(s.flags.out); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		s.out = s.outFile
	}
	if s.flags.rejectsPath() != "-" {
		if s.rejectsFile, err = files.Replace(s.flags.rejects); err != nil {
			err = fmt.Errorf("--rejects: %w", err)
			if s.outFile != nil {
				err = errors.Join(err, s.outFile.End(false))
			}
			return err
		}
		s.rejects = s.rejectsFile
	}
	return nil
}

func (s *scoreFiles) close() {
	if s.input != nil {
		_ = s.input.Close() // it was only read
	}
}

// end puts what is whole into its place. What a run that failed has done by then is kept, and the error says how to go on.
func (s *scoreFiles) end(stats offline.Stats, failed error) error {
	var tooMany *tooManyRejects
	if judged := errors.As(failed, &tooMany); failed == nil || judged {
		err := failed
		if s.rejectsFile != nil {
			err = errors.Join(err, s.rejectsFile.End(true))
		}
		if s.outFile == nil {
			return err
		}
		if !judged || !s.outFile.Partial() {
			return errors.Join(err, s.outFile.End(true))
		}
		kept, keepErr := keep(s.outFile, stats.OutBytes)
		if kept {
			state := "is as it was"
			if _, statErr := os.Stat(s.flags.out); errors.Is(statErr, fs.ErrNotExist) {
				state = "was not made"
			}
			err = fmt.Errorf("%w; %s %s, and what was scored is in %s", err, s.flags.out, state, s.outFile.Name())
		}
		return errors.Join(err, keepErr)
	}
	return s.abandon(stats, failed)
}

// abandon a run that did not come to its end.
func (s *scoreFiles) abandon(stats offline.Stats, failed error) error {
	var where []string
	var errs []error
	for _, file := range []struct {
		what string
		file *files.Replacement
		size int64
	}{{"answers", s.outFile, stats.OutBytes}, {"rejects", s.rejectsFile, stats.RejectBytes}} {
		if file.file == nil {
			continue
		}
		kept, err := keep(file.file, file.size)
		if kept {
			where = append(where, fmt.Sprintf("%s in %s", file.what, file.file.Name()))
		}
		errs = append(errs, err)
	}
	if stats.Dealt() > 0 {
		failed = fmt.Errorf("%w: lines %d to %d are done", failed, s.flags.from, stats.Lines)
		if len(where) > 0 {
			failed = fmt.Errorf("%w, with %s, each line whole", failed, strings.Join(where, " and "))
		}
		failed = fmt.Errorf("%w; go on with --from-line %d, into other files, and put them together", failed, stats.Lines+1)
	}
	return errors.Join(failed, errors.Join(errs...))
}

// keep the first bytes of what is partial, if there are any.
func keep(file *files.Replacement, size int64) (kept bool, err error) {
	if size == 0 || !file.Keeps() {
		return false, file.End(false)
	}
	return true, file.Keep(size)
}

// rejectLimit is the flag --max-rejects: a number, or a share of the lines.
type rejectLimit struct {
	text  string
	count int64
	share float64 // 0 where count is the limit
}

func (l *rejectLimit) String() string { return l.text }
func (*rejectLimit) Type() string     { return "N" }

// Set reads the flag.
func (l *rejectLimit) Set(text string) error {
	l.text = text
	var err error
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		l.count = -1
		l.share, err = strconv.ParseFloat(percent, 64)
		if l.share /= 100; !(l.share >= 0 && l.share <= 1) { // NaN is neither
			err = errors.New("out of range")
		}
	} else if l.count, err = strconv.ParseInt(text, 10, 64); l.count < 0 {
		err = errors.New("out of range")
	}
	if err != nil {
		return errors.New("want a number of lines such as 100, or a share of them such as 1%")
	}
	return nil
}

// tooManyRejects is what a run says that rejected more lines than it may.
type tooManyRejects struct{ problem string }

func (e *tooManyRejects) Error() string { return e.problem }

// ExitStatus tells it from a run that failed.
func (*tooManyRejects) ExitStatus() int { return 3 }

// passed ends a run as soon as there are more rejects than a number. What share they are is known at the end.
func (l *rejectLimit) passed(s offline.Stats) error {
	if l.text == "" || l.count < 0 || s.Rejects() <= l.count {
		return nil
	}
	return &tooManyRejects{fmt.Sprintf("ended after line %d: more than --max-rejects %s lines were rejected", s.Lines, l.text)}
}

// judge a run that came to its end.
func (l *rejectLimit) judge(s offline.Stats) error {
	lines, rejects := s.Scored+s.Rejects(), s.Rejects()
	switch {
	case rejects > 0 && s.Scored == 0:
		return &tooManyRejects{fmt.Sprintf("all %d lines were rejected, as %s: are the flags right that say where the fields are, and is it the right file?", lines, s.Classes())}
	case l.text != "" && l.count < 0 && float64(rejects) > l.share*float64(lines):
		return &tooManyRejects{fmt.Sprintf("%d of %d lines were rejected, as %s: more than --max-rejects %s", rejects, lines, s.Classes(), l.text)}
	}
	return nil
}
