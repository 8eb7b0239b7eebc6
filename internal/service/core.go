package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"nearline/pipeline"
)

// core is what the pipelines stand on: the device, the HTTP server, and those who watch. Its parts begin while the service is
// opened and end after all that uses them. A part that breaks does not end the others: they are needed to drain.
type core struct {
	parts errgroup.Group
	life  context.Context // of the parts
	stop  context.CancelFunc
	// broken ends when a part fails, with the failure as its cause.
	broken context.Context
	fail   context.CancelCauseFunc
}

func newCore(ctx context.Context) *core {
	c := &core{}
	c.life, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.broken, c.fail = context.WithCancelCause(c.life)
	return c
}

// run a part until the core ends.
func (c *core) run(name string, part func(context.Context) error) {
	c.parts.Go(func() error {
		err := part(c.life)
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			c.fail(err)
		}
		return err
	})
}

// end the parts, wait for them, and say what failed first.
func (c *core) end() error {
	c.stop()
	return c.parts.Wait()
}

// ErrHung says that a model's run does not come back.
var ErrHung = errors.New("a run of a model hangs")

// hangCheck is how often the device is asked whether a run hangs.
const hangCheck = time.Second

// watchForHang fails when a run does not come back: its memory may not be touched before it does, so nothing less than a
// new process helps.
func (s *Service) watchForHang(ctx context.Context) error {
	ticker := time.NewTicker(hangCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if since, hung := s.Device().Hung(); hung {
				return fmt.Errorf("%w: it has not returned since %s, and models.hang_timeout is %v: %w",
					ErrHung, since.Format(time.TimeOnly), s.config.Models.HangTimeout, pipeline.ErrStop)
			}
		}
	}
}
