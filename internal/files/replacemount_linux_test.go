package files

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// mounting runs a test where mounts are its own, and go with it.
func mounting(t *testing.T, test func(bind func(from, to string, flags uintptr))) {
	t.Helper()
	skipped := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its mounts
		defer close(skipped)
		err := syscall.Unshare(syscall.CLONE_NEWNS)
		if err == nil {
			err = syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		}
		if err != nil {
			skipped <- err
			return
		}
		test(func(from, to string, flags uintptr) {
			if err := syscall.Mount(from, to, "", syscall.MS_BIND, ""); err != nil {
				t.Errorf("mount %s at %s: %v", from, to, err)
			}
			if flags == 0 {
				return
			}
			if err := syscall.Mount("", to, "", syscall.MS_BIND|syscall.MS_REMOUNT|flags, ""); err != nil {
				t.Errorf("mount %s again: %v", to, err)
			}
		})
	}()
	if err := <-skipped; err != nil {
		t.Skipf("no mounts of its own: %v", err)
	}
}

// replaced is what becomes of a file into which a text is written, whole or not.
func replaced(t *testing.T, path, text string, whole bool) {
	t.Helper()
	r, err := Replace(path)
	if err != nil {
		t.Errorf("replace %s: %v", path, err)
		return
	}
	if _, err := r.WriteString(text); err != nil {
		t.Error(err)
	}
	if err := r.End(whole); err != nil {
		t.Error(err)
	}
}

// As docker run -v $PWD/out.jsonl:/out.jsonl has it.
func TestAMountedFileTakesWhatIsWhole(t *testing.T) {
	folder := t.TempDir()
	host, inside := filepath.Join(folder, "host"), filepath.Join(folder, "inside")
	put(t, host, "yesterday, and more of it")
	put(t, inside, "")
	mounting(t, func(bind func(from, to string, flags uintptr)) {
		bind(host, inside, 0)
		replaced(t, inside, "half", false)
		holds(t, inside, "yesterday, and more of it")
		replaced(t, inside, "today", true)
	})
	holds(t, host, "today")
	if left, err := os.ReadDir(folder); err != nil || len(left) != 2 {
		t.Errorf("got %v, %v, want nothing left over", left, err)
	}
}

// As docker run --read-only -v $PWD/out.jsonl:/out.jsonl has it.
func TestAFileInAFolderThatTakesNoOtherIsWrittenToAsItIs(t *testing.T) {
	root := t.TempDir()
	host, folder := filepath.Join(root, "host"), filepath.Join(root, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	inside, beside := filepath.Join(folder, "out"), filepath.Join(folder, "new")
	put(t, host, "yesterday, and more of it")
	put(t, inside, "")
	mounting(t, func(bind func(from, to string, flags uintptr)) {
		bind(folder, folder, syscall.MS_RDONLY)
		bind(host, inside, 0)
		if err := Writable(inside); err != nil {
			t.Errorf("ask: got %v, want that it may be written", err)
		}
		if err := Writable(beside); err == nil || !strings.Contains(err.Error(), "no file can be made in the folder "+folder) {
			t.Errorf("ask for a new file: got %v, want that none can be made", err)
		}
		r, err := Replace(inside)
		if err != nil {
			t.Errorf("got %v, want that it is written to as it is", err)
			return
		}
		if _, err := r.WriteString("one\ntwo\nthr"); err != nil {
			t.Error(err)
		}
		if r.Partial() || !r.Keeps() {
			t.Errorf("got partial %v, keeps %v, want a file that may be cut", r.Partial(), r.Keeps())
		}
		if err := r.Keep(8); err != nil {
			t.Error(err)
		}
		holds(t, inside, "one\ntwo\n")
		replaced(t, inside, "half", false)
		holds(t, inside, "")
		replaced(t, inside, "today", true)
	})
	holds(t, host, "today")
}
