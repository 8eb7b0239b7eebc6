package torture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// play does what the schedule says until its end, or until there is no more load to come.
func (r *run) play(ctx context.Context, loaded <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	until := func(at time.Duration) bool {
		timer.Reset(at - time.Since(r.tell.began))
		select {
		case <-timer.C:
			return true
		case <-loaded:
		case <-ctx.Done():
		}
		return false
	}
	schedule := r.plan().schedule(r.Seed)
	for e, more := schedule.next(); more; e, more = schedule.next() {
		if !until(e.At) {
			return
		}
		r.strike(ctx, e)
	}
	if r.Lasts > 0 {
		until(r.Lasts)
		return
	}
	select { // no faults at all
	case <-loaded:
	case <-ctx.Done():
	}
}

// What a fault has in hand that is no replica: the cluster, which a hook is not to hurt in two ways at once, and the output
// topic.
const (
	hookTarget   = -1
	refuseTarget = -2
	storeTarget  = -3
)

// claim takes a target in hand, unless another fault has it.
func (r *run) claim(target int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[target] {
		return false
	}
	r.busy[target] = true
	return true
}

func (r *run) release(target int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, target)
}

// strike begins the fault, and has it undone in its time. Where its target is still in the hands of an earlier fault, the
// next one that is free takes its place; where none is free, the fault is left out.
func (r *run) strike(ctx context.Context, e event) {
	claimed := e.Target
	_, hook := e.Fault.asked()
	switch {
	case words[e.Fault] != "":
		select {
		case r.poisons <- e.Fault:
		default:
			return // the load has its hands full
		}
		r.note(&e)
		r.tell.fault(e)
		return
	case hook:
		if claimed = hookTarget; !r.claim(claimed) {
			return
		}
	case e.Fault == Refuse:
		if claimed = refuseTarget; !r.claim(claimed) {
			return
		}
	case e.Fault == StoreOlder:
		if claimed = storeTarget; r.store == nil || !r.claim(claimed) {
			return
		}
	case e.Fault == Join:
		if err := r.addReplica(len(r.replicas)); err != nil {
			r.fail(err)
			return
		}
		e.Target = len(r.replicas) - 1
		claimed = e.Target
		r.claim(claimed)
	default:
		free := false
		for i := range r.Replicas {
			if target := (e.Target + i) % r.Replicas; r.claim(target) {
				e.Target, claimed, free = target, target, true
				break
			}
		}
		if !free {
			return
		}
	}
	struck := &e
	number := r.note(struck)
	target := r.replicas[e.Target] // here, as a later fault may add to them
	transactionalID := r.transactionalID(e.Target)
	if !hook {
		r.tell.fault(e)
	}
	r.undoing.Go(func() {
		defer r.release(claimed)
		if hook {
			r.fail(r.callHook(ctx, struck, number, transactionalID))
			return
		}
		r.fail(r.hurt(ctx, e, target))
	})
}

// note that a fault has struck, and give it a number.
func (r *run) note(e *event) int {
	e.At = time.Since(r.tell.began).Round(time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	return len(r.events)
}

// fail keeps an error for the report.
func (r *run) fail(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	r.failed = append(r.failed, err)
	r.mu.Unlock()
	r.tell.say("%v", err)
}

// hurt does the fault to the target, waits, and undoes it.
func (r *run) hurt(ctx context.Context, e event, target *process) error {
	pause := func() {
		timer := time.NewTimer(e.Lasts)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	switch e.Fault {
	case Refuse:
		return r.refuse(ctx, pause)
	case StoreOlder:
		return r.store.older(ctx, int(e.Seed), pause)
	case Kill:
		target.kill()
		pause()
		return target.start(r.Program)
	case Freeze:
		target.signal(syscall.SIGSTOP)
		pause()
		target.signal(syscall.SIGCONT)
		return nil
	case Leave:
		if err := target.stop(stopPatience); err != nil {
			return err
		}
		pause()
		return target.start(r.Program)
	default: // Join
		if err := target.start(r.Program); err != nil {
			return err
		}
		pause()
		return target.stop(stopPatience)
	}
}

// refuse has the output topic take no record of a result's size.
func (r *run) refuse(ctx context.Context, pause func()) error {
	r.refusing.Lock()
	defer r.refusing.Unlock()
	admin, err := r.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	limit := "80"
	alter := func(op kadm.IncrementalOp, value *string) error {
		altered, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: op, Name: "max.message.bytes", Value: value}}, r.topics.output)
		for _, a := range altered {
			err = errors.Join(err, a.Err)
		}
		return err
	}
	if err := alter(kadm.SetConfig, &limit); err != nil {
		return fmt.Errorf("have %s refuse records: %w", r.topics.output, err)
	}
	pause()
	for {
		err := alter(kadm.DeleteConfig, nil)
		if err == nil || ctx.Err() != nil {
			return nil // or the run is over, and so is the topic
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// stopPatience is above the shutdown deadline of a cycle, with which a broker that is down may well be in the way.
const stopPatience = 25 * time.Second

// mend makes sure that everything runs.
func (r *run) mend() error {
	for _, p := range r.replicas[:r.Replicas] {
		p.signal(syscall.SIGCONT)
		if !p.running() {
			if err := p.start(r.Program); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) killAll() {
	processes := append(slices.Clone(r.replicas), r.broker)
	if r.store != nil {
		processes = append(processes, r.store.process)
	}
	for _, p := range processes {
		if p != nil {
			p.kill() // also one that waits for its supervisor
		}
	}
}
