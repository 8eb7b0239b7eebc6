package service

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"nearline/batching"
	"nearline/engine"
	"nearline/internal/config"
	"nearline/pipeline"
	"nearline/schemas"
	"nearline/serving"
)

// rankings answer for the online API what pipelines answer in the stream: the same steps on the same models, as rows of a more urgent class.
type rankings struct {
	engine  *engine.Engine
	logger  *slog.Logger
	names   []string // of pipelines that rank
	largest int
}

var _ serving.Rankings = (*rankings)(nil)

func newRankings(c *config.Config, runs *engine.Engine, logger *slog.Logger) *rankings {
	r := &rankings{engine: runs, logger: logger}
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		if p.Ranks() {
			r.names = append(r.names, p.Name)
			r.largest = max(r.largest, cmp.Or(p.Input.MaxValueBytes, schemas.DefaultMaxValueBytes))
		}
	}
	return r
}

// open them, once the models are loaded.
func (r *rankings) open(c *config.Config) error {
	for i := range c.Pipelines {
		if p := &c.Pipelines[i]; p.Ranks() {
			if _, err := r.engine.Put(compiled(p), batching.Online); err != nil {
				return err
			}
		}
	}
	return nil
}

// Largest request.
func (r *rankings) Largest() int { return r.largest }

// repeated is what an error repeats of a request: enough to know it again.
func repeated(text string) string {
	const most = 64
	if len(text) > most {
		return fmt.Sprintf("%q…", text[:most])
	}
	return strconv.Quote(text)
}

// Rank answers one request.
func (r *rankings) Rank(ctx context.Context, name string, request []byte) ([]byte, error) {
	if name == "" && len(r.names) == 1 {
		name = r.names[0]
	}
	if !slices.Contains(r.names, name) {
		return nil, fmt.Errorf("%w as %s: want ?pipeline= to be %s", serving.ErrUnknownPipeline, repeated(name), strings.Join(r.names, " or "))
	}
	program, release := r.engine.Programs(name, batching.Online).Take()
	defer release()
	if program == nil {
		return nil, errors.New("the models are not there: the service is starting or stopping")
	}
	refused := func(f *pipeline.Fault) error { return fmt.Errorf("%w: %s", serving.ErrRequest, f.Cause) }
	row, fault := program.Decoder.Decode(&pipeline.Record{Value: request, Timestamp: time.Now()})
	if fault != nil {
		return nil, refused(fault)
	}
	if row.ID == "" { // in the stream its place in the topic would name it
		row.ID = rand.Text()
	}
	rows := []*pipeline.Row{row}
	if err := program.Run(ctx, rows, nil); err != nil {
		if errors.Is(err, serving.ErrBusy) {
			return nil, err
		}
		in := &pipeline.StepError{Err: err}
		_ = errors.As(err, &in)
		r.logger.Debug("a request was not answered", "pipeline", name, "error", in.Err) // which says where things are
		if errors.Is(err, pipeline.ErrAway) {
			return nil, errors.New("the store of features does not answer")
		}
		return nil, fmt.Errorf("%s does not answer now", in.Step)
	}
	if row.Fault != nil {
		return nil, refused(row.Fault)
	}
	result, fault := program.Encoder.Append(nil, row)
	if fault != nil {
		return nil, refused(fault)
	}
	return result, nil
}
