package torture

import "syscall"

// attributes of a child: it dies with its parent, and an interrupt from the terminal is the parent's alone.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
