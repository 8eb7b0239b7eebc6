//go:build !nocloud

package bigtable

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"cloud.google.com/go/bigtable"
	"github.com/googleapis/gax-go/v2"

	"nearline/features"
)

// Job numbers a job of a view. The last number stands beside the view's keys, in the row VIEW@job, with twenty digits. It is read, and the next is put unless
// somebody else has put one as large since.
func (s *Store) Job(ctx context.Context, view string) (int64, error) {
	key := view + "@job"
	pause := pauses()
	for {
		number, taken, err := s.job(ctx, key)
		if err == nil && !taken {
			err = gax.Sleep(ctx, pause.Pause())
		}
		if err != nil {
			return 0, fmt.Errorf("ask %s for the number of a job of view %s: row %s: %w", s.where, view, key, s.explained(ended(ctx, err)))
		}
		if taken {
			return number, nil
		}
	}
}

func (s *Store) job(ctx context.Context, key string) (number int64, taken bool, err error) {
	there := bigtable.ChainFilters(bigtable.FamilyFilter(valueFamily), bigtable.ColumnFilter(jobColumn), bigtable.LatestNFilter(1))
	row, err := s.table.ReadRow(ctx, key, bigtable.RowFilter(there))
	if err != nil {
		return 0, false, err
	}
	before, _ := strconv.ParseInt(textsOf(row)[jobColumn], 10, 64) // what is no number counts as none
	if number, err = features.JobNumber(before, time.Now()); err != nil {
		return 0, false, err
	}
	digits := fmt.Appendf(nil, "%020d", number)
	next := bigtable.NewMutation()
	next.DeleteCellsInColumn(valueFamily, jobColumn)
	next.Set(valueFamily, jobColumn, forever, digits)
	asLarge := bigtable.ChainFilters(there, bigtable.ValueRangeFilter(digits, []byte(":"))) // a colon follows the digits
	held, err := s.apply(ctx, key, bigtable.NewCondMutation(asLarge, nil, next))
	return number, !held, err
}
