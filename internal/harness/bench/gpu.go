package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"nearline/batching"
	"nearline/models"
	"nearline/models/onnx"
	"nearline/pipeline"
	"nearline/schemas"
)

// gpuName is what -only calls this check.
const gpuName = "gpu"

// gpuCheck is what is asked of a device: does it answer as the CPU does, how fast is the graph alone, how fast is the
// service, and what keeps it from being faster. On CPU it does the same, so that the check itself is tested.
type gpuCheck struct {
	device     string
	repository string // of the model that runs on the device
	reference  string // of the model that runs on CPU; "" is the same
	model      string
	library    string // ONNX Runtime
	with       string // more keys of the models section, in YAML
	members    int
	compared   int // texts
	round      time.Duration
	reviews    string // a file, or "" for texts that are made up
	n          int
	rounds     int
}

func (g *gpuCheck) flags(set *flag.FlagSet) {
	set.StringVar(&g.device, "device", "cuda", "with -only gpu: cpu, cuda or cuda:N")
	set.StringVar(&g.repository, "models", "models/zoo", "with -only gpu: the repository of the model that runs on the device")
	set.StringVar(&g.reference, "reference", "", "with -only gpu: another repository to compare with, on CPU, such as that of the int8 model")
	set.StringVar(&g.model, "model", "sentiment", "with -only gpu: the model")
	set.StringVar(&g.library, "onnxruntime", "", "with -only gpu: ONNX Runtime's library, or its folder")
	set.StringVar(&g.with, "with", "", "with -only gpu: more of the models section, such as 'slots: 3, batch: {max_items: 128}'")
	set.IntVar(&g.members, "members", 2, "with -only gpu: members of the consumer group")
	set.IntVar(&g.compared, "compared", 500, "with -only gpu: texts to compare the answers on")
	set.DurationVar(&g.round, "round", 300*time.Millisecond, "with -only gpu: how long each rate of the graph alone is measured")
}

// leastEqual is the share of labels that a device has to give as the CPU does with the same graph. A guess: float16 moves
// a probability by some thousandths, which turns few labels, and a broken graph or provider turns many.
const leastEqual = 0.98

func (g *gpuCheck) run(ctx context.Context, out io.Writer) (err error) {
	device, err := onnx.ParseDevice(g.device)
	if err != nil {
		return fmt.Errorf("-device: %w", err)
	}
	name, err := deviceName(ctx, device)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "device       %s\n", name)
	if g.n == 0 {
		g.n = 2000
		if device.CUDA {
			g.n = 200_000 // some ten seconds at 20000 a second
		}
	}
	texts, source, err := g.texts(min(g.n, 20_000))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "texts        %s\n", source)
	references := []string{g.repository}
	if g.reference != "" && g.reference != g.repository {
		references = append(references, g.reference)
	}
	if err := g.compare(ctx, out, texts[:min(g.compared, len(texts))], references); err != nil {
		return err
	}
	if err := g.paces(ctx, out, device.CUDA); err != nil {
		return err
	}
	return g.endToEnd(ctx, out, device, texts)
}

// config of the models, on a device.
func (g *gpuCheck) config(repository, device string) models.Config {
	c := models.DefaultConfig()
	c.Repository, c.Device, c.Runtime = repository, device, g.library
	return c
}

// compare the device's answers with the CPU's.
func (g *gpuCheck) compare(ctx context.Context, out io.Writer, texts, references []string) error {
	ours, err := g.answers(ctx, g.repository, g.device, texts)
	if err != nil {
		return err
	}
	for i, repository := range references {
		theirs, err := g.answers(ctx, repository, "cpu", texts)
		if err != nil {
			return err
		}
		d := compareAnswers(ours, theirs)
		fmt.Fprintf(out, "answers      %s on %s, %s on cpu: %.2f%% of %d labels equal, probabilities at most %.4f apart\n",
			g.repository, g.device, repository, 100*d.equal(), d.labels, d.furthest)
		if i == 0 && d.equal() < leastEqual {
			return fmt.Errorf("%s answers otherwise than the CPU: %.2f%% of labels equal, want at least %.0f%%", g.device, 100*d.equal(), 100*leastEqual)
		}
	}
	return nil
}

// answers of a model to the texts, batched as the service batches them.
func (g *gpuCheck) answers(ctx context.Context, repository, device string, texts []string) (_ []pipeline.Prediction, err error) {
	c := g.config(repository, device)
	on := c.NewDevice()
	running, stop := context.WithCancel(ctx)
	var ended errgroup.Group
	ended.Go(func() error { return on.Run(running) })
	defer func() {
		stop()
		err = errors.Join(err, ended.Wait())
	}()
	m, err := models.Load(ctx, c, g.model, on, models.NewMetrics(nil))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close(ctx)) }()
	predictions, faults, err := m.Predict(ctx, batching.Stream, models.Texts(texts...))
	return predictions, errors.Join(append(faults, err)...)
}

// agreement of two lists of answers.
type agreement struct {
	labels, same int
	furthest     float64 // of scores; where labels differ, of the probabilities of the first one's label if there are two
}

func (a agreement) equal() float64 {
	if a.labels == 0 {
		return 1
	}
	return float64(a.same) / float64(a.labels)
}

func compareAnswers(ours, theirs []pipeline.Prediction) (a agreement) {
	for i := range ours {
		for _, column := range ours[i].Columns {
			for _, other := range theirs[i].Columns {
				if column.Name == other.Name {
					a.add(column.Value, other.Value)
				}
			}
		}
	}
	return a
}

func (a *agreement) add(x, y pipeline.Value) {
	if x.Kind != pipeline.Object {
		a.furthest = max(a.furthest, math.Abs(x.Float-y.Float))
		return
	}
	label, _ := x.Lookup("label")
	other, _ := y.Lookup("label")
	p, _ := x.Lookup("score")
	q, _ := y.Lookup("score")
	a.labels++
	if label.Str == other.Str {
		a.same++
	} else {
		q.Float = 1 - q.Float
	}
	a.furthest = max(a.furthest, math.Abs(p.Float-q.Float))
}

// paces prints what the graph alone does, with one slot and with two.
func (g *gpuCheck) paces(ctx context.Context, out io.Writer, cuda bool) error {
	lengths, batches, slots := []int{16, 64, 128}, []int{1, 8}, []int{1}
	if cuda {
		lengths, batches, slots = []int{16, 32, 64, 96, 128, 256, 384}, []int{1, 4, 16, 64, 256}, []int{1, 2, 3}
	}
	for _, n := range slots {
		c := g.config(g.repository, g.device)
		c.Slots = n
		m, err := models.Load(ctx, c, g.model, c.NewDevice(), models.NewMetrics(nil))
		if err != nil {
			return err
		}
		if m.Info().Alone != "" {
			batches = batches[:1]
		}
		fmt.Fprintf(out, "graph alone  slots %d; texts a second by tokens (down) and texts in a batch (across)\n%12s", n, "")
		for _, batch := range batches {
			fmt.Fprintf(out, " %9d", batch)
		}
		fmt.Fprintln(out)
		for _, tokens := range lengths {
			if tokens > m.Info().MaxTokens {
				continue
			}
			fmt.Fprintf(out, "%12d", tokens)
			for _, batch := range batches {
				p, err := m.Pace(ctx, tokens, batch, g.round)
				if err != nil {
					return errors.Join(err, m.Close(ctx))
				}
				fmt.Fprintf(out, " %9.0f", p.Texts)
			}
			fmt.Fprintln(out)
		}
		if err := m.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}

// endToEnd runs the whole service over a backlog, from the input topic to committed results.
func (g *gpuCheck) endToEnd(ctx context.Context, out io.Writer, device onnx.Device, texts []string) (err error) {
	broker, err := startBroker("", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.close()) }()
	const in = "gpu.in"
	if err := broker.topic(ctx, in); err != nil {
		return err
	}
	events := make([][]byte, len(texts))
	for i, text := range texts {
		if events[i], err = eventOf(i, text); err != nil {
			return err
		}
	}
	if err := broker.fill(ctx, in, events, g.n); err != nil {
		return err
	}
	for round := range g.rounds {
		if err := g.pass(ctx, out, broker, device, in, round); err != nil {
			return err
		}
	}
	return nil
}

// pass is one run over all events. What is printed is of the time from the first tenth of the commits to the last, so that
// joining the group is not in it; of all of the time where a cycle or two commit everything.
func (g *gpuCheck) pass(ctx context.Context, out io.Writer, b *broker, device onnx.Device, in string, round int) (err error) {
	name := fmt.Sprintf("gpu.%d", round)
	if err := b.topic(ctx, name+".out", name+".dlq"); err != nil {
		return err
	}
	yaml, err := g.yaml(b.section, name, in)
	if err != nil {
		return err
	}
	running, err := serve(ctx, yaml, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.stop()) }()
	first, began, before := int64(0), running.began, running.service.Device().Stats()
	watch := watchGPU(ctx, device)
	if err = running.until(ctx, g.n/10); err == nil && running.service.Committed() < int64(g.n)/4 {
		watch.end()
		watch = watchGPU(ctx, device)
		first, began, before = running.service.Committed(), time.Now(), running.service.Device().Stats()
	}
	if err == nil {
		err = running.until(ctx, g.n)
	}
	took, after := time.Since(began).Seconds(), running.service.Device().Stats()
	utilization := watch.end()
	if err != nil {
		return err
	}
	scored := float64(running.service.Committed() - first)
	rows, batches := after.Rows-before.Rows, max(1, after.Batches-before.Batches)
	fmt.Fprintf(out, "end to end   %.0f texts/s, %.0f tokens/s; slots busy %.1f%%, %.1f rows a batch, padding %.3f; GPU busy %s\n",
		scored/took, float64(after.RealTokens-before.RealTokens)/took,
		100*(after.Busy-before.Busy).Seconds()/took/float64(running.service.Device().Slots()), float64(rows)/float64(batches),
		float64(after.PaddedTokens-before.PaddedTokens)/math.Max(1, float64(after.RealTokens-before.RealTokens)), utilization)
	return b.drop(ctx, name+".out", name+".dlq")
}

// yaml is the configuration of the service.
func (g *gpuCheck) yaml(cluster, name, in string) ([]byte, error) {
	repository, err := filepath.Abs(g.repository)
	if err != nil {
		return nil, err
	}
	keys := []string{"repository: " + strconv.Quote(repository), "device: " + strconv.Quote(g.device)}
	if g.library != "" {
		library, err := filepath.Abs(g.library)
		if err != nil {
			return nil, err
		}
		keys = append(keys, "runtime: "+strconv.Quote(library))
	}
	if g.with != "" {
		keys = append(keys, g.with)
	}
	return fmt.Appendf(nil, `
kafka: %s
models: {%s}
pipelines:
  - name: %[3]s
    input: {topic: %[4]s}
    steps: [{predict: {model: %[5]s}}]
    output: {topic: %[3]s.out}
    dead_letters: %[3]s.dlq
    cycle: {members: %[6]d}
serving: {http: "off"}
`, cluster, strings.Join(keys, ", "), name, in, g.model, g.members), nil
}

// deviceName says what the figures were measured on, or that there is no such thing.
func deviceName(ctx context.Context, device onnx.Device) (string, error) {
	if !device.CUDA {
		return fmt.Sprintf("cpu, %d cores, %s", runtime.GOMAXPROCS(0), runtime.GOARCH), nil
	}
	name, err := askGPU(ctx, device, "name,driver_version,memory.total")
	if err != nil {
		return "", fmt.Errorf("there is no NVIDIA GPU %d here: %w; -device cpu (make gpu-check DEVICE=cpu) runs the check without one", device.Index, err)
	}
	return name, nil
}

// texts of the service's events, and a word on what they are.
func (g *gpuCheck) texts(n int) ([]string, string, error) {
	if g.reviews == "" {
		return madeUp(g.config(g.repository, "cpu"), g.model, n)
	}
	events, source, err := reviews(g.reviews, n)
	if err != nil {
		return nil, "", err
	}
	decoder, err := schemas.NewDecoder(schemas.InputConfig{}, schemas.OutputConfig{}, schemas.Wanted{})
	if err != nil {
		return nil, "", err
	}
	list := texts(decoder, events)
	if len(list) == 0 {
		return nil, "", fmt.Errorf("%s has no line with a text", g.reviews)
	}
	return list, source, nil
}
