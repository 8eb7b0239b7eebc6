package torture

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"nearline/kafka"
)

// Options of a run.
type Options struct {
	// Self is this binary: the embedded broker is a child process of it.
	Self string
	// Program is the binary that is tortured: the replicas are child processes of it.
	Program string
	// Folder keeps configurations, the broker's state and the logs.
	Folder string
	// Brokers of a cluster that is there already; none embeds one. Load and checker dial these, the replicas those of their
	// configuration: what lies between hurts the replicas alone.
	Connection kafka.Connection
	// ConfigFor writes the configuration of a replica on such a cluster.
	ConfigFor func(Replica) ([]byte, error)
	// SessionTimeout and TransactionTimeout of those configurations.
	SessionTimeout, TransactionTimeout time.Duration
	// Hook is a shell command that hurts such a cluster in the operator's own way; "" is none. What it is told, the command's
	// help says.
	Hook string
	// Keep leaves the topics on such a cluster; otherwise they are deleted where all went well.
	Keep bool
	// Model of a repository; "" answers with a constant.
	Repository, Model string

	Seed        uint64
	Lasts       time.Duration // 0 is until Records are written
	Records     int           // 0 is as many as the time allows
	Rate        float64
	MaxLag      int // the load waits while the group is further behind
	Keys        int
	Replicas    int
	Partitions  int
	Faults      []Weight
	Every       time.Duration // between faults, on average
	Replication int16

	// Features has the replicas aggregate what they score, too, and checks it. Builds before there were views cannot.
	Features bool

	JSON bool
	Out  io.Writer
}

// Replica is what ConfigFor needs to know.
type Replica struct {
	Name                       string
	Input, Output, DeadLetters string
	Group                      string
	Repository, Model          string
	View                       View // without a name where there is to be none
	Partitions                 int
}

// Timeouts of the embedded mode: so short that a group is whole again before the next fault. A fault comes every 2 s or so, and each rebalance waits for
// the sessions of those who were hurt.
const (
	transactionTimeout = 2 * time.Second
	sessionTimeout     = 2 * time.Second
	rebalanceTimeout   = 5 * time.Second
)

// HangTimeout of a run of our own models, none of which takes that long unless it is told to hang.
const HangTimeout = 5 * time.Second

// memoryLimit of a replica, where one is to die of it: more than one takes with the faulty model, and less than that and
// what the model then fills.
const memoryLimit = 768 << 20

// patience with replicas that make no progress although nothing hurts them any more, and with a run that makes none
// although something does.
const (
	patience     = 2 * time.Minute
	longPatience = 5 * time.Minute
)

// run is one run of a torture.
type run struct {
	Options
	topics   topics
	group    string
	view     View
	tell     *teller
	broker   *process
	store    *keeper    // nil where the replicas' memory has the view
	replicas []*process // by number; those beyond Options.Replicas joined for a while
	watch    watch
	progress progress
	poisons  chan Fault // from the schedule to the load
	undoing  sync.WaitGroup
	refusing sync.RWMutex // held by a fault while the output topic refuses
	busy     map[int]bool // replicas that a fault has in hand, and the other targets
	mu       sync.Mutex   // guards busy, events and failed
	events   []*event     // that have happened
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
		busy:    map[int]bool{},
		poisons: make(chan Fault, 16),
	}
	if o.Features {
		r.view = View{Name: "torture-" + id, Prefix: r.group + "-features"}
	}
	defer r.killAll()
	if err := r.setUp(ctx); err != nil {
		return Report{}, err
	}
	return r.torture(ctx)
}

// torture plays the schedule while the load comes, then lets the replicas finish, and counts.
func (r *run) torture(ctx context.Context) (Report, error) {
	r.tell.began = time.Now()
	r.tell.start(r.Options)

	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	watched := make(chan error, 1)
	go func() {
		watched <- r.watch.run(watching, r.reached(), r.topics, r.reading(r.topics.output, r.topics.deadLetters))
	}()

	intake, stopIntake := context.WithCancel(ctx)
	defer stopIntake()
	flushing, stopFlushing := context.WithCancelCause(ctx)
	defer stopFlushing(nil)
	followed := make(chan error, 1)
	go func() { followed <- r.follow(watching, stopFlushing) }()

	var loadErr error
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		l := &load{connection: r.reached(), topic: r.topics.input, records: r.Records, rate: r.Rate, keys: r.Keys, maxLag: r.MaxLag,
			progress: &r.progress, poisons: r.poisons, random: rand.New(rand.NewPCG(r.Seed, 1))} //nolint:gosec // a load, not a secret
		loadErr = l.run(flushing, intake)
	}()

	r.play(ctx, loaded)
	r.undoing.Wait()
	stopIntake()
	if err := r.mend(); err != nil {
		return Report{}, err
	}
	giveUp := time.AfterFunc(patience, func() { stopFlushing(errors.New("the broker took no more records")) })
	defer giveUp.Stop()
	<-loaded
	switch {
	case ctx.Err() != nil:
		return Report{}, context.Cause(ctx)
	case loadErr != nil:
		return Report{}, loadErr
	}
	r.tell.say("%d records written; waiting for the replicas to finish", r.progress.written.Load())
	unread := r.finish(ctx)
	stopWatching()
	if err := errors.Join(<-watched, <-followed); err != nil {
		return Report{}, err
	}
	report, err := r.count(ctx, unread)
	if err != nil {
		return Report{}, err
	}
	if report.Err() == nil && r.broker == nil && !r.Keep {
		r.cleanUp(ctx)
	}
	r.tell.report(report)
	return report, nil
}

func (r *run) plan() plan {
	session, transaction := r.SessionTimeout, r.TransactionTimeout
	if r.broker != nil {
		session, transaction = sessionTimeout, transactionTimeout
	}
	return plan{lasts: r.Lasts, replicas: r.Replicas, every: r.Every, weights: r.Faults,
		givenUp: session + time.Second, expired: max(session, transaction) + time.Second}
}
