package torture

import (
	"errors"
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

	mu      sync.Mutex // guards all below
	command *exec.Cmd
	ended   chan struct{}
	asked   bool // to end, so that its end is no surprise
	frozen  bool
	starts  int
	strange []string // ends that nobody asked for
}

// start begins an incarnation.
func (p *process) start(program string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	file, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	c := exec.Command(program, p.args...) //nolint:gosec,noctx // this program itself, which ends when it is told to
	c.Stdout, c.Stderr = file, file
	c.SysProcAttr = attributes()
	if err := c.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.command, p.asked, p.frozen = c, false, false
	p.starts++
	ended := make(chan struct{})
	p.ended = ended
	go func() {
		err := c.Wait()
		p.mu.Lock()
		if !p.asked {
			p.strange = append(p.strange, fmt.Sprintf("%s ended by itself: %v; see %s", p.name, err, p.log))
		}
		p.mu.Unlock()
		close(ended)
	}()
	return nil
}

// running says whether there is a process, frozen or not.
func (p *process) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// able says whether it runs and is not frozen.
func (p *process) able() bool {
	if !p.running() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.frozen
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command == nil {
		return
	}
	switch s {
	case syscall.SIGKILL, syscall.SIGTERM:
		p.asked = true
	case syscall.SIGSTOP:
		p.frozen = true
	case syscall.SIGCONT:
		p.frozen = false
	}
	// It may have ended already.
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
func (p *process) surprises() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, s := range p.strange {
		errs = append(errs, errors.New(s))
	}
	return errors.Join(errs...)
}
