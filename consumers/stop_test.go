//go:build synctests

package consumers_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

func TestCycleInHandCommitsWhenAskedToStopAtAnyPoint(t *testing.T) {
	for _, point := range pipeline.Points() {
		t.Run(string(point), func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Partitions: 4}, func(w *kafkatest.World) {
				w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(200, 20))
				line := w.Line()
				c := small(cycle(config(w, line, 0), &kafkatest.Model{Takes: func(int) time.Duration { return 5 * time.Second }}))
				var worker *kafkatest.Worker
				started, asked := make(chan struct{}), make(chan struct{})
				c.At = once(point, 1, func() { <-started; worker.Ask(); close(asked) })
				worker = w.Start(c, line)
				close(started)
				<-asked
				if err := worker.Stop(); err != nil {
					t.Errorf("the cycle ended with %v", err)
				}
				committed := worker.Tally.Committed.Load()
				if want := worker.Tally.Polls.Load(); committed != want {
					t.Errorf("%d of %d cycles were committed: want all", committed, want)
				}
				synctest.Wait()
				if n := w.Members(); n != 0 {
					t.Errorf("%d members are still in the group: want it left at once", n)
				}
				next := w.Line()
				finish(t, w, w.Start(cycle(config(w, next, 0), new(kafkatest.Model)), next))
			})
		})
	}
}

func TestCycleIsGivenUpAtTheShutdownDeadline(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 2}, func(w *kafkatest.World) {
		w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(50, 5))
		line := w.Line()
		c := small(cycle(config(w, line, 0), &kafkatest.Model{Takes: func(int) time.Duration { return time.Hour }}))
		worker := w.Start(c, line)
		time.Sleep(5 * time.Second)
		began := time.Now()
		if err := worker.Stop(); err != nil {
			t.Errorf("the cycle ended with %v", err)
		}
		if took := time.Since(began); took > c.Config.Shutdown+10*time.Millisecond {
			t.Errorf("it took %v to stop: want %v and what leaving takes", took, c.Config.Shutdown)
		}
		synctest.Wait()
		if n := w.Members(); n != 0 {
			t.Errorf("%d members are still in the group", n)
		}
		next := w.Line()
		finish(t, w, w.Start(cycle(config(w, next, 0), new(kafkatest.Model)), next))
	})
}

func TestMemberFetchesNothingWhileTheModelRuntimeFails(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 2}, func(w *kafkatest.World) {
		w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(100, 10))
		line := w.Line()
		model := &kafkatest.Model{Fails: func(run int) error {
			if run < 6 {
				return kafkatest.ErrModel
			}
			return nil
		}}
		worker := w.Start(small(cycle(config(w, line, 0), model)), line)
		time.Sleep(time.Second)
		if s := worker.Status.Snapshot(); s.Healthy || s.Blame != pipeline.BlameRuntime {
			t.Errorf("the status is healthy %t, blames %v: want unhealthy, runtime", s.Healthy, s.Blame)
		}
		if n := len(line.Requests(kmsg.Produce)); n > 0 {
			t.Errorf("%d produce requests while the model fails: want none", n)
		}
		finish(t, w, worker)
		if opened := worker.Tally.Opened.Load(); opened != 1 {
			t.Errorf("%d members were opened: a failing model is no reason to leave the group", opened)
		}
		if aborts := worker.Tally.Aborts.Load(); aborts != 6 {
			t.Errorf("%d cycles were aborted: want 6", aborts)
		}
	})
}

func TestPermanentFaultsAreWaitedOutLong(t *testing.T) {
	for name, fault := range map[string]kfake.Fault{
		"output's ACL taken away": {Keys: []kmsg.Key{kmsg.Produce}, Topic: kafkatest.Output, Err: kerr.TopicAuthorizationFailed},
		"transactional ACL":       {Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.TransactionalIDAuthorizationFailed},
		"group ACL":               {Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.GroupAuthorizationFailed},
		"input's ACL taken away":  {Keys: []kmsg.Key{kmsg.Fetch}, Topic: kafkatest.Input, Err: kerr.TopicAuthorizationFailed},
		"commit refused":          {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.GroupAuthorizationFailed},
		"output topic unknown":    {Keys: []kmsg.Key{kmsg.Produce}, Topic: kafkatest.Output, Err: kerr.UnknownTopicOrPartition},
	} {
		t.Run(name, func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Partitions: 2}, func(w *kafkatest.World) {
				w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(100, 10))
				fault.Count = -1
				handle := w.Cluster.Fault(fault)
				line := w.Line()
				model := new(kafkatest.Model)
				worker := w.Start(cycle(config(w, line, 0), model), line)
				time.Sleep(10 * time.Minute)
				if s := worker.Status.Snapshot(); s.Healthy || s.Blame != pipeline.BlamePermanent {
					t.Errorf("the status is healthy %t, blames %v (%v): want unhealthy, permanent", s.Healthy, s.Blame, s.Err)
				}
				if runs, _ := model.Runs(); runs > 60 {
					t.Errorf("the model ran %d times in ten minutes for nothing: want at most 60", runs)
				} else {
					t.Logf("the model ran %d times in ten minutes", runs)
				}
				if n := worker.Tally.Opened.Load(); n > 60 {
					t.Errorf("%d members in ten minutes: want at most 60", n)
				}
				handle.Remove()
				finish(t, w, worker)
			})
		})
	}
}

func TestLoneRecordIsAnsweredWithoutDelay(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 1}, func(w *kafkatest.World) {
		line := w.Line()
		var decoded, committed time.Time
		c := cycle(config(w, line, 0), new(kafkatest.Model))
		c.At = func(p pipeline.Point) {
			switch p {
			case pipeline.PointPolled:
				decoded = time.Now()
			case pipeline.PointCommitted:
				committed = time.Now()
			}
		}
		worker := w.Start(c, line)
		w.ProduceKinds(kafkatest.Good) // so that all connections are there
		time.Sleep(10 * time.Second)
		for range 3 {
			sent := time.Now()
			w.ProduceKinds(kafkatest.Good)
			synctest.Wait()
			if decoded.Sub(sent) != 0 || committed.Sub(sent) != 0 {
				t.Errorf("a lone record was polled after %v and committed after %v: want at once", decoded.Sub(sent), committed.Sub(sent))
			}
			time.Sleep(3 * time.Second)
		}
		finish(t, w, worker)
	})
}

func TestNothingIsProducedBeforeAllPredictionsAreIn(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 4}, func(w *kafkatest.World) {
		w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(50, 20))
		line := w.Line()
		config := config(w, line, 0)
		model := &kafkatest.Model{Takes: func(int) time.Duration { return 3 * config.Kafka.TransactionTimeout }}
		c := small(cycle(config, model))
		at := pipeline.PointCommitted
		c.At = func(p pipeline.Point) { at = p }
		line.Sniff(func(key kmsg.Key) {
			switch key {
			case kmsg.Produce, kmsg.AddPartitionsToTxn, kmsg.TxnOffsetCommit, kmsg.AddOffsetsToTxn, kmsg.EndTxn:
				if at != pipeline.PointEncoded && at != pipeline.PointPublished && at != pipeline.PointCommitted {
					t.Errorf("%s was sent at %s", key.Name(), at)
				}
			}
		})
		worker := w.Start(c, line)
		finish(t, w, worker)
		if errs := worker.Tally.Errors(); len(errs) > 0 {
			t.Errorf("a model slower than the transaction timeout caused %v", errs)
		}
	})
}

func TestMemberCommitsOnlyAfterEveryAcknowledgement(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 2}, func(w *kafkatest.World) {
		w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(50, 5))
		line := w.Line()
		line.Arm(kmsg.Produce, 0, kafkatest.Act{Delay: 5 * time.Second})
		began := time.Now()
		line.Sniff(func(key kmsg.Key) {
			if (key == kmsg.TxnOffsetCommit || key == kmsg.EndTxn) && time.Since(began) < 5*time.Second {
				t.Errorf("%s was sent %v after the start: want it after the acknowledgement", key.Name(), time.Since(began))
			}
		})
		finish(t, w, w.Start(cycle(config(w, line, 0), new(kafkatest.Model)), line))
	})
}

func TestCycleTakesNoMoreThanItsBounds(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*pipeline.CycleConfig)
		most   int
	}{
		"records": {func(c *pipeline.CycleConfig) { c.MaxRecords = 7 }, 7},
		"time":    {func(c *pipeline.CycleConfig) { c.MaxTime = 500 * time.Millisecond }, 64}, // the first cycle does not know
	} {
		t.Run(name, func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Partitions: 2}, func(w *kafkatest.World) {
				w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.Mix{Records: 1000, Keys: 5})
				line := w.Line()
				model := &kafkatest.Model{Takes: func(n int) time.Duration { return time.Duration(n) * 10 * time.Millisecond }}
				cycle := cycle(config(w, line, 0), model)
				cycle.Config = pipeline.DefaultCycle()
				c.change(&cycle.Config)
				finish(t, w, w.Start(cycle, line))
				for i, run := range model.Seen() {
					most := c.most
					if i > 0 && name == "time" {
						most = 50 // at 10 ms each
					}
					if len(run) > most {
						t.Errorf("cycle %d took %d records: want at most %d", i, len(run), most)
					}
				}
			})
		})
	}
}
