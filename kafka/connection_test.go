package kafka

import (
	"context"
	"errors"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka/decompress"
)

func TestClientsReachTheClusterAsTheirConnectionSays(t *testing.T) {
	unreachable := errors.New("there is no network here")
	var dialled []string
	connection := Connection{
		Brokers: []string{"k1:9092"},
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			return nil, unreachable
		},
		Options: []kgo.Opt{kgo.FetchMaxWait(time.Second), kgo.RequestRetries(0), kgo.RetryTimeout(time.Millisecond)},
	}
	client, err := connection.As("nearline-test").Client(kgo.FetchMaxWait(time.Minute), kgo.WithDecompressor(kgo.DefaultDecompressor()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()); !errors.Is(err, unreachable) || len(dialled) == 0 || dialled[0] != "k1:9092" {
		t.Errorf("got %v, and %q dialled: want the connection's own way to its broker", err, dialled)
	}
	if got := client.OptValue(kgo.FetchMaxWait); got != time.Second {
		t.Errorf("a client waits %v for a fetch: want what the connection says", got)
	}
	if got := client.OptValue(kgo.ClientID); !reflect.DeepEqual(got, "nearline-test") || connection.ClientID != "" {
		t.Errorf("the client is called %v, and the connection it was made of %q: want nearline-test, and no name", got, connection.ClientID)
	}
	if got, bounded := client.OptValue(kgo.WithDecompressor).(*decompress.Bounded); !bounded || got == nil {
		t.Errorf("the client decompresses by %T: want a bound, whoever made it", client.OptValue(kgo.WithDecompressor))
	}
}

func TestMemberDecompressesWithinItsBound(t *testing.T) {
	own := decompress.NewBounded(1 << 20)
	session, err := Connection{Brokers: []string{"k1:9092"}}.Bounded(own).Session(kgo.ConsumerGroup("g"), kgo.TransactionalID("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if got := session.Client().OptValue(kgo.WithDecompressor); got != any(own) {
		t.Errorf("it decompresses by %v: want the bound it was given", got)
	}
}
