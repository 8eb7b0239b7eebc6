package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"nearline/models/onnx"
)

// askGPU asks nvidia-smi for fields of one GPU.
func askGPU(ctx context.Context, device onnx.Device, fields string) (string, error) {
	smi, err := exec.LookPath("nvidia-smi")
	if err != nil {
		return "", errors.New("nvidia-smi is not on the path")
	}
	out, err := exec.CommandContext(ctx, smi, "--query-gpu="+fields, "--format=csv,noheader", "-i", strconv.Itoa(device.Index)).CombinedOutput()
	answer := strings.Join(strings.Fields(string(out)), " ")
	if err != nil {
		return "", fmt.Errorf("nvidia-smi: %w: %s", err, answer)
	}
	return answer, nil
}

// gpuWatch samples how busy a GPU is, five times a second.
type gpuWatch struct {
	stop   context.CancelFunc
	values chan []float64
}

// watchGPU begins; end ends it. On CPU there is nothing to watch.
func watchGPU(ctx context.Context, device onnx.Device) *gpuWatch {
	ctx, stop := context.WithCancel(ctx)
	w := &gpuWatch{stop: stop, values: make(chan []float64, 1)}
	if !device.CUDA {
		w.values <- nil
		return w
	}
	smi := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200",
		"-i", strconv.Itoa(device.Index))
	go func() {
		out, _ := smi.Output() // it is killed when it has said enough
		w.values <- percentages(out)
	}()
	return w
}

// end returns what was sampled, for people.
func (w *gpuWatch) end() string {
	w.stop()
	values := <-w.values
	if len(values) == 0 {
		return "not sampled"
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return fmt.Sprintf("%.0f%% (%d samples of nvidia-smi)", sum/float64(len(values)), len(values))
}

// percentages are the lines that are numbers: a GPU that is shared says [N/A].
func percentages(out []byte) (values []float64) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		if v, err := strconv.ParseFloat(strings.TrimSpace(lines.Text()), 64); err == nil {
			values = append(values, v)
		}
	}
	return values
}
