package files

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestOnlyRegularFilesAreRead(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	if err := os.WriteFile(at("text"), []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range [][2]string{{"text", "link"}, {"/dev/zero", "endless"}, {"nowhere", "broken"}, {"pipe", "piped"}} {
		if err := os.Symlink(link[0], at(link[1])); err != nil {
			t.Skipf("make a link: %v", err)
		}
	}
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Skipf("make a pipe: %v", err)
	}
	socket, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Skipf("make a socket: %v", err)
	}
	defer socket.Close()
	for name, says := range map[string]string{
		"pipe": "is a pipe", "piped": "is a pipe", "endless": "is a device", "socket": "is a socket", ".": "is a folder",
	} {
		for what, err := range map[string]error{"open": second(Open(at(name))), "read": second(Read(at(name), 100))} {
			if !errors.Is(err, ErrKind) || !strings.Contains(err.Error(), at(name)) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s %s: got %v, want %q", what, name, err, says)
			}
		}
		if err := Check(at(name)); (err == nil) != (name == ".") {
			t.Errorf("check %s: got %v", name, err)
		}
	}
	for _, name := range []string{"nothing", "broken"} {
		if _, err := Read(at(name), 100); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read %s: got %v, want that it does not exist", name, err)
		}
	}
	for _, name := range []string{"text", "link"} {
		if data, err := Read(at(name), 10); err != nil || string(data) != "0123456789" {
			t.Errorf("read %s: got %q, %v", name, data, err)
		}
		if data, err := Read(at(name), 9); err == nil || !strings.Contains(err.Error(), "more than 9 bytes") {
			t.Errorf("read %s within 9 bytes: got %q, %v, want that it is larger", name, data, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
