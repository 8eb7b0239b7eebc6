package pipeline

import (
	"strings"
	"testing"
	"time"
)

func TestByteSizeReadsAndWritesUnits(t *testing.T) {
	for text, want := range map[string]ByteSize{
		"0": 0, "17": 17, "17B": 17, "512KiB": 512 << 10, "32MiB": 32 << 20, " 1 GiB ": 1 << 30,
	} {
		var got ByteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is read as %d, %v: want %d", text, got, err, want)
		}
		var again ByteSize
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%d is written as %q and read back as %d, %v", got, got, again, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5MiB", "10MB", "9999999999GiB", "99999999999999999999"} {
		var got ByteSize
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %d: want an error", text, got)
		}
	}
}

func TestCycleConfigNamesEveryProblem(t *testing.T) {
	if err := DefaultCycle().Validate("p"); err != nil {
		t.Errorf("the default is invalid: %v", err)
	}
	err := CycleConfig{MaxTime: time.Hour}.Validate("pipelines[0].cycle")
	if err == nil {
		t.Fatal("an empty config is valid")
	}
	for _, want := range []string{
		"pipelines[0].cycle.max_records is 0", "pipelines[0].cycle.max_bytes is 0", "pipelines[0].cycle.members is 0",
		"pipelines[0].cycle.max_time is 1h0m0s", "pipelines[0].cycle.shutdown is 0s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}
