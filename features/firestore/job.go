//go:build !nocloud

package firestore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/googleapis/gax-go/v2"

	"nearline/features"
)

// Job numbers a job of a view. The last number stands in the collection PREFIX@job, under the view's name. It is read, and the next is written if nobody else has
// done so since.
func (s *Store) Job(ctx context.Context, view string) (int64, error) {
	name := s.database + "/documents/" + s.config.Prefix + "@job/" + view
	pause := pauses()
	for {
		number, taken, err := s.job(ctx, name)
		if err == nil && !taken {
			err = gax.Sleep(ctx, pause.Pause())
		}
		if err != nil {
			return 0, fmt.Errorf("ask %s for the number of a job of view %s: %s: %w", s.where, view, s.short(name), s.explained(ended(ctx, err)))
		}
		if taken {
			return number, nil
		}
	}
}

func (s *Store) job(ctx context.Context, name string) (number int64, taken bool, err error) {
	found, err := s.read(ctx, []string{name})
	if err != nil {
		return 0, false, err
	}
	written, _ := textOf(found[name].GetFields()[jobField])
	before, _ := strconv.ParseInt(written, 10, 64) // what is no number counts as none
	if number, err = features.JobNumber(before, time.Now()); err != nil {
		return 0, false, err
	}
	said, err := s.write(ctx, []*firestorepb.Write{{
		Operation:       &firestorepb.Write_Update{Update: &firestorepb.Document{Name: name, Fields: fields{jobField: integer(number)}}},
		CurrentDocument: unchanged(found[name]),
	}})
	switch {
	case err != nil:
		return 0, false, err
	case said[0] == nil:
		return number, true, nil
	case overtaken(said[0]) || passing(said[0]):
		return 0, false, nil
	default:
		return 0, false, said[0]
	}
}
