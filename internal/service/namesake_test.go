//go:build synctests

package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/consumers"
	"nearline/internal/config"
	"nearline/internal/observe"
	"nearline/pipeline"
)

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// replica of a name, and what it logs.
func (b *bench) replica(name string, changes ...func(*config.Config)) (*running, *logged) {
	b.Helper()
	c, log := b.config("opinions"), &logged{}
	c.Kafka.Replica = name
	for _, change := range changes {
		change(c)
	}
	s := b.openWith(c, slog.New(slog.NewTextHandler(log, nil)))
	return b.run(s), log
}

func TestTwoReplicasOnOneHostNeedNoNames(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		// In a group that no other process on this machine has, not even of another checkout.
		own := func(c *config.Config) { c.Pipelines[0].Group = fmt.Sprint(t.Name(), "-", os.Getpid()) }
		first, other := b.replica("", own)
		second, log := b.replica("", own)
		if one, two := first.config.Kafka.Replica, second.config.Kafka.Replica; one == two || two == "" || !log.has("replica="+two) {
			b.Errorf("the replicas are called %q and %q, want two names, and the log to say so", one, two)
		}
		time.Sleep(30 * time.Second) // a cycle in hand while others join may be taken back, and its member made anew
		for i := range 20 {
			b.send("opinions.raw", 10*i, 10)
			time.Sleep(time.Second)
		}
		first.until(time.Minute, "200 records", func() bool { return first.Committed()+second.Committed() == 200 })
		b.count("opinions.scored", 200)
		for _, r := range []*running{first, second} {
			if n, _ := r.sum("nearline_pipeline_member_restarts_total", "", ""); n > 0 {
				b.Errorf("members were made anew %v times, want none:\n%s\n%s", n, other, log)
			}
			r.end()
		}
		alone, _ := b.replica("", own)
		if got, want := alone.config.Kafka.Replica, first.config.Kafka.Replica; got != want {
			b.Errorf("started again, a replica is called %q, want %q", got, want)
		}
		alone.end()
	})
}

// checked is what /streamz says of a part of the service.
func (r *running) checked(name string) (check observe.CheckReport, text string) {
	r.b.Helper()
	for _, check := range r.Health().Stream.Report().Checks {
		if check.Name == name {
			text, err := json.Marshal(check)
			if err != nil {
				r.b.Fatal(err)
			}
			return check, string(text)
		}
	}
	r.b.Fatalf("there is no check of %s", name)
	return observe.CheckReport{}, ""
}

func TestTwoReplicasOfOneNameAreToldSo(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"classic":  func(*config.Config) {},
		"consumer": func(c *config.Config) { c.Kafka.GroupProtocol = consumers.ConsumerProtocol },
		"static":   func(c *config.Config) { c.Kafka.Static = true },
		"static, at least once": func(c *config.Config) {
			c.Kafka.Static, c.Pipelines[0].Delivery = true, pipeline.AtLeastOnce
		},
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(b *bench) { b.namesakes(change) })
		})
	}
}

// namesakes are two replicas of one name, one of which has to say so.
func (b *bench) namesakes(change func(*config.Config)) {
	b.pipelines("opinions")
	first, log := b.replica("same", change)
	b.send("opinions.raw", 0, 10)
	first.committed(time.Minute, 10)
	second, other := b.replica("same", change)
	const says = "give each replica its own kafka.replica"
	for i := 1; !log.has(says) && !other.has(says); i++ {
		if i > 60 {
			b.Fatalf("the log does not name the cause:\n%s", log.text.String())
		}
		b.send("opinions.raw", 10*i, 10)
		time.Sleep(time.Second)
	}
	if other.has(says) {
		first, second = second, first
	}
	// It stays said while each has its turn.
	check, _ := first.checked("pipeline opinions")
	if check.OK || !strings.Contains(check.Problem, "two replicas have one name: another process") || !strings.Contains(check.Problem, "nearline-opinions/same/") {
		b.Errorf("/streamz says %q, want the cause, the name and what to do", check.Problem)
	}
	if n, _ := first.sum("nearline_consumer_namesakes_total", "", ""); n == 0 {
		b.Error("nearline_consumer_namesakes_total is 0, want what the alert asks for")
	}
	second.end()
	time.Sleep(2 * sharedFor)
	first.streamed(time.Minute, true, "")
	first.end()
}

// An heir fences a member that was frozen, too: that has no cause that is to be mended.
func TestAMemberThatAnHeirFencedHasNoNamesake(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		r, log := b.replica("frozen")
		b.send("opinions.raw", 0, 10)
		r.committed(time.Minute, 10)
		for member := range r.workers[0].status {
			id := fmt.Sprintf("nearline-opinions/frozen/%d", member)
			request := kmsg.NewPtrInitProducerIDRequest()
			request.TransactionalID, request.TransactionTimeoutMillis, request.ProducerID, request.ProducerEpoch = &id, 10_000, -1, -1
			if _, err := request.RequestWith(b.Context(), b.client); err != nil {
				b.Fatal(err)
			}
		}
		b.send("opinions.raw", 10, 10)
		r.committed(time.Minute, 20)
		if n, _ := r.sum("nearline_pipeline_member_restarts_total", "", ""); n == 0 {
			b.Error("no member was fenced: this test shows nothing")
		}
		if n, _ := r.sum("nearline_consumer_namesakes_total", "", ""); n > 0 || log.has("one name") {
			b.Errorf("%v namesakes were seen, want none", n)
		}
		r.end()
	})
}

func TestStreamSaysHowFarBehindItIsAndWhatWasRefused(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		r, log := b.replica("r")
		b.send("opinions.raw", 0, 10)
		b.produce(&kgo.Record{Topic: "opinions.raw", Value: []byte("no JSON")}, &kgo.Record{Topic: "opinions.raw", Value: []byte("none")})
		r.committed(time.Minute, 12)
		r.until(lagInterval+time.Second, "no lag, and the dead letters", func() bool {
			_, text := r.checked("pipeline opinions")
			return strings.Contains(text, `"dead_letters":{"decode":2}`) && strings.Contains(text, `"lag":0`) && strings.Contains(text, `"lag_partitions":{}`)
		})
		r.stop()
		<-r.gone
		for _, said := range []string{`msg="partitions assigned"`, `msg="partitions revoked"`, "topic=opinions.raw", "partitions="} {
			if !log.has(said) {
				b.Errorf("the log lacks %q:\n%s", said, log.text.String())
			}
		}
	})
}

func TestLagIsOfThisMoment(t *testing.T) {
	const fresh = 3 * time.Second // a scrape sees what was so then
	with(t, func(b *bench) {
		b.pipelines("opinions")
		s := b.open(b.config("opinions"))
		slow := slowed(program(s.workers[0]).Steps[0], 10*time.Minute)
		instead(s.workers[0], slow)
		r := b.run(s)
		b.send("opinions.raw", 0, 10)
		<-slow.began
		time.Sleep(time.Minute)
		for i := range 30 {
			b.send("opinions.raw", 10+10*i, 10)
			time.Sleep(fresh)
			want := float64(20 + 10*i)
			if got, _ := r.sum("nearline_consumer_lag_records", "", ""); got != want {
				b.Errorf("%v after %v records wait, the lag is %v", fresh, want, got)
			}
			if _, text := r.checked("pipeline opinions"); !strings.Contains(text, fmt.Sprintf(`"lag":%v,`, want)) {
				b.Errorf("%v records wait, and /streamz says %s", want, text)
			}
		}
		slow.takes.Store(0)
		r.committed(time.Hour, 310)
		r.end()
	})
}
