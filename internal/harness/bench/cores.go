package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/prometheus/procfs"
)

// usage is what became of the machine's cores while something was measured.
type usage struct {
	// left is how many cores others left for this process, on average; all of them where it cannot be known.
	left float64
	// own is the seconds of CPU that this process took.
	own float64
}

// watchCores says how the cores were used while f ran: where the brokers are on the same machine they take their share, and the model's
// rate is by so much lower than on cores of its own.
func watchCores(f func() error) (u usage, err error) {
	others, own, ok := cpuSeconds()
	began := time.Now()
	if err := f(); err != nil {
		return u, err
	}
	othersNow, ownNow, still := cpuSeconds()
	u = usage{left: float64(runtime.NumCPU()), own: ownNow - own}
	if ok && still {
		u.left -= (othersNow - others) / time.Since(began).Seconds()
	}
	return u, nil
}

// cpuSeconds are those that all but this process have taken since the machine started, what a hypervisor took away among them, and
// those of this process. Linux only.
func cpuSeconds() (others, own float64, ok bool) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, 0, false
	}
	all, err := fs.Stat()
	if err != nil {
		return 0, 0, false
	}
	self, err := fs.Self()
	if err != nil {
		return 0, 0, false
	}
	stat, err := self.Stat()
	if err != nil {
		return 0, 0, false
	}
	cpu := all.CPUTotal
	return cpu.User + cpu.Nice + cpu.System + cpu.IRQ + cpu.SoftIRQ + cpu.Steal - stat.CPUTime(), stat.CPUTime(), true
}

// perCore is the ratio of two sides, each for the cores that were left for it.
func perCore(ratios []float64, left, right []usage) []float64 {
	fair := make([]float64, len(ratios))
	for i := range ratios {
		fair[i] = ratios[i] * right[i].left / left[i].left
	}
	return fair
}

func describeCores(ours, bare []usage, n int) string {
	middle := func(all []usage, of func(usage) float64) float64 {
		values := make([]float64, len(all))
		for i, u := range all {
			values[i] = of(u)
		}
		return median(values)
	}
	left := func(u usage) float64 { return u.left }
	own := func(u usage) float64 { return u.own / float64(n) * 1000 }
	return fmt.Sprintf("of %d cores others left %.2f for ours and %.2f for the bare runtime, which took %.2f and %.2f ms of CPU a review",
		runtime.NumCPU(), middle(ours, left), middle(bare, left), middle(ours, own), middle(bare, own))
}
