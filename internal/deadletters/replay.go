package deadletters

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"nearline/pipeline"
	"nearline/producers"
)

// ReplayOptions of a replay.
type ReplayOptions struct {
	Filter Filter
	// To is the topic to put originals into; empty means the one that each came from, if that is one of Inputs.
	To string
	// Inputs are the topics that originals may go back into where To is empty; nil is what Inputs makes of the dead letters' topic. Where
	// a letter says that it comes from is a header, and whoever may write to the topic of dead letters can write any.
	Inputs []string
	// Internal are topics that nothing is put into, whatever To says: what the service keeps in them is its own.
	Internal []string
	// Again replays what was dealt with before, too.
	Again bool
	// Repair makes the value that is put back out of an original; nil puts back what was there. An error leaves the letter out.
	Repair func(context.Context, *pipeline.Record) ([]byte, error)
	// Dismiss puts nothing back: it is remembered that the letters stay dead, with the note, which may be empty.
	Dismiss bool
	Note    string
	// Write does it; without, it is only found out what would be done.
	Write bool
	// Limit ends the replay after so many originals; 0 is no limit.
	Limit int
	// Progress is called after each transaction.
	Progress func(Replayed)
}

// Replayed says what a replay did, or would do.
type Replayed struct {
	Picked  int            // letters that the filter let through
	Already int            // dealt with before, and left alone
	Dead    int            // dismissed now, or to be
	To      map[string]int // originals put back, or to be, by topic
	Skipped map[string]int // letters without an original that can be put back, by reason
	Example map[string]string
	Crashed int  // of the originals: they ended the process that read them
	Limited bool // there may be more
}

// Total of the letters that were dealt with.
func (r *Replayed) Total() (n int) {
	n = r.Dead
	for _, count := range r.To {
		n += count
	}
	return n
}

func (r *Replayed) skip(why, example string) {
	r.Skipped[why]++
	if r.Skipped[why] == 1 {
		r.Example[why] = example
	}
}

// did counts one letter.
func (r *Replayed) did(one *replaying) {
	if one.dismissed {
		r.Dead++
		return
	}
	r.To[one.output.Topic]++
}

// What one transaction holds: small enough to be short and to fit memory, large enough that its end costs little.
const (
	chunkRecords = 500
	chunkBytes   = 8 << 20
)

// replaying is one letter with its original, on its way back.
type replaying struct {
	letter    *producers.Letter
	output    pipeline.Output
	partition int32 // of the output; byKey where its key says which
	dismissed bool  // there is no output
	memory    pipeline.Output
	size      int
}

// Replay puts originals back, each at most once: what it remembers of a letter takes effect with the letter's original, or not
// at all, so that a replay that is cut off anywhere is begun anew by the same command. It reads the memory after it has fenced
// every other replay of the topic, whose transactions have then either taken effect or never will.
//
// What dies again gets a dead letter beyond the end that this replay goes to: it does not go round in circles.
func (t *Topic) Replay(ctx context.Context, o ReplayOptions) (Replayed, error) {
	report := Replayed{To: make(map[string]int), Skipped: make(map[string]int), Example: make(map[string]string)}
	if o.Inputs == nil {
		o.Inputs = Inputs(t.Name)
	}
	if o.To == t.Name || o.To == MemoryTopic(t.Name) {
		return report, fmt.Errorf("cannot replay to %s: want a topic that is not the dead letters' own", o.To)
	}
	if internal(o.To) || slices.Contains(o.Internal, o.To) {
		return report, fmt.Errorf("cannot replay to %s: a service, or the brokers, keep in it what is theirs; want the input of a pipeline", o.To)
	}
	var writer *writer
	if o.Write {
		if err := t.makeMemory(ctx); err != nil {
			return report, err
		}
		var err error
		if writer, err = t.newWriter(ctx); err != nil {
			return report, err
		}
		defer writer.close()
	}
	before, err := t.dealt(ctx)
	if err != nil {
		return report, err
	}
	var chunk []replaying
	size, pending := 0, 0
	flush := func() error {
		if len(chunk) == 0 {
			return nil
		}
		defer func() { chunk, size = chunk[:0], 0 }()
		if writer == nil {
			for i := range chunk {
				report.did(&chunk[i])
			}
			return nil
		}
		err := writer.commit(ctx, chunk, &report)
		if err == nil && o.Progress != nil {
			o.Progress(report)
		}
		return err
	}
	err = t.Each(ctx, o.Filter, func(f Found) error {
		if f.Err != nil {
			report.skip("it is no dead letter", fmt.Sprintf("%s: %v", f.At, f.Err))
			return nil //nolint:nilerr // reported, and hides none of the others
		}
		report.Picked++
		if !o.Again && before.dealing(f.At) != Left {
			report.Already++
			return nil
		}
		if from := f.Letter.Source.Topic; o.To == "" && !o.Dismiss && !o.takes(from) {
			report.skip(o.foreign(), fmt.Sprintf("%s: it says that it was read at %s", f.At, f.Letter.Source))
			return nil
		}
		r, err := t.prepare(ctx, f.Letter, &o)
		if missing, ok := isMissing(err); ok {
			report.skip(missing.Why, fmt.Sprintf("%s: %s", f.At, missing.Detail))
			return nil
		}
		if err != nil {
			return err
		}
		if len(chunk) == chunkRecords || size+r.size > chunkBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		chunk, size = append(chunk, r), size+r.size
		if f.Letter.Class == pipeline.ClassCrash && !o.Dismiss {
			report.Crashed++
		}
		if pending++; pending == o.Limit {
			report.Limited = true
			return errEnough
		}
		return nil
	})
	if err == nil {
		err = flush() // what is left
	}
	return report, err
}

// Inputs of the pipeline that a topic of dead letters belongs to, by its name alone: INPUT.dlq.
func Inputs(topic string) []string {
	if input, ok := strings.CutSuffix(topic, ".dlq"); ok && input != "" {
		return []string{input}
	}
	return []string{}
}

// takes says whether originals may go back into a topic that a letter names.
func (o *ReplayOptions) takes(topic string) bool {
	return slices.Contains(o.Inputs, topic) && !internal(topic) && !slices.Contains(o.Internal, topic)
}

// foreign is why a letter is left out whose source is another topic.
func (o *ReplayOptions) foreign() string {
	if len(o.Inputs) == 0 {
		return "it is not known which pipeline the dead letters are of: name its configuration with --config, or the topic to put them into with --to"
	}
	return fmt.Sprintf("its source is not the pipeline's input (%s): name the topic to put it into with --to, or the pipeline's configuration with --config",
		strings.Join(o.Inputs, ", "))
}

// internal says that a topic is the brokers' own, the memory of replays, or by its default name a service's own, whatever a configuration says.
func internal(topic string) bool {
	return strings.HasPrefix(topic, "__") || strings.HasSuffix(topic, MemoryTopic("")) || strings.HasPrefix(topic, "nearline.attempts") ||
		strings.HasPrefix(topic, "nearline.progress") ||
		strings.HasPrefix(topic, "nearline.features.") && strings.HasSuffix(topic, ".state")
}

// prepare finds the original of a letter, and builds what is written of it.
func (t *Topic) prepare(ctx context.Context, l *producers.Letter, o *ReplayOptions) (r replaying, err error) {
	r = replaying{letter: l, partition: byKey}
	if o.Dismiss {
		r.dismissed = true
		r.memory, err = t.remember(l, remembered{Dealt: Dismissed, Note: o.Note})
		return r, err
	}
	original, err := t.Original(ctx, l)
	if err != nil {
		return r, err
	}
	what := remembered{Dealt: PutBack, To: o.To}
	if o.Repair != nil {
		repaired := *original
		if repaired.Value, err = o.Repair(ctx, original); err != nil {
			if ctx.Err() != nil {
				return r, context.Cause(ctx)
			}
			return r, &Missing{Why: "the repair failed", Detail: err.Error()}
		}
		original, what.Dealt = &repaired, Repaired
	}
	if what.To == "" {
		what.To = l.Source.Topic
	}
	// Where it came from, its key's other records are, whatever partitioner wrote them.
	if what.To == l.Source.Topic {
		r.partition = l.Source.Partition
	}
	attempt, _ := l.Replayed()
	what.Attempt = attempt + 1
	r.output = l.Replay(original, what.To)
	r.size = original.Size()
	r.memory, err = t.remember(l, what)
	return r, err
}
