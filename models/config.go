package models

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	"nearline/batching"
	"nearline/internal/problems"
	"nearline/models/onnx"
)

// Config says where models lie and what they run on.
type Config struct {
	// Repository is the folder of models: NAME/VERSION/ with an integer version, as in TensorFlow Serving and Triton.
	Repository string `yaml:"repository"`
	// Versions pins models to a version; the others run their highest.
	Versions map[string]int `yaml:"versions"`
	// Device is cpu, cuda, or cuda:N for one of several GPUs.
	Device string `yaml:"device"`
	// Runtime is the path of ONNX Runtime's library, or of its folder; "" looks for it (see onnx.FindLibrary).
	Runtime string `yaml:"runtime"`
	// Slots is how many batches run at once; 0 is the container's cores ÷ threads, and 2 on a GPU, so that one fills its
	// input while the other computes.
	//
	// Cores are what runtime.GOMAXPROCS says at the start, which since Go 1.25 heeds the CPU quota of cgroups (but never says
	// less than 2 for a quota) and the CPU set; ONNX Runtime by itself heeds neither.
	Slots int `yaml:"slots"`
	// Threads is how many cores one run uses; 0 is 1. One run on all of 2 cores did 0.65 of the texts of one run on each (12
	// paired rounds of 80 texts of 81 tokens, MiniLM-L6 in int8), and 0.88 in 5 rounds on a busier machine; BenchmarkThreads
	// tells for another. More threads answer a lone text sooner.
	Threads int `yaml:"threads"`
	// HangTimeout is how long one run may take before the process is held to be stuck, and ends.
	HangTimeout time.Duration `yaml:"hang_timeout"`
	// LoadTimeout is how long loading one model may take, its warm-up and golden examples included, before the process ends; 0 is ten times
	// HangTimeout, and no limit where that has none.
	LoadTimeout time.Duration `yaml:"load_timeout"`
	// Batch bounds what runs together.
	Batch BatchConfig `yaml:"batch"`
}

// BatchConfig bounds micro-batches; 0 is the default for the device. A graph that computes quantisation scales while it
// runs gets one row at a time whatever is said here.
type BatchConfig struct {
	// MaxItems is the most texts in a batch; 0 is 1 on CPU, where one row without padding a run is as fast as any batch (300
	// to 370 reviews a second with all-MiniLM-L6-v2 in int8 on 4 cores either way), and 64 on a GPU, a guess.
	MaxItems int `yaml:"max_items"`
	// MaxTokens is the most tokens in a batch, padding included, or the most rows of tables; 0 is 16384, a guess.
	MaxTokens int `yaml:"max_tokens"`
	// MaxPadding bounds padded tokens ÷ real tokens; 0 is 1.1. More fills batches faster, and computes more that is thrown
	// away. A guess.
	MaxPadding float64 `yaml:"max_padding"`
	// Buckets are lengths in tokens that batches are padded up to where MaxPadding allows it, ascending, so that few shapes
	// occur. Empty is none on CPU, and eight an octave on a GPU (batching.DefaultBuckets); [1] is none there too. Past a
	// model's limit nothing is padded.
	Buckets []int `yaml:"buckets"`
	// Bound is how many rows of a model may wait in each class; 0 is 1024: some seconds' work of a CPU, and on a GPU enough
	// to find rows of equal length in. A guess.
	Bound int `yaml:"bound"`
}

// DefaultConfig says nothing but where the shipped models are.
func DefaultConfig() Config {
	return Config{
		Repository: "models/zoo",
		Device:     "cpu",
		// The longest run seen takes some tens of milliseconds. A guess, far above any run and below anybody's patience.
		HangTimeout: 30 * time.Second,
	}
}

// Bounds of what a config may ask for, all of them far above any machine.
const (
	maxSlots   = 1024
	maxTimeout = 24 * time.Hour
	maxRows    = 1 << 20
	maxBuckets = 1000
)

// Validate names every problem with its key, below path, its value and the remedy.
func (c Config) Validate(path string) error {
	var p problems.List
	if c.Repository == "" {
		p.Add(path+".repository", "is empty: want the folder that holds models as NAME/VERSION/, such as models/zoo")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Versions)) {
		if c.Versions[name] < 1 {
			p.Add(path+".versions."+name, "is %d: want at least 1, or leave it out for the highest", c.Versions[name])
		}
	}
	if _, err := onnx.ParseDevice(c.Device); err != nil {
		p.Add(path+".device", "is %q: want cpu, cuda, or cuda:N with the number of a GPU", c.Device)
	}
	atMost := func(key string, got, most int, zero string) {
		if got < 0 || got > most {
			p.Add(path+"."+key, "is %d: want 1 to %d, or 0 for %s", got, most, zero)
		}
	}
	atMost("slots", c.Slots, maxSlots, "one on each core")
	atMost("threads", c.Threads, maxSlots, "the default")
	if c.HangTimeout < 0 || c.HangTimeout > maxTimeout {
		p.Add(path+".hang_timeout", "is %v: want well over the longest run, such as 30s, at most %v, or 0 for no limit", c.HangTimeout, maxTimeout)
	}
	if c.LoadTimeout < 0 || c.LoadTimeout > 10*maxTimeout {
		p.Add(path+".load_timeout", "is %v: want well over what the largest model takes to load, such as 5m, at most %v, or 0 for ten times hang_timeout", c.LoadTimeout, 10*maxTimeout)
	}
	if c.Batch.MaxItems < 0 {
		p.Add(path+".batch.max_items", "is %d: want at least 1, or 0 for the default", c.Batch.MaxItems)
	}
	if c.Batch.MaxItems > maxRows {
		p.Add(path+".batch.max_items", "is %d: want at most %d", c.Batch.MaxItems, maxRows)
	}
	if c.Batch.MaxTokens < 0 {
		p.Add(path+".batch.max_tokens", "is %d: want at least the models' token limit, or 0 for the default", c.Batch.MaxTokens)
	}
	if c.Batch.MaxTokens > batching.MaxCost {
		p.Add(path+".batch.max_tokens", "is %d: want at most %d", c.Batch.MaxTokens, batching.MaxCost)
	}
	if n := len(c.Batch.Buckets); n > maxBuckets {
		p.Add(path+".batch.buckets", "has %d lengths: want at most %d, since few shapes are the point of them", n, maxBuckets)
	}
	if padding := c.Batch.MaxPadding; padding != 0 && !(padding >= 1 && padding <= 100) {
		p.Add(path+".batch.max_padding", "is %v: want 1 (rows of equal length only) to 100, such as 1.1, or 0 for the default", padding)
	}
	for i, b := range c.Batch.Buckets {
		if b < 1 || b > batching.MaxCost || i > 0 && b <= c.Batch.Buckets[i-1] {
			p.Add(fmt.Sprintf("%s.batch.buckets[%d]", path, i), "is %d: want lengths in tokens, each above the last, such as [32, 64, 128, 256]", b)
		}
	}
	if c.Batch.Bound > maxRows {
		p.Add(path+".batch.bound", "is %d: want at most %d", c.Batch.Bound, maxRows)
	}
	if c.Batch.Bound < 0 {
		p.Add(path+".batch.bound", "is %d: want at least 1, or 0 for the default", c.Batch.Bound)
	}
	return p.Err()
}

// loadLimit is how long loading a model may take; 0 is no limit.
func (c Config) loadLimit() time.Duration {
	if c.LoadTimeout > 0 {
		return c.LoadTimeout
	}
	return 10 * c.HangTimeout
}

// NewDevice makes the device that the models of this config share. Whoever makes it runs it (Device.Run).
func (c Config) NewDevice() *batching.Device {
	device, slots, _ := c.machine()
	return batching.NewDevice(batching.DeviceConfig{
		Name:        device.String(),
		Slots:       slots,
		MaxWait:     batching.DefaultMaxWait,
		HangTimeout: c.HangTimeout,
	})
}

// machine resolves what runs take. The config is valid.
func (c Config) machine() (device onnx.Device, slots, threads int) {
	device, _ = onnx.ParseDevice(c.Device)
	threads = max(1, c.Threads)
	slots = c.Slots
	switch {
	case slots > 0:
	case device.CUDA:
		slots = 2
	default:
		slots = max(1, runtime.GOMAXPROCS(0)/threads)
	}
	return device, slots, threads
}

// limits of a model that takes texts of maxTokens and whose rows are, or are not, to run alone.
func (c Config) limits(maxTokens int, alone bool) (batching.Limits, error) {
	device, _, _ := c.machine()
	l := batching.Limits{
		MaxItems:   1,
		MaxTokens:  max(16384, maxTokens),
		MaxPadding: 1.1,
		Order:      batching.Nearest,
		Bound:      1024,
	}
	if device.CUDA {
		l.MaxItems = 64
	}
	if c.Batch.MaxItems > 0 {
		l.MaxItems = c.Batch.MaxItems
	}
	if alone {
		l.MaxItems = 1
	}
	if c.Batch.MaxTokens > 0 {
		l.MaxTokens = c.Batch.MaxTokens
	}
	if l.MaxTokens < maxTokens {
		return l, fmt.Errorf("models.batch.max_tokens is %d: the model takes texts of %d tokens, want at least as many", l.MaxTokens, maxTokens)
	}
	if c.Batch.MaxPadding > 0 {
		l.MaxPadding = c.Batch.MaxPadding
	}
	if c.Batch.Bound > 0 {
		l.Bound = c.Batch.Bound
	}
	if !alone { // where scales are computed over what runs, padding would move them
		l.Buckets = c.buckets(maxTokens, device.CUDA)
	}
	return l, nil
}

// tableRows is how many inputs of tables share a run: by then what a run costs beside its rows is nothing. A guess.
const tableRows = 1024

// tableLimits are those of a model that reads tables: their rows are not padded, so that as many share a run as there are. MaxTokens bounds their
// rows; MaxItems and buckets are about texts.
func (c Config) tableLimits(alone bool) batching.Limits {
	l := batching.Limits{MaxItems: tableRows, MaxTokens: 16384, MaxPadding: 1, Packed: true, Order: batching.FirstCome, Bound: 4096}
	if c.Batch.MaxTokens > 0 {
		l.MaxTokens = c.Batch.MaxTokens
	}
	if c.Batch.Bound > 0 {
		l.Bound = c.Batch.Bound
	}
	if alone {
		l.MaxItems = 1
	}
	return l
}

// buckets of a model that takes texts of maxTokens: never past that.
func (c Config) buckets(maxTokens int, cuda bool) []int {
	switch {
	case len(c.Batch.Buckets) > 0:
		var within []int
		for _, b := range c.Batch.Buckets {
			within = append(within, min(b, maxTokens))
		}
		return slices.Compact(within)
	case cuda:
		return batching.DefaultBuckets(maxTokens)
	}
	return nil
}
