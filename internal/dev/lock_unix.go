//go:build unix

package dev

import (
	"os"
	"syscall"
)

// lockFile takes the file for this process; the system gives it back however the process ends.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
