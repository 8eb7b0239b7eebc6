package pipeline

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestAssignBlames(t *testing.T) {
	fault := Faultf(ClassDecode, StageDecode, "not JSON")
	for _, c := range []struct {
		err  error
		want Blame
	}{
		{nil, BlameNobody},
		{fault, BlameRecord},
		{fmt.Errorf("wrapped: %w", fault), BlameRecord},
		{fmt.Errorf("predict: %w", ErrRuntime), BlameRuntime},
		{fmt.Errorf("publish: %w", ErrPermanent), BlamePermanent},
		{fmt.Errorf("model hangs: %w", ErrStop), BlameStop},
		{errors.Join(ErrStop, ErrRuntime, ErrPermanent, fault), BlameStop},
		{errors.Join(ErrRuntime, ErrPermanent), BlameRuntime},
		{errors.Join(ErrPermanent, fault), BlamePermanent},
		{errors.New("connection refused"), BlamePassing},
		{context.DeadlineExceeded, BlamePassing},
		{&RefusedError{Guilty: map[int]error{0: errors.New("x")}}, BlamePassing},
	} {
		if got := Assign(c.err); got != c.want {
			t.Errorf("%v is blamed on %v: want %v", c.err, got, c.want)
		}
	}
}
