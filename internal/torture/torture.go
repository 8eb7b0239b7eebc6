package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Options of a run.
type Options struct {
	// Program is this binary: replicas and the embedded broker are child processes of it.
	Program string
	// Folder keeps configurations, the broker's state and the logs.
	Folder string
	// Brokers of a cluster that is there already; none embeds one.
	Brokers []string
	// ConfigFor writes the configuration of a replica on such a cluster.
	ConfigFor func(Replica) ([]byte, error)
	// Hook is a shell command that hurts such a cluster in the operator's own way; "" is none. It is told in its environment
	// which fault this is (NEARLINE_FAULT, from 1) and for how long to hurt (NEARLINE_SECONDS).
	Hook string
	// Model is the folder of a repository's model for the embedded mode; "" answers with a constant.
	Repository, Model string

	Seed        uint64
	Lasts       time.Duration
	Records     int // 0 is as many as the time allows
	Rate        float64
	Keys        int
	Replicas    int
	Partitions  int
	Every       time.Duration // between faults, on average
	Replication int16

	JSON bool
	Out  io.Writer
}

// Replica is what ConfigFor needs to know.
type Replica struct {
	Name                       string
	Input, Output, DeadLetters string
	Group                      string
}

// Timeouts of the embedded mode: as short as the broker lets them be, so that take-over and expiry happen within a short
// run. Kafka's brokers by default allow no session timeout below 6 s.
const (
	transactionTimeout = 3 * time.Second
	sessionTimeout     = 6 * time.Second
	rebalanceTimeout   = 10 * time.Second
)

// patience with replicas to score what is left once nothing hurts them any more.
const patience = 2 * time.Minute

// run is one run of a torture.
type run struct {
	Options
	topics   topics
	group    string
	tell     *teller
	brokers  []string
	broker   *process
	replicas []*process // by number; those beyond Options.Replicas joined for a while
	watch    watch
	events   []event
	undoing  sync.WaitGroup
	busy     map[int]bool // replicas that a fault has in hand
	mu       sync.Mutex   // guards busy and failed
	failed   []error
}

// Run tortures the service. The error says what kept the run from being one; what became of the promise is the
// report's matter.
func Run(ctx context.Context, o Options) (Report, error) {
	id := strconv.FormatUint(o.Seed, 10) + "-" + strconv.FormatInt(time.Now().Unix(), 36)
	r := &run{
		Options: o,
		topics: topics{
			input:       "nearline-torture-" + id + "-in",
			output:      "nearline-torture-" + id + "-out",
			deadLetters: "nearline-torture-" + id + "-dlq",
		},
		group:   "nearline-torture-" + id,
		tell:    &teller{out: o.Out, json: o.JSON, began: time.Now()},
		brokers: o.Brokers,
		busy:    map[int]bool{},
	}
	defer r.killAll()
	if err := r.setUp(ctx); err != nil {
		return Report{}, err
	}
	return r.torture(ctx)
}

// torture plays the schedule while the load comes, then lets the replicas finish, and counts.
func (r *run) torture(ctx context.Context) (Report, error) {
	random := rand.New(rand.NewPCG(r.Seed, 0)) //nolint:gosec // a schedule, not a secret
	r.events = r.plan().schedule(random)
	r.tell.began = time.Now()
	r.tell.say("seed %d: %d faults within %v on %d replicas, %d partitions, %g records a second; logs in %s",
		r.Seed, len(r.events), r.Lasts, r.Replicas, r.Partitions, r.Rate, r.Folder)

	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	watched := make(chan error, 1)
	go func() { watched <- r.watch.run(watching, r.brokers, r.topics) }()

	intake, stopIntake := context.WithCancel(ctx)
	defer stopIntake()
	flushing, stopFlushing := context.WithCancelCause(ctx)
	defer stopFlushing(nil)
	type loaded struct {
		written int
		err     error
	}
	wrote := make(chan loaded, 1)
	go func() {
		l := &load{brokers: r.brokers, topic: r.topics.input, records: r.Records, rate: r.Rate, keys: r.Keys,
			random: rand.New(rand.NewPCG(r.Seed, 1))} //nolint:gosec // a load, not a secret
		written, err := l.run(flushing, intake)
		wrote <- loaded{written, err}
	}()

	played := r.play(ctx)
	r.undoing.Wait()
	if r.Records == 0 || !played {
		stopIntake()
	}
	if err := r.mend(); err != nil {
		return Report{}, err
	}
	giveUp := time.AfterFunc(patience, func() { stopFlushing(errors.New("the broker took no more records")) })
	defer giveUp.Stop()
	load := <-wrote
	if ctx.Err() != nil {
		return Report{}, context.Cause(ctx)
	}
	if load.err != nil {
		return Report{}, load.err
	}
	r.tell.say("%d records written; waiting for the replicas to finish", load.written)
	unread := r.finish(ctx)
	stopWatching()
	if err := <-watched; err != nil {
		return Report{}, err
	}
	report, err := r.count(ctx)
	report.Written, report.Unread = load.written, unread
	return report, err
}

func (r *run) plan() plan {
	p := plan{lasts: r.Lasts, replicas: r.Replicas, every: r.Every, longFreeze: 15 * time.Second,
		weights: []weight{{Kill, 4}, {Freeze, 3}, {Leave, 2}, {Join, 2}}}
	if r.broker != nil {
		p.longFreeze = sessionTimeout + time.Second
	}
	if r.Hook != "" {
		p.weights = append(p.weights, weight{Hook, 3})
	}
	return p
}

// play does what the schedule says, and says whether it came to its end.
func (r *run) play(ctx context.Context) bool {
	timer := time.NewTimer(0)
	defer timer.Stop()
	until := func(at time.Duration) bool {
		timer.Reset(at - time.Since(r.tell.began))
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for i := range r.events {
		if !until(r.events[i].At) {
			return false
		}
		r.strike(ctx, i)
	}
	return until(r.Lasts)
}

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

// strike begins the fault, and has it undone in its time. Where its target is still in the hands of an earlier fault, the
// next one that is free takes its place; where none is free, this one waits for another run.
func (r *run) strike(ctx context.Context, index int) {
	e := &r.events[index]
	switch e.Fault {
	case Hook:
	case Join:
		if err := r.addReplica(len(r.replicas)); err != nil {
			r.fail(err)
			return
		}
		e.Target = len(r.replicas) - 1
		r.claim(e.Target)
	default:
		free := false
		for i := range r.Replicas {
			if target := (e.Target + i) % r.Replicas; r.claim(target) {
				e.Target, free = target, true
				break
			}
		}
		if !free {
			return
		}
	}
	r.tell.fault(*e)
	target := r.replicas[e.Target] // here, as a later fault may add to them
	r.undoing.Go(func() {
		r.fail(r.hurt(ctx, *e, index+1, target))
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.busy, e.Target)
	})
}

// fail keeps an error for the report.
func (r *run) fail(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, err)
	r.tell.say("%v", err)
}

// hurt does the fault to the target, waits, and undoes it; a hook has its own.
func (r *run) hurt(ctx context.Context, e event, number int, target *process) error {
	pause := func() {
		timer := time.NewTimer(e.Lasts)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if e.Fault == Hook {
		c := exec.CommandContext(ctx, "sh", "-c", r.Hook) //nolint:gosec // the operator's own
		c.Env = append(os.Environ(), "NEARLINE_FAULT="+strconv.Itoa(number), fmt.Sprintf("NEARLINE_SECONDS=%.1f", e.Lasts.Seconds()))
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("hook: %w: %s", err, out)
		}
		return nil
	}
	switch e.Fault {
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
	for _, p := range append(r.replicas, r.broker) {
		if p != nil && p.running() {
			p.kill()
		}
	}
}
