package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"nearline/batching"
	"nearline/internal/config"
	"nearline/internal/service"
	"nearline/models"
	"nearline/schemas"
)

// scoring is the service with the real model, from the input topic to committed results, against the bare runtime on the same
// reviews with as many slots, and against itself with the batches that a plain server makes: whatever comes first, 32 at a
// time, padded to the longest.
func scoring(ctx context.Context, b *bench) (_ []figure, err error) {
	n := b.n
	if n == 0 {
		n = 1200
	}
	events, source, err := reviews(b.reviews, n)
	if err != nil {
		return nil, err
	}
	const in = "scoring.in"
	if err := b.broker.topic(ctx, in); err != nil {
		return nil, err
	}
	if err := b.broker.fill(ctx, in, events, n); err != nil {
		return nil, err
	}
	model, bare, err := newBareModel(ctx, events)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, model.Close(ctx)) }()
	var busy []float64
	var coresOurs, coresBare []usage
	ours := func(round int) (rate float64, err error) {
		used, err := watchCores(func() (err error) {
			var share float64
			rate, share, err = b.score(ctx, fmt.Sprintf("scoring.ours.%d", round), in, n, nil)
			busy = append(busy, share)
			return err
		})
		coresOurs = append(coresOurs, used)
		return rate, err
	}
	runtime := bareRate(n, &coresBare, func() error { return bare.run(1) })
	ratios, as, bs, err := paired(b.rounds, ours, runtime)
	if err != nil {
		return nil, err
	}
	fair, cores := perCore(ratios, coresOurs, coresBare), describeCores(coresOurs, coresBare, n)
	firstCome := &batching.Limits{MaxItems: 32, MaxTokens: 1 << 20, MaxPadding: 1e6, Order: batching.FirstCome, Bound: 4096}
	plain := func(round int) (float64, error) {
		rate, _, err := b.score(ctx, fmt.Sprintf("scoring.plain.%d", round), in, n, firstCome)
		return rate, err
	}
	oursAgain := func(round int) (float64, error) { return ours(round + b.rounds) }
	gains, cs, ds, err := paired(b.rounds, oursAgain, plain)
	if err != nil {
		return nil, err
	}
	return []figure{
		{name: "model slots busy, with a backlog", floor: 0.95, aim: 0.99, rounds: busy},
		{
			name: "end to end ÷ the bare runtime", floor: 0.93, aim: 0.97, rounds: ratios,
			note: fmt.Sprintf("%.1f reviews/s against %.1f, %d of %s", median(as), median(bs), n, source),
		},
		{name: "the same, for the cores left by others", floor: 0.93, aim: 0.97, rounds: fair, note: cores},
		{
			name: "ours ÷ first-come batches of 32, padded", floor: 1.8, aim: 2.1, rounds: gains,
			note: fmt.Sprintf("%.1f reviews/s against %.1f", median(cs), median(ds)),
		},
	}, nil
}

// bareRate is how many rows a second the bare runtime does, with the cores that it had.
func bareRate(n int, cores *[]usage, run func() error) measurement {
	return func(int) (rate float64, err error) {
		used, err := watchCores(func() error {
			began := time.Now()
			err := run()
			rate = float64(n) / time.Since(began).Seconds()
			return err
		})
		*cores = append(*cores, used)
		return rate, err
	}
}

// score runs a service of its own over the n reviews of a topic: reviews a second from the service's start, the model being
// loaded, to the last commit, and the share of the time that slots were busy.
func (b *bench) score(ctx context.Context, name, in string, n int, limits *batching.Limits) (rate, busy float64, err error) {
	out, dead := name+".out", name+".dlq"
	if err := b.broker.topic(ctx, out, dead); err != nil {
		return 0, 0, err
	}
	running, err := serve(ctx, pipelineYAML(b.broker.section, "models/zoo", "sentiment", name, in, out, dead), limits)
	if err != nil {
		return 0, 0, err
	}
	before := running.service.Device().Busy()
	err = running.until(ctx, n)
	took := time.Since(running.began)
	slots := running.service.Device().Slots()
	busy = (running.service.Device().Busy() - before).Seconds() / took.Seconds() / float64(slots)
	if err = errors.Join(err, running.stop()); err != nil {
		return 0, 0, err
	}
	return float64(n) / took.Seconds(), busy, b.broker.drop(ctx, out, dead)
}

// newBareModel loads the model beside the service's; it is closed by the caller.
func newBareModel(ctx context.Context, events [][]byte) (*models.Model, *bareRuntime, error) {
	c := models.DefaultConfig()
	decoder, err := schemas.NewDecoder(schemas.InputConfig{}, schemas.OutputConfig{}, schemas.Wanted{})
	if err != nil {
		return nil, nil, err
	}
	model, err := models.Load(ctx, c, "sentiment", c.NewDevice(), models.NewMetrics(nil))
	if err != nil {
		return nil, nil, err
	}
	bare, err := newBare(model, models.Texts(texts(decoder, events)...))
	if err != nil {
		return nil, nil, errors.Join(err, model.Close(ctx))
	}
	return model, bare, nil
}

// running is a service in this process.
type running struct {
	service *service.Service
	cancel  context.CancelFunc
	ended   errgroup.Group
	began   time.Time
}

// serve loads the models, and then starts the clock and the service.
func serve(ctx context.Context, yaml []byte, limits *batching.Limits) (*running, error) {
	c, _, err := config.Parse("bench.yaml", yaml)
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := service.Open(ctx, c, service.Options{Logger: logger, Limits: limits})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &running{service: s, cancel: cancel, began: time.Now()}
	r.ended.Go(func() error { return s.Run(ctx) })
	return r, nil
}

// until n records have had their effect.
func (r *running) until(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("the service did not get through in five minutes"))
	defer cancel()
	for r.service.Committed() < int64(n) {
		if err := pause(ctx, time.Millisecond); err != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

func (r *running) stop() error {
	r.cancel()
	return r.ended.Wait()
}

// serveConstant is a service whose model answers at once.
func serveConstant(ctx context.Context, cluster, name, in, out, dead string) (*running, error) {
	repository, err := constantRepository()
	if err != nil {
		return nil, err
	}
	return serve(ctx, pipelineYAML(cluster, repository, "constant", name, in, out, dead), nil)
}

// constantRepository is a folder with the constant model, for as long as the process lives.
func constantRepository() (string, error) {
	root := filepath.Join(".cache", "bench", "models")
	folder := filepath.Join(root, "constant", "1")
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // a cache, as readable as the checkout
		return "", err
	}
	manifest := []byte("task: constant\ncolumns: {sentiment: {label: positive, score: 0.5}, helpfulness: 0.5}\n")
	return root, os.WriteFile(filepath.Join(folder, "nearline.yaml"), manifest, 0o644) //nolint:gosec // likewise
}

// pipelineYAML is a configuration of one pipeline, with every default.
func pipelineYAML(cluster, repository, model, name, in, out, dead string) []byte {
	return fmt.Appendf(nil, `
kafka: %s
models: {repository: %q}
pipelines:
  - name: %s
    input: {topic: %s}
    steps: [{predict: {model: %s}}]
    output: {topic: %s}
    dead_letters: %s
serving: {http: "off"}
`, cluster, repository, name, in, model, out, dead)
}
