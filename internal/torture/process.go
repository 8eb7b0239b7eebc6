package torture

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a child: a replica or the broker. Its log goes to a file, to which every incarnation appends.
type process struct {
	name string
	log  string // path
	args []string
	// supervised starts it again when it ends by itself, as Kubernetes or systemd would.
	supervised bool
	// gate is held while an incarnation begins: not while the output topic refuses, which a replica would take for the topic's
	// limit for good. Nil is open.
	gate sync.Locker
	// memory that it may have, in bytes, 0 for any: beyond it, it is killed.
	memory int64

	mu      sync.Mutex // guards all below
	command *exec.Cmd
	ended   chan struct{}
	asked   bool // to end, so that its end is no surprise
	frozen  bool
	strange []string // ends that nobody asked for
}

// restartAfter is how long a supervisor waits.
const restartAfter = time.Second

// start begins an incarnation, unless one lives.
func (p *process) start(program string) error {
	defer p.pass()()
	if p.running() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked, p.frozen = false, false
	return p.begin(program)
}

// pass the gate, and give it back.
func (p *process) pass() func() {
	if p.gate == nil {
		return func() {}
	}
	p.gate.Lock()
	return p.gate.Unlock
}

// begin an incarnation. The mutex is held.
func (p *process) begin(program string) error {
	file, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	c := exec.Command(program, p.args...) //nolint:gosec,noctx // nearline itself, which ends when it is told to
	c.Stdout, c.Stderr = file, file
	c.SysProcAttr = attributes()
	if err := c.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	p.command, p.ended = c, ended
	if p.memory > 0 {
		go confine(c.Process, p.memory, ended)
	}
	go func() {
		err := c.Wait()
		close(ended)
		p.end(program, err)
	}()
	return nil
}

// end of an incarnation: one that nobody asked for is noted, and followed by another.
func (p *process) end(program string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked {
		return
	}
	p.strange = append(p.strange, fmt.Sprintf("%s ended by itself: %v; see %s", p.name, err, p.log))
	if p.supervised {
		time.AfterFunc(restartAfter, func() { p.again(program) })
	}
}

// again is what a supervisor does.
func (p *process) again(program string) {
	defer p.pass()()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked || !p.over() { // a fault has it in hand, or has started it already
		return
	}
	if err := p.begin(program); err != nil {
		p.strange = append(p.strange, err.Error())
	}
}

// over says that there is no process. The mutex is held.
func (p *process) over() bool {
	if p.ended == nil {
		return true
	}
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// running says whether there is a process, frozen or not.
func (p *process) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.over()
}

// able says whether it runs and is not frozen.
func (p *process) able() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.over() && !p.frozen
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch s {
	case syscall.SIGKILL, syscall.SIGTERM:
		p.asked = true
	case syscall.SIGSTOP:
		p.frozen = true
	case syscall.SIGCONT:
		p.frozen = false
	}
	if p.over() {
		return
	}
	// It may have ended in this moment.
	_ = p.command.Process.Signal(s)
}

// kill ends it as if the machine had lost its power, and waits.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	p.wait(0)
}

// stop asks it to end, and kills it when it does not in time.
func (p *process) stop(patience time.Duration) error {
	p.signal(syscall.SIGCONT)
	p.signal(syscall.SIGTERM)
	if p.wait(patience) {
		return nil
	}
	p.kill()
	return fmt.Errorf("%s did not end within %v of being asked to; see %s", p.name, patience, p.log)
}

// wait for its end, for ever with a patience of 0.
func (p *process) wait(patience time.Duration) bool {
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	if ended == nil {
		return true
	}
	if patience == 0 {
		<-ended
		return true
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// surprises are the ends that nobody asked for.
func (p *process) surprises() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.strange...)
}
