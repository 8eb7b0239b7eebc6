package production

import (
	"fmt"
	"time"

	"nearline/consumers"
	"nearline/pipeline"
)

const (
	// A transaction must outlive the fail-over of a broker, whose session lasts 9 s unless changed, and readers wait no longer than that for a dead one.
	leastTransaction = 10 * time.Second
	mostTransaction  = time.Minute
	// mostSession is how long a classic group may wait for a member that is dead. What Kafka's own clients have.
	mostSession = 45 * time.Second
)

// behaviour are the rules of how the service works.
func behaviour() []Rule {
	return []Rule{
		{
			Name:  "delivery",
			Wants: "every pipeline has delivery: exactly_once",
			Why:   "results may be there twice after a crash or a rebalance",
			look:  (*look).delivery,
		},
		{
			Name:  "safeguards",
			Wants: "kafka.attempts_topic and kafka.progress_topic are on",
			Why:   "one record that ends the process ends each replica after the other, and a group that stood still for a week begins anew",
			look:  (*look).safeguards,
		},
		{
			Name:  "replica-names",
			Wants: "kafka.replica is empty or comes from a variable, and is set where kafka.static_membership is on",
			Why:   "replicas with one name fence each other, and a static member that comes back under another name leaves its partitions to nobody until its session ends",
			look:  (*look).replicaNames,
		},
		{
			Name:  "timeouts",
			Wants: "kafka.transaction_timeout is between 10s and 1m, kafka.session_timeout at most 45s, models.hang_timeout below kafka.rebalance_timeout",
			Why:   "shorter ones take the fail-over of a broker for a death, longer ones have readers and other replicas wait for the dead",
			look:  (*look).timeouts,
		},
	}
}

func (l *look) delivery() {
	for i := range l.config.Pipelines {
		if p := &l.config.Pipelines[i]; p.Delivery != pipeline.ExactlyOnce {
			l.finds("set pipelines["+fmt.Sprint(i)+"].delivery: "+string(pipeline.ExactlyOnce)+", or accept it where readers tell results by their ids", "pipelines[%d].delivery is %s", i, p.Delivery)
		}
	}
}

func (l *look) safeguards() {
	if !l.config.Kafka.Attempts() {
		l.finds("set kafka.attempts_topic: nearline.attempts.{group}", "kafka.attempts_topic is off")
	}
	if !l.config.Kafka.Progress() {
		l.finds("set kafka.progress_topic: nearline.progress.{group}", "kafka.progress_topic is off")
	}
}

func (l *look) replicaNames() {
	const do = "set kafka.replica: ${env:NEARLINE_REPLICA}, with a name of its own for each replica that stays over its restarts, such as that of a pod of a StatefulSet"
	switch k := l.config.Kafka; {
	case k.Replica == "" && k.Static:
		l.finds(do, "kafka.replica is empty and kafka.static_membership is true: the host's name may be another after a restart")
	case k.Replica != "" && !l.config.FromVariable("kafka.replica"):
		l.finds(do, "kafka.replica is %q for every replica that runs this file", k.Replica)
	}
}

func (l *look) timeouts() {
	k := l.config.Kafka
	if k.TransactionTimeout < leastTransaction || k.TransactionTimeout > mostTransaction {
		l.finds("set kafka.transaction_timeout: 10s", "kafka.transaction_timeout is %v", k.TransactionTimeout)
	}
	if k.GroupProtocol == consumers.ClassicProtocol && k.SessionTimeout > mostSession {
		l.finds("set kafka.session_timeout: 6s", "kafka.session_timeout is %v", k.SessionTimeout)
	}
	if hang := l.config.Models.HangTimeout; hang >= k.RebalanceTimeout {
		l.finds("set models.hang_timeout below kafka.rebalance_timeout", "models.hang_timeout is %v and kafka.rebalance_timeout %v: a run that hangs is noticed only after the group has given the member up", hang, k.RebalanceTimeout)
	}
}
