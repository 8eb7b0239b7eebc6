package service

import (
	"context"
	"errors"
	"fmt"

	"nearline/consumers"
)

// pair are the view's two topics, and the group that stands between them.
func (v *view) pair() consumers.ViewTopics {
	return consumers.ViewTopics{Group: v.config.Group(v.Name()), Updates: v.updates(), States: v.states()}
}

// ensureUpdates makes the topic of updates where it is missing: whoever writes updates needs no more.
func (v *view) ensureUpdates(ctx context.Context) error {
	if err := v.pair().CheckUpdates(ctx, v.cluster); err != nil {
		return err
	}
	return v.makeTopics(ctx, v.topics()[:1])
}

// ensure makes the view's topics where they are missing and nothing was in them, and remembers them: one that is made anew is refused from then on.
func (v *view) ensure(ctx context.Context) error {
	pair := v.pair()
	if err := pair.Check(ctx, v.cluster); err != nil {
		return err
	}
	if err := v.makeTopics(ctx, v.topics()); err != nil {
		return err
	}
	topics, err := v.cluster.Topics(ctx, pair.Updates, pair.States)
	if err != nil {
		return err
	}
	for _, name := range []string{pair.Updates, pair.States} {
		if err := topics[name].Err; err != nil {
			return fmt.Errorf("topic %s, which a view of features needs: %w", name, err)
		}
	}
	pair.UpdatesID, pair.StatesID = topics[pair.Updates].ID, topics[pair.States].ID
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.found == nil {
		v.found, v.parts = &pair, topics[pair.States].Partitions
		v.state.Remember(pair.StatesID)
		close(v.ready)
	}
	return nil
}

func (v *view) makeTopics(ctx context.Context, topics []consumers.NewTopic) error {
	for _, topic := range topics {
		err := v.cluster.EnsureTopic(ctx, topic)
		if _, kept := errors.AsType[*consumers.NotMendedError](err); kept {
			v.logger.Warn("a topic of a view is not as it should be", "topic", topic.Name, "error", err)
			err = nil // it can be used
		}
		if err != nil {
			return fmt.Errorf("topic %s, which a view of features needs: %w", topic.Name, err)
		}
	}
	return nil
}

// kept are the topics that were found at the start.
func (v *view) kept() consumers.ViewTopics {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.found == nil {
		return v.pair()
	}
	return *v.found
}

// partitions of the topic of states.
func (v *view) partitions() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.parts
}

// same is a permanent error where the topics are not those that were found at the start.
func (v *view) same() error {
	ctx, cancel := context.WithTimeout(context.Background(), brokerTimeout)
	defer cancel()
	return v.kept().Same(ctx, v.cluster)
}
