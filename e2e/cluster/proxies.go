package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// proxies stand between the brokers and those clients whose network is to be hurt, one before each broker.
type proxies struct {
	server *toxiproxy.ApiServer
}

func newProxies() *proxies {
	return &proxies{server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.New(io.Discard))}
}

func (p *proxies) add(node int, listen, upstream string) error {
	proxy := toxiproxy.NewProxy(p.server, strconv.Itoa(node), listen, upstream)
	if err := p.server.Collection.Add(proxy, true); err != nil {
		return fmt.Errorf("start the proxy before broker %d: %w", node, err)
	}
	return nil
}

// start lets a proxy accept connections again.
func (p *proxies) start(node int) error {
	proxy, err := p.server.Collection.Get(strconv.Itoa(node))
	if err == nil {
		err = proxy.Start()
	}
	if err != nil && !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
		return fmt.Errorf("start the proxy before broker %d: %w", node, err)
	}
	return nil
}

func (p *proxies) close() error { return p.server.Collection.Clear() }

// toxic is one ailment of a proxy's connections, as Toxiproxy reads it.
type toxic struct {
	Name       string           `json:"name"`
	Type       string           `json:"type"`
	Stream     string           `json:"stream"`
	Toxicity   float32          `json:"toxicity"` // share of the connections that have it
	Attributes map[string]int64 `json:"attributes"`
}

// hurt gives a proxy an ailment in both directions.
func (p *proxies) hurt(node int, t toxic) error {
	proxy, err := p.server.Collection.Get(strconv.Itoa(node))
	if err != nil {
		return fmt.Errorf("there is no proxy before broker %d: %w", node, err)
	}
	for _, t.Stream = range []string{"upstream", "downstream"} {
		t.Name = t.Type + "_" + t.Stream
		data, err := json.Marshal(t)
		if err != nil {
			return err
		}
		if _, err := proxy.Toxics.AddToxicJson(bytes.NewReader(data)); err != nil {
			return fmt.Errorf("hurt the network before broker %d (%s): %w", node, t.Type, err)
		}
	}
	return nil
}

// Cut makes the network between a broker and its proxied clients swallow everything: connections stay, nothing arrives, new
// ones are accepted and lead nowhere.
func (c *Cluster) Cut(node int) error {
	return c.proxies.hurt(node, toxic{Type: "timeout", Toxicity: 1, Attributes: map[string]int64{"timeout": 0}})
}

// Refuse closes the connections between a broker and its proxied clients, and refuses new ones.
func (c *Cluster) Refuse(node int) error {
	proxy, err := c.proxies.server.Collection.Get(strconv.Itoa(node))
	if err != nil {
		return fmt.Errorf("there is no proxy before broker %d: %w", node, err)
	}
	proxy.Stop()
	return nil
}

// Delay holds everything between a broker and its proxied clients back, each way, by the time given or up to the jitter
// less or more.
func (c *Cluster) Delay(node int, by, jitter time.Duration) error {
	return c.proxies.hurt(node, toxic{Type: "latency", Toxicity: 1,
		Attributes: map[string]int64{"latency": by.Milliseconds(), "jitter": jitter.Milliseconds()}})
}

// Lose makes that share of the connections between a broker and its proxied clients swallow everything, and the others
// break off in the middle of what they carry, every few hundred kilobytes.
func (c *Cluster) Lose(node int, share float64) error {
	if err := c.proxies.hurt(node, toxic{Type: "timeout", Toxicity: float32(share), Attributes: map[string]int64{"timeout": 0}}); err != nil {
		return err
	}
	return c.proxies.hurt(node, toxic{Type: "limit_data", Toxicity: 1, Attributes: map[string]int64{"bytes": 200_000}})
}

// Heal ends all that hurts the network before a broker.
func (c *Cluster) Heal(ctx context.Context, node int) error {
	proxy, err := c.proxies.server.Collection.Get(strconv.Itoa(node))
	if err != nil {
		return fmt.Errorf("there is no proxy before broker %d: %w", node, err)
	}
	proxy.Toxics.ResetToxics(ctx)
	return c.proxies.start(node)
}
