package stories

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestServiceHasTheRightsThatItsCommandsGrant grants a service what `nearline acls --least` prints and no more, where all else is denied. Each right is withdrawn
// under load: `nearline check` says which one is missing and which command grants it, and once that has been run the service goes on. Nothing is lost or doubled.
func TestServiceHasTheRightsThatItsCommandsGrant(t *testing.T) {
	for name, member := range map[string]setting{
		"static members": staticMembership,
		"KIP-848":        byConsumer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := beginGuarded(t, "rights-"+strings.ToLower(strings.Fields(name)[0]))
			login := s.settings(s.scram())
			s.topics(6)
			s.createTopics(s.story)
			with := []setting{login, member}
			config := s.writeConfig("a", with...)
			rights := each(s.grant(config, s.user))
			s.await("nearline check to find nothing missing", func(ctx context.Context) error {
				out, err := s.command(ctx, "check", "--config", config)
				if err != nil {
					err = fmt.Errorf("%w: %s", err, out)
				}
				return err
			})
			a, b := s.replica("a", with...), s.replica("b", with...)
			load := s.load(60)
			s.awaitLater(100)
			for _, right := range rights {
				s.must("withdraw a right", s.cluster.Withdraw(t.Context(), right))
				s.await("nearline check to name "+right, func(ctx context.Context) error {
					out, err := s.command(ctx, "check", "--config", config)
					if err == nil {
						return fmt.Errorf("it finds nothing: %s", out)
					}
					if !strings.Contains(out, right) {
						return fmt.Errorf("%w: %s", err, out)
					}
					return nil
				})
				s.must("grant it again", s.cluster.Grant(t.Context(), right))
				s.awaitLater(60)
			}
			t.Logf("%d rights", len(rights))
			if denied := a.metric("nearline_pipeline_member_restarts_total") + b.metric("nearline_pipeline_member_restarts_total"); denied == 0 {
				t.Error("no member was made anew, although each right was withdrawn under load")
			}
			load.stop()
			s.expectScored()
			s.allByTLS()
		})
	}
}

var operation = regexp.MustCompile(`--operation \w+ `)

// each right that the commands grant, as a command of its own.
func each(commands string) (rights []string) {
	for line := range strings.Lines(commands) {
		if !strings.HasPrefix(line, "kafka-acls.sh ") {
			continue
		}
		operations := operation.FindAllStringIndex(line, -1)
		first, last := operations[0][0], operations[len(operations)-1][1]
		for _, at := range operations {
			rights = append(rights, strings.TrimSpace(line[:first]+line[at[0]:at[1]]+line[last:]))
		}
	}
	return rights
}
