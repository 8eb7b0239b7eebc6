package files

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Use is a file that a command reads or writes.
type Use struct {
	name    string // as the operator knows it, such as --out FILE
	path    string // links resolved; "" for a stream
	info    fs.FileInfo
	written bool
}

// Reads says that a command reads the file that a flag names.
func Reads(flag, path string) Use { return named(flag, path, false) }

// Writes says that a command writes the file that a flag names.
func Writes(flag, path string) Use { return named(flag, path, true) }

func named(flag, path string, written bool) Use {
	u := Use{name: flag + " " + path, written: written}
	if to, err := resolve(path); err == nil { // otherwise whoever opens it says why
		u.path, u.info = to.path, to.info
	}
	return u
}

// ReadsStream and WritesStream are for what the shell has opened; nil, or what is no file, is like nothing else.
func ReadsStream(name string, stream any) Use { return streamed(name, stream, false) }

// WritesStream is ReadsStream for what is written.
func WritesStream(name string, stream any) Use { return streamed(name, stream, true) }

func streamed(name string, stream any, written bool) Use {
	u := Use{name: name, written: written}
	if file, ok := stream.(*os.File); ok && file != nil {
		if info, err := file.Stat(); err == nil {
			u.info = info
		}
	}
	return u
}

// Distinct refuses that a file is written which is used for something else too, under whatever name: by a link, by a hard link, or by what
// the shell has opened. Devices may be shared, such as a terminal or /dev/null. So may two streams that are both written: whoever writes
// 2>&1 means it.
func Distinct(uses ...Use) error {
	for i, a := range uses {
		for _, b := range uses[i+1:] {
			if !a.written && !b.written || a.path == "" && b.path == "" && a.written && b.written {
				continue
			}
			if a.same(b) {
				return fmt.Errorf("%s and %s are the same file: want another one for each, or the one would destroy the other", a.name, b.name)
			}
		}
	}
	return nil
}

// Inside says that a path leads to a file in a folder or below it, or that one would be made there.
func Inside(path, folder string) bool {
	to, err := resolve(path)
	if err != nil || folder == "" {
		return false
	}
	real, err := filepath.EvalSymlinks(folder)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	return err == nil && strings.HasPrefix(to.path, real+string(filepath.Separator))
}

func (u Use) same(v Use) bool {
	switch {
	case u.info != nil && v.info != nil:
		if u.path == "" && v.path == "" && !u.info.Mode().IsRegular() {
			return false // one socket for both directions
		}
		return u.info.Mode()&(fs.ModeDevice|fs.ModeCharDevice) == 0 && os.SameFile(u.info, v.info)
	case u.info == nil && v.info == nil:
		return u.path != "" && u.path == v.path
	}
	return false
}
