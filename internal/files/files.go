// Package files reads and replaces the files that an operator names: a configuration, a schema, what is in a model's folder, the output of a
// command. Only regular files are read, and texts within a bound: a pipe has no end until somebody writes to it, a device may have none at
// all, and whoever reads one heeds no signal.
package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ErrKind is wrapped where a path leads to something else than a regular file.
var ErrKind = errors.New("want a regular file")

// Open a regular file for reading. It does not wait, whatever the path leads to.
func Open(path string) (*os.File, error) {
	// Who opens a pipe waits for somebody who writes, unless he says that he will not. Regular files do not care.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		// Some things cannot be opened at all, such as sockets; what they are helps more than that.
		if stat, statErr := os.Stat(path); statErr == nil && !stat.Mode().IsRegular() {
			return nil, kindError(path, stat.Mode())
		}
		return nil, err
	}
	stat, err := file.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = kindError(path, stat.Mode())
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Read all of a regular file that has at most so many bytes.
func Read(path string, most int64) ([]byte, error) {
	file, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// The size that a file says may be wrong: those of /proc say 0.
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes: want a smaller file, is it the right one?", path, most)
	}
	return data, nil
}

// ReadText reads a text as Read does. The byte-order mark that some editors put at its head is no part of it.
func ReadText(path string, most int64) ([]byte, error) {
	data, err := Read(path, most)
	if err != nil {
		return nil, err
	}
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(data, []byte(mark)) {
			return nil, fmt.Errorf("%s is UTF-16: want it saved as UTF-8", path)
		}
	}
	return TrimMark(data), nil
}

// TrimMark is a text without a byte-order mark at its head.
func TrimMark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) }

// Check that a path leads to a regular file or to a folder.
func Check(path string) error {
	stat, err := os.Stat(path)
	if err == nil && !stat.IsDir() && !stat.Mode().IsRegular() {
		err = kindError(path, stat.Mode())
	}
	return err
}

func kindError(path string, mode fs.FileMode) error {
	what := "is neither a file nor a folder"
	for _, kind := range []struct {
		mode fs.FileMode
		what string
	}{{fs.ModeDir, "is a folder"}, {fs.ModeNamedPipe, "is a pipe"}, {fs.ModeSocket, "is a socket"}, {fs.ModeDevice, "is a device"}} {
		if mode&kind.mode != 0 {
			what = kind.what
			break
		}
	}
	return fmt.Errorf("%s %s: %w", path, what, ErrKind)
}
