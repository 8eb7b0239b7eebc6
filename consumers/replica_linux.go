package consumers

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// claim a name that one process has at a time, until it closes the file or ends. It is the address of a socket that nobody connects to, in the abstract
// namespace (unix(7)): of the host, or of a container's network, so that containers which share their host's, and hence its name, find each
// other; and it needs no folder to write to, nor leaves a file behind.
func claim(name string) (file *os.File, free bool, err error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, false, fmt.Errorf("open a socket for a name: %w", err)
	}
	file = os.NewFile(uintptr(fd), name)
	switch err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: "@" + name}); {
	case err == nil:
		return file, true, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, false, file.Close()
	default:
		return nil, false, errors.Join(fmt.Errorf("claim a name: %w", err), file.Close())
	}
}
