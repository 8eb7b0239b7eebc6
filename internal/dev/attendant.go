package dev

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/kafka"
)

// attendant keeps those in their groups who wait for the group's answer.
//
// A broker does not expect heartbeats of a member whose JoinGroup or SyncGroup it has not answered. kfake does: it drops the
// member, never answers it, and where the request was a SyncGroup it waits from then on for one member too many, so that no
// rebalance ends until nobody has asked to join for a minute. So the attendant sends the heartbeats that such a member
// cannot, for as long as the member's own rebalance timeout.
type attendant struct {
	cluster *kfake.Cluster
	client  *kgo.Client

	mu      sync.Mutex // guards all below
	waiting map[waiter]time.Time
	ours    map[waiter]int           // heartbeats of ours that are on their way
	patient map[waiter]time.Duration // rebalance timeouts
}

type waiter struct{ group, member string }

// attendEvery is well below the shortest session timeout that the broker allows, 6 s.
const attendEvery = 2 * time.Second

func newAttendant(cluster *kfake.Cluster, connection kafka.Connection) (*attendant, error) {
	client, err := connection.Client()
	if err != nil {
		return nil, err
	}
	a := &attendant{
		cluster: cluster,
		client:  client,
		waiting: map[waiter]time.Time{},
		ours:    map[waiter]int{},
		patient: map[waiter]time.Duration{},
	}
	for _, key := range []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup} {
		cluster.ControlKey(key.Int16(), a.notice)
	}
	return a, nil
}

// notice sees every request of the group protocol before the broker does.
func (a *attendant) notice(request kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // kfake says what a control returns
	a.cluster.KeepControl()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r := request.(type) {
	case *kmsg.JoinGroupRequest:
		if r.MemberID != "" {
			w := waiter{r.Group, r.MemberID}
			a.patient[w] = time.Duration(r.RebalanceTimeoutMillis) * time.Millisecond
			a.waiting[w] = time.Now()
		}
	case *kmsg.SyncGroupRequest:
		a.waiting[waiter{r.Group, r.MemberID}] = time.Now()
	case *kmsg.HeartbeatRequest:
		w := waiter{r.Group, r.MemberID}
		if a.ours[w] > 0 {
			a.ours[w]--
			break
		}
		delete(a.waiting, w) // a member that waits sends none
	case *kmsg.LeaveGroupRequest:
		for _, m := range r.Members {
			a.forget(waiter{r.Group, m.MemberID})
		}
		a.forget(waiter{r.Group, r.MemberID})
	}
	return nil, nil, false
}

func (a *attendant) forget(w waiter) {
	delete(a.waiting, w)
	delete(a.ours, w)
	delete(a.patient, w)
}

// run attends until ctx ends.
func (a *attendant) run(ctx context.Context) {
	defer a.client.Close()
	every := time.NewTicker(attendEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		for _, w := range a.due() {
			a.beat(ctx, w)
		}
	}
}

// due are those who wait now.
func (a *attendant) due() []waiter {
	a.mu.Lock()
	defer a.mu.Unlock()
	var due []waiter
	for w, since := range a.waiting {
		if time.Since(since) > max(a.patient[w], attendEvery) {
			a.forget(w)
			continue
		}
		due = append(due, w)
	}
	return due
}

func (a *attendant) beat(ctx context.Context, w waiter) {
	group := a.cluster.GroupInfo(w.group)
	if group == nil {
		return
	}
	a.mu.Lock()
	a.ours[w]++
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request := kmsg.NewPtrHeartbeatRequest()
	request.Group, request.Generation, request.MemberID = w.group, group.Epoch, w.member
	_, _ = request.RequestWith(ctx, a.client) // whatever the answer: the next is due in two seconds
}
