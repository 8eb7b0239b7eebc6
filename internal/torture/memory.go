package torture

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// confine has a process killed that takes more memory than this: by the kernel, in a control group of its own, where those can be
// made (as root); otherwise by looking often, which is the same SIGKILL a moment later.
func confine(p *os.Process, limit int64, ended <-chan struct{}) {
	if group, err := newMemoryGroup(p.Pid, limit); err == nil {
		<-ended
		_ = os.Remove(group) // what is left of it is an empty folder
		return
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ticker.C:
		}
		if resident(p.Pid) > limit {
			_ = p.Kill()
			return
		}
	}
}

// lookEvery is how often the memory of a process is looked at: a gigabyte takes longer to fill.
const lookEvery = 20 * time.Millisecond

// newMemoryGroup puts the process into a control group below our own that takes no more memory than this.
func newMemoryGroup(pid int, limit int64) (folder string, err error) {
	own, version, err := ownMemoryGroup()
	if err != nil {
		return "", err
	}
	folder = filepath.Join(own, fmt.Sprintf("nearline-torture-%d", pid))
	if err := os.Mkdir(folder, 0o755); err != nil {
		return "", err
	}
	file := "memory.max"
	if version == 1 {
		file = "memory.limit_in_bytes"
	}
	err = writeTo(folder, file, strconv.FormatInt(limit, 10))
	if err == nil {
		_ = writeTo(folder, "memory.swap.max", "0") // where there is none, the kernel has no swap to count
		err = writeTo(folder, "cgroup.procs", strconv.Itoa(pid))
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(folder))
	}
	return folder, nil
}

// ownMemoryGroup is the folder of the control group that bounds our own memory, and the version of its interface.
func ownMemoryGroup() (folder string, version int, err error) {
	data, err := os.ReadFile("/proc/self/cgroup") // see cgroups(7)
	if err != nil {
		return "", 0, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(fields) < 3:
		case slices.Contains(strings.Split(fields[1], ","), "memory"):
			return "/sys/fs/cgroup/memory" + fields[2], 1, nil
		case fields[0] == "0":
			folder, version = "/sys/fs/cgroup"+fields[2], 2
		}
	}
	if folder == "" {
		return "", 0, errors.New("no control group bounds memory")
	}
	return folder, version, nil
}

// writeTo a file that is there already: the kernel makes them.
func writeTo(folder, name, value string) error {
	file, err := os.OpenFile(filepath.Join(folder, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}

// resident memory of a process, in bytes; 0 where it cannot be known.
func resident(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
