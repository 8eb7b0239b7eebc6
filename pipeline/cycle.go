package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Cycle is what one member of a group does over and over: poll, decode, run the steps, encode, publish, commit.
//
// What must hold: every record of a poll has exactly one output (a result, a dead letter, or a tombstone for a tombstone),
// and the outputs take effect together with the offsets, or not at all. Three rules follow.
//
//   - Commit comes only after every output was acknowledged. The end of a transaction does not look at the fate of what
//     was produced in it.
//   - Nothing is polled between a cycle's poll and its end, because the end commits all that was polled. The obvious
//     gain of polling ahead is had instead by several members, each with its own client, that share the model.
//   - Nothing is published before all predictions are in. The clock of a transaction starts with its first produce, so
//     however slow the model is, it cannot run into the transaction's timeout.
//
// A cycle takes what is there and never waits for more: a lone record is answered at once, and a backlog fills it.
//
// Not safe for concurrent use: one goroutine calls Run.
type Cycle struct {
	// Open makes the source, and makes it anew after every error that leaves it in doubt.
	Open func() (Source, error)
	// Programs hands out what is done to records. Each cycle has one program, from its poll to its end. A program with a Keeper belongs to one member alone.
	Programs *Programs
	// Builder makes the records to publish of what a program answers.
	Builder func(*Program) Builder
	Config  CycleConfig
	Logger  *slog.Logger
	Metrics *Metrics
	Status  *Status
	// At, if set, is called as each point of the cycle is reached. Tests cut the world off there.
	At func(Point)

	pace       pace
	notes      notes
	generation uint64 // of the program that the notes were taken under
}

// Point names a place between two steps of a cycle.
type Point string

// The points of a cycle, in order.
const (
	PointOpened    Point = "opened"
	PointPolled    Point = "polled"
	PointDecoded   Point = "decoded"
	PointPredicted Point = "predicted"
	PointEncoded   Point = "encoded"
	PointPublished Point = "published"
	PointCommitted Point = "committed"
)

// Points lists them all, in order.
func Points() []Point {
	return []Point{PointOpened, PointPolled, PointDecoded, PointPredicted, PointEncoded, PointPublished, PointCommitted}
}

func (c *Cycle) reached(p Point) {
	if c.At != nil {
		c.At(p)
	}
}

// Run turns until ctx ends; then the cycle in hand may still end and commit, for Config.Shutdown. It returns nil when it
// was asked to stop and an error wrapping ErrStop when going on would break a promise; every other fault is waited out.
func (c *Cycle) Run(ctx context.Context) error {
	work, abandon := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abandon(nil)
	var deadline *time.Timer
	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		deadline = time.AfterFunc(c.Config.Shutdown, func() { abandon(errShutdown) })
	})
	defer func() {
		if !release() {
			<-stopped
			deadline.Stop()
		}
	}()

	var wait backoff
	for ctx.Err() == nil {
		err := c.session(ctx, work, &wait)
		if ctx.Err() != nil {
			if errors.Is(context.Cause(work), errShutdown) {
				c.Logger.Warn("the cycle in hand did not end within the shutdown deadline; its records are scored by whoever reads them next",
					"deadline", c.Config.Shutdown, "records", c.Status.inHand())
			}
			return nil
		}
		blame := Assign(err)
		if blame == BlameStop {
			c.Status.failed(blame, err)
			return err
		}
		c.Status.failed(blame, err)
		c.Metrics.reopened(blame)
		pause := wait.next(blame)
		c.Logger.Warn("the member starts anew from the committed offsets", "blame", blame.String(), "error", err, "in", pause.Round(time.Millisecond))
		sleep(ctx, pause)
	}
	return nil
}

// errShutdown is why work is abandoned in the end.
var errShutdown = errors.New("the shutdown deadline has passed")

// session is the life of one source: cycles until an error leaves it in doubt.
func (c *Cycle) session(intake, work context.Context, wait *backoff) error {
	source, err := c.Open()
	if err != nil {
		return err
	}
	defer source.Close()
	c.reached(PointOpened)
	for intake.Err() == nil {
		err := c.turn(intake, work, source)
		switch {
		case err == nil:
			wait.reset()
			c.Status.turned()
		case errors.Is(err, ErrRebalanced): // as when members join or leave
			c.Status.gave() // whoever has the partitions now takes them
			c.Logger.Info("the group took the cycle back; its records are read again", "error", err)
		case errors.Is(err, errGivenBack):
			c.Status.failed(Assign(err), err)
			c.Status.gave()
			pause := wait.next(Assign(err))
			c.Logger.Warn("the cycle was given back and is tried again", "error", err, "in", pause.Round(time.Millisecond))
			sleep(intake, pause)
		default:
			return err
		}
	}
	return nil
}

// errGivenBack marks an error after which the source is whole: the cycle was aborted, and its records come again.
var errGivenBack = errors.New("the cycle's records were given back")

// turn is one cycle.
func (c *Cycle) turn(intake, work context.Context, source Source) error {
	records, err := source.Poll(intake, c.pace.limits(c.Config))
	if err != nil {
		return err
	}
	began := time.Now()
	c.Status.took(len(records))
	c.reached(PointPolled)

	// Taken after the poll, since that may wait for long: an idle member has no program, and keeps none from being drained.
	program, release := c.Programs.Take()
	defer release()
	if program == nil {
		return c.giveBack(work, source, errNoProgram)
	}
	c.under(program)
	kept := false
	defer func() { tellKeepers(program, kept) }()

	rows := c.decode(program, records)
	c.reached(PointDecoded)

	if err := program.Run(work, rows, c.Metrics.took); err != nil {
		return c.giveBack(work, source, err)
	}
	c.pace.observe(len(records), time.Since(began))
	c.reached(PointPredicted)

	outputs, err := c.encode(program, rows)
	if err != nil {
		return c.giveBack(work, source, err)
	}
	c.reached(PointEncoded)

	publishing := time.Now()
	if err := source.Publish(work, outputs); err != nil {
		return c.giveBack(work, source, c.notes.take(err, outputs, rows))
	}
	c.Metrics.stage("publish", publishing)
	c.reached(PointPublished)

	committing := time.Now()
	if err := source.Commit(work); err != nil {
		if errors.Is(err, ErrRebalanced) {
			c.Metrics.aborted(BlamePassing)
			return fmt.Errorf("%w: %w", errGivenBack, err)
		}
		return err
	}
	c.Metrics.stage("commit", committing)
	kept = true
	c.reached(PointCommitted)
	c.notes.clear(rows)
	c.Metrics.committed(rows, began)
	if odd := c.Metrics.stamped(rows, outputs); odd != nil {
		c.Logger.Warn("a record's timestamp is no time in milliseconds since 1970, from 1973 to 2262: the event's own time counts, and where it has none, the time of processing; "+
			"further ones are counted in nearline_pipeline_implausible_timestamps_total", "record", odd.Coordinates().String(), "timestamp", odd.Timestamp.UnixMilli())
	}
	return nil
}

// errNoProgram is what a cycle waits for that has nothing to run.
var errNoProgram = fmt.Errorf("%w: the pipeline has no program", ErrRuntime)

// under a program a cycle is to work: what was noted about records under another one is forgotten, since they may fare otherwise now.
func (c *Cycle) under(program *Program) {
	if program.Generation != c.generation {
		c.notes, c.generation = nil, program.Generation
	}
}

// decode makes a row of every record. A tombstone's row has neither text nor fault: it passes the steps by.
func (c *Cycle) decode(program *Program, records []*Record) []*Row {
	began := time.Now()
	rows := make([]*Row, len(records))
	for i, record := range records {
		record.Unstamped = c.notes.unstamped(record)
		rows[i] = read(program.Decoder, record)
		if fault := c.notes.fault(record); fault != nil {
			rows[i].Fault = fault
		}
	}
	c.Metrics.stage("decode", began)
	return rows
}

// read makes the row of one record.
func read(decoder Decoder, record *Record) *Row {
	var row *Row
	fault := record.Verdict.Fault()
	switch {
	case fault != nil:
	case !record.Tombstone():
		row, fault = decoder.Decode(record)
	case record.Key == nil:
		fault = Faultf(ClassNoKey, StageDecode, "a null value without a key deletes nothing")
	}
	if row == nil || fault != nil {
		row = &Row{Fault: fault}
	}
	row.Record = record
	return row
}

// errHeavy says that a cycle's outputs are too much for memory together. Its records are taken again, fewer at a time.
var errHeavy = errors.New("the cycle's outputs are too heavy together")

// encode makes the one output of every row, in input order, and adds what the steps put beside them.
//
// It stops where the outputs are twice as heavy as the cycle was sized for, unless they are of one record. The next cycles are sized by
// their weight, so that this comes about once where results become heavier all of a sudden.
func (c *Cycle) encode(program *Program, rows []*Row) ([]Output, error) {
	began, builder := time.Now(), c.Builder(program)
	outputs := make([]Output, 0, len(rows))
	add := func(row *Row, output Output) {
		if output.Topic == "" {
			return
		}
		output.Source, output.Alone = row.Record, c.notes.suspect(row.Record)
		outputs = append(outputs, output)
	}
	bytes, heaviest := 0, 0
	for i, row := range rows {
		var output Output
		switch {
		case row.Fault == nil && row.Record.Tombstone():
			output = builder.Tombstone(row.Record)
		case row.Fault == nil:
			output, row.Fault = builder.Result(row)
		}
		if row.Fault != nil {
			output = builder.DeadLetter(row.Record, row.Fault, c.notes.attempt(row.Record))
		}
		add(row, output)
		weight := output.Size()
		if row.Fault == nil {
			for _, beside := range row.Beside {
				weight += beside.Size()
			}
		}
		bytes, heaviest = bytes+weight, max(heaviest, weight)
		if most := 2 * c.Config.maxOutput(); bytes > most && len(rows) > 1 {
			c.pace.weigh(1, heaviest)
			return nil, fmt.Errorf("%w: %d bytes for %d of %d records, want at most %v", errHeavy, bytes, i+1, len(rows), ByteSize(most))
		}
	}
	c.pace.weigh(len(rows), bytes)
	for _, row := range rows {
		if row.Fault != nil {
			continue
		}
		for _, beside := range row.Beside {
			beside.Beside = true
			add(row, beside)
		}
	}
	if err := program.Steps.eachKeeper(func(k Keeper) error {
		changes, err := k.Changes()
		outputs = append(outputs, changes...)
		return err
	}); err != nil {
		return nil, err
	}
	c.Metrics.stage("encode", began)
	return outputs, nil
}

// tellKeepers tells the steps that keep a state whether the cycle was committed.
func tellKeepers(program *Program, committed bool) {
	_ = program.Steps.eachKeeper(func(k Keeper) error {
		if committed {
			k.Keep()
		} else {
			k.Drop()
		}
		return nil
	})
}

// giveBack aborts the cycle because of err. Where the abort works, the source can go on.
func (c *Cycle) giveBack(ctx context.Context, source Source, err error) error {
	c.Metrics.aborted(Assign(err))
	if blame := Assign(err); blame == BlamePassing || blame == BlamePermanent || blame == BlameStop {
		return err
	}
	if abortErr := source.Abort(ctx); abortErr != nil {
		return errors.Join(abortErr, err)
	}
	return fmt.Errorf("%w: %w", errGivenBack, err)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
