package pipeline

import (
	"testing"
	"time"
)

func TestPaceKeepsACycleWithinItsTime(t *testing.T) {
	c := CycleConfig{MaxRecords: 4096, MaxBytes: 1 << 20, MaxTime: 5 * time.Second}
	var p pace
	if got := p.limits(c).Records; got != firstCycle {
		t.Errorf("the first cycle takes %d records: want %d", got, firstCycle)
	}
	for range 20 {
		p.observe(256, 256*10*time.Millisecond)
	}
	if got := p.limits(c).Records; got < 495 || got > 505 {
		t.Errorf("at 100 records a second a cycle takes %d: want about 500", got)
	}
	before := p.limits(c).Records
	p.observe(1, time.Second) // a lone slow record says little
	if got := p.limits(c).Records; got < before*9/10 {
		t.Errorf("one slow record brought a cycle from %d records to %d", before, got)
	}
	for range 20 {
		p.observe(4096, time.Millisecond)
	}
	if got := p.limits(c); got.Records != c.MaxRecords || got.Bytes != 1<<20 {
		t.Errorf("a fast model's cycle is bounded by %+v: want %d records and 1 MiB", got, c.MaxRecords)
	}
	var slow pace
	slow.observe(1, time.Hour)
	if got := slow.limits(c).Records; got != 1 {
		t.Errorf("the slowest model's cycle takes %d records: want 1", got)
	}
	small := CycleConfig{MaxRecords: 3, MaxTime: time.Second}
	if got := new(pace).limits(small).Records; got != 3 {
		t.Errorf("the first cycle takes %d records: want max_records, 3", got)
	}
}

func TestPaceForgetsHeavyOutputsSoon(t *testing.T) {
	c := CycleConfig{MaxRecords: 4096, MaxBytes: 32 << 20, MaxTime: time.Second}
	p := pace{perSecond: 1e6}
	p.weigh(1, 8<<20)
	if got := p.limits(c).Records; got != 8 {
		t.Errorf("after outputs of 8 MiB a record a cycle takes %d, want 8 for 64 MiB", got)
	}
	for range 12 {
		p.weigh(8, 8*100)
	}
	if got := p.limits(c).Records; got != c.MaxRecords {
		t.Errorf("twelve light cycles later it takes %d records, want %d", got, c.MaxRecords)
	}
}

func TestBackoffGrowsToItsLimit(t *testing.T) {
	for blame, limit := range map[Blame]time.Duration{
		BlamePassing: passingBackoff, BlameRuntime: passingBackoff, BlamePermanent: permanentBackoff, BlameNobody: passingBackoff,
	} {
		var b backoff
		for i := range 40 {
			if got := b.next(blame); got > limit || got < firstBackoff/2 || i > 20 && got < limit/2 {
				t.Errorf("%v, attempt %d: waited %v, want at most %v and in the end at least half of it", blame, i, got, limit)
			}
		}
		b.reset()
		if got := b.next(blame); got > firstBackoff {
			t.Errorf("%v: waited %v after a reset, want at most %v", blame, got, firstBackoff)
		}
	}
}

func TestBackoffDoesNotSpinOnRefusals(t *testing.T) {
	var b backoff
	prompt := 0
	for b.next(BlameRecord) == 0 {
		if prompt++; prompt > 100 {
			t.Fatal("refusals are retried at once for ever")
		}
	}
	if prompt != promptAttempts {
		t.Errorf("%d attempts at once: want %d", prompt, promptAttempts)
	}
}
