package service

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"nearline/batching"
	"nearline/pipeline"
	"nearline/schemas"
	"nearline/serving"
)

// rankings answer for the online API what pipelines answer in the stream: the same steps on the same models, as rows of a more urgent class.
type rankings struct {
	service *Service
	names   []string // of pipelines that rank
	largest int

	programs atomic.Pointer[map[string]*pipeline.Programs] // by pipeline; nil while models are loaded
}

var _ serving.Rankings = (*rankings)(nil)

func newRankings(s *Service) *rankings {
	r := &rankings{service: s}
	for i := range s.config.Pipelines {
		p := &s.config.Pipelines[i]
		if p.Ranks() {
			r.names = append(r.names, p.Name)
			r.largest = max(r.largest, cmp.Or(p.Input.MaxValueBytes, schemas.DefaultMaxValueBytes))
		}
	}
	return r
}

// openRankings once models and views are there.
func (s *Service) openRankings() error {
	programs := map[string]*pipeline.Programs{}
	for i := range s.config.Pipelines {
		p := &s.config.Pipelines[i]
		if !slices.Contains(s.rankings.names, p.Name) {
			continue
		}
		made, err := s.program(p, batching.Online)
		if err != nil {
			return err
		}
		if programs[p.Name], err = s.current(p, made); err != nil {
			return err
		}
	}
	s.rankings.programs.Store(&programs)
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
	programs := r.programs.Load()
	if programs == nil {
		return nil, errors.New("the models are still being loaded")
	}
	of := (*programs)[name]
	if of == nil {
		return nil, fmt.Errorf("%w as %s: want ?pipeline= to be %s", serving.ErrUnknownPipeline, repeated(name), strings.Join(r.names, " or "))
	}
	program, release := of.Take()
	defer release()
	if program == nil {
		return nil, errors.New("the models are still being loaded")
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
		r.service.options.Logger.Debug("a request was not answered", "pipeline", name, "error", in.Err) // which says where things are
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
