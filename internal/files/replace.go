package files

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Replacement is what a command writes into a file that an operator names. It takes the place of an older file when it is whole, and until
// then lies beside it under another name. So whatever goes wrong, what was there stays.
//
// What is no regular file, such as a pipe or /dev/stdout, is written to as it is.
type Replacement struct {
	*os.File
	path string // that it will have, links resolved; "" where the file is written to as it is
}

// partialTries bounds how many partial files of one name may lie about.
const partialTries = 1000

// Writable says what keeps a file from being written, as far as that can be known without doing so.
func Writable(path string) error {
	to, err := resolve(path)
	if err != nil {
		return err
	}
	if to.descriptor >= 0 {
		return nil
	}
	if to.info == nil {
		folder := filepath.Dir(to.path)
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return fmt.Errorf("%s: there is no folder %s: make it first", path, folder)
		}
		return nil
	}
	switch mode := to.info.Mode(); {
	case mode.IsDir():
		return fmt.Errorf("%s is a folder: want the name of a file", path)
	case mode.IsRegular():
		// A rename asks for no right to write the file that it replaces. Whoever took that right away meant it.
		file, err := os.OpenFile(to.path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return file.Close()
	}
	return nil
}

// Replace begins a file. A link stays, and what it leads to is replaced.
func Replace(path string) (*Replacement, error) {
	to, err := resolve(path)
	if err == nil {
		err = Writable(path)
	}
	switch {
	case err != nil:
		return nil, err
	case to.descriptor >= 0:
		// Opened anew it would be written from its beginning, over what others have written there.
		fd, err := syscall.Dup(to.descriptor)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		return &Replacement{File: os.NewFile(uintptr(fd), path)}, nil
	case to.info != nil && !to.info.Mode().IsRegular():
		file, err := os.OpenFile(to.path, os.O_WRONLY, 0)
		return &Replacement{File: file}, err
	}
	return begin(to)
}

// begin a partial file, with the rights of the one that it replaces.
func begin(to target) (*Replacement, error) {
	for n := 1; ; n++ {
		partial := partialName(to.path, n)
		file, err := os.OpenFile(partial, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		switch {
		case errors.Is(err, fs.ErrExist) && n < partialTries:
			continue // somebody else's, or what an earlier run has left to go on from
		case err != nil:
			return nil, err
		}
		if to.info != nil {
			if err := file.Chmod(to.info.Mode().Perm()); err != nil {
				return nil, errors.Join(err, file.Close(), os.Remove(partial))
			}
		}
		return &Replacement{file, to.path}, nil
	}
}

// partialName is the nth that a file may have before it is whole.
func partialName(path string, n int) string {
	const longest = 230 // bytes: names may have 255
	folder, name := filepath.Split(path)
	if len(name) > longest {
		name = strings.ToValidUTF8(name[:longest], "")
	}
	if n > 1 {
		name += "." + strconv.Itoa(n)
	}
	return folder + name + ".partial"
}

// Partial says that the file lies beside its place until it is whole.
func (r *Replacement) Partial() bool { return r.path != "" }

// End puts a whole file into its place, and takes one away that is not whole.
func (r *Replacement) End(whole bool) error {
	if r.path == "" {
		return r.Close()
	}
	if !whole {
		return errors.Join(r.Close(), os.Remove(r.Name()))
	}
	if err := errors.Join(r.Sync(), r.Close()); err != nil {
		return fmt.Errorf("%w: what was written is in %s", err, r.Name())
	}
	if err := os.Rename(r.Name(), r.path); err != nil {
		return fmt.Errorf("%w: what was written is whole, and in %s", err, r.Name())
	}
	return nil
}

// Keep leaves the first bytes of a partial file where they are, for somebody to go on from. What is written to as it is cannot be cut.
func (r *Replacement) Keep(size int64) error {
	if r.path == "" {
		return r.Close()
	}
	return errors.Join(r.Truncate(size), r.Sync(), r.Close())
}

// target is what a path leads to.
type target struct {
	path       string      // with all links resolved
	info       fs.FileInfo // nil where nothing is there yet
	descriptor int         // of this process, where the path names one; otherwise below 0
}

// mostLinks are followed, as many as Linux does.
const mostLinks = 40

// resolve follows links, also one to what is not there yet.
func resolve(path string) (target, error) {
	if path == "" {
		return target{}, errors.New("the name of the file is empty")
	}
	to := target{path: path, descriptor: -1}
	for range mostLinks {
		folder, name := filepath.Split(to.path) // and nothing made shorter: .. of a link is not where the link is
		if name == "" || name == "." || name == ".." {
			return to, fmt.Errorf("%s names a folder: want the name of a file", path)
		}
		real, err := filepath.EvalSymlinks(cmp.Or(folder, "."))
		if err == nil {
			real, err = filepath.Abs(real)
		}
		if err != nil {
			return to, fmt.Errorf("%s: there is no folder %s: make it first", path, folder)
		}
		to.path = filepath.Join(real, name)
		if to.descriptor = descriptor(to.path); to.descriptor >= 0 {
			to.info, err = os.Stat(to.path)
			return to, err
		}
		info, err := os.Lstat(to.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return to, nil
		case err != nil:
			return to, err
		case info.Mode()&fs.ModeSymlink == 0:
			to.info = info
			return to, nil
		}
		link, err := os.Readlink(to.path)
		if err != nil {
			return to, err
		}
		if !filepath.IsAbs(link) {
			link = real + "/" + link
		}
		to.path = link
	}
	return to, fmt.Errorf("%s: too many links", path)
}

// descriptor that a resolved path names: /dev/fd, /dev/stdout and their like are links into /proc.
func descriptor(path string) int {
	folder, name := filepath.Split(path)
	if own := "/proc/" + strconv.Itoa(os.Getpid()); folder != own+"/fd/" && !strings.HasPrefix(folder, own+"/task/") {
		return -1
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 {
		return n
	}
	return -1
}
