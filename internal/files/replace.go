package files

import (
	"cmp"
	"errors"
	"fmt"
	"io"
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
// What is no regular file, such as a pipe or /dev/stdout, is written to as it is. So is a file whose folder takes no other.
type Replacement struct {
	*os.File
	path    string // that it will have, links resolved; "" where the file is written to as it is
	over    bool   // the bytes take the place of the older ones, rather than the file, which would have another owner
	regular bool   // it is written to as it is, and may be cut
}

// partialTries bounds how many partial files of one name may lie about.
const partialTries = 1000

// What access(2) is asked for.
const mayWrite, mayEnter = 2, 1

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
		if err := syscall.Access(folder, mayWrite|mayEnter); err != nil {
			return fmt.Errorf("%s: no file can be made in the folder %s: %w: want another place, or a file that is there already and may be written", path, folder, err)
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

// begin a partial file, with the owner and the rights of the one that it replaces.
func begin(to target) (*Replacement, error) {
	for n := 1; ; n++ {
		partial := partialName(to.path, n)
		file, err := os.OpenFile(partial, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o666)
		switch {
		case errors.Is(err, fs.ErrExist) && n < partialTries:
			continue // somebody else's, or what an earlier run has left to go on from
		case to.info != nil && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)):
			file, err = os.OpenFile(to.path, os.O_WRONLY|os.O_TRUNC, 0)
			return &Replacement{File: file, regular: true}, err
		case err != nil:
			return nil, err
		}
		r := &Replacement{File: file, path: to.path}
		if to.info != nil {
			r.over = !own(file, to.info)
			if err := file.Chmod(to.info.Mode().Perm()); err != nil {
				return nil, errors.Join(err, file.Close(), os.Remove(partial))
			}
		}
		return r, nil
	}
}

// own gives a file the owner and the group of another, and says whether it has them.
func own(file *os.File, other fs.FileInfo) bool {
	want, known := other.Sys().(*syscall.Stat_t)
	if !known {
		return true
	}
	if info, err := file.Stat(); err == nil {
		if has, ok := info.Sys().(*syscall.Stat_t); ok && has.Uid == want.Uid && has.Gid == want.Gid {
			return true
		}
	}
	return file.Chown(int(want.Uid), int(want.Gid)) == nil
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

// Keeps says that Keep can leave the first bytes alone: a stream cannot be cut.
func (r *Replacement) Keeps() bool { return r.path != "" || r.regular }

// End puts a whole file into its place, and takes one away that is not whole.
func (r *Replacement) End(whole bool) error {
	switch {
	case r.path == "" && (whole || !r.regular):
		return r.Close()
	case r.path == "":
		return errors.Join(r.Truncate(0), r.Close())
	case !whole:
		return errors.Join(r.Close(), os.Remove(r.Name()))
	}
	if err := r.Sync(); err != nil {
		return fmt.Errorf("%w: what was written is in %s", errors.Join(err, r.Close()), r.Name())
	}
	err := r.place()
	_ = r.Close() // nothing is left to be written
	if err != nil {
		return fmt.Errorf("%w: what was written is whole, and in %s", err, r.Name())
	}
	return nil
}

// place what is whole. A file that is mounted by itself, as into a container, cannot be replaced, nor can somebody else's in a folder such as
// /tmp: it stays, and what is in it is replaced.
func (r *Replacement) place() error {
	if !r.over {
		err := os.Rename(r.Name(), r.path)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EXDEV), errors.Is(err, fs.ErrPermission):
		default:
			return err
		}
	}
	old, err := os.OpenFile(r.path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = r.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(old, r.File)
	}
	if err == nil {
		err = old.Sync()
	}
	if err = errors.Join(err, old.Close()); err != nil {
		return err
	}
	_ = os.Remove(r.Name()) // all of it is where it belongs
	return nil
}

// Keep leaves the first bytes of a file where they are, for somebody to go on from, if it Keeps.
func (r *Replacement) Keep(size int64) error {
	if !r.Keeps() {
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
