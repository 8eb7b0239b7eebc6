//go:build !linux

package torture

import "syscall"

// attributes of a child: an interrupt from the terminal is the parent's alone.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
