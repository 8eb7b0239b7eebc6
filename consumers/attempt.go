package consumers

import (
	"crypto/rand"
	"strings"

	"nearline/pipeline"
)

// attempt is a durable mark: these records are about to be worked on, by this process. It stands in the attempts' topic, under
// the partition that it is of, before anything is done with the records.
//
// An error in a model costs a record; a crash in it (a segmentation fault, a division by zero in native code, memory that
// the kernel takes back with the process) costs the process, and says nothing of the record that did it. Its successor
// reads the same records from the same offset, and dies in turn. What is left is the mark: the successor knows by it that
// somebody did not come to an end with these records, and takes them in ever smaller cycles, until the one that ends a process
// is alone.
//
// A mark that was written late, twice or by a member that the group has given up does no harm: an ordinary one counts only for a
// partition that still stands at its first offset, others only within their range, and marks have no part in what is committed.
type attempt struct {
	// By names the process: what rand.Text makes up at its start.
	By string `json:"by"`
	// From is the first offset that was taken, Until the one after the last.
	From  int64 `json:"from"`
	Until int64 `json:"until"`
	// Size is how many records at a time are taken from a range in doubt, which ends before End. 0 is an ordinary cycle.
	Size int   `json:"size,omitempty"`
	End  int64 `json:"end,omitempty"`
	// Deaths of processes so far, while the record at From was the only one in their hands.
	Deaths int `json:"deaths,omitempty"`
	// Survived says that the work was done and the process still lived: what is missing is the commit.
	Survived bool `json:"survived,omitempty"`
}

// valid says whether this code could have written the mark.
func (a attempt) valid() bool {
	if len(a.By) != len(rand.Text()) || strings.Trim(a.By, base32Letters) != "" || a.From < 0 || a.Until <= a.From {
		return false
	}
	switch a.Size {
	case 0:
		return a.End == 0 && a.Deaths == 0
	case 1:
		// A record that has ended as many processes as condemn it is not tried again.
		return a.End > a.From && a.Until == a.From+1 && a.Deaths >= 0 && a.Deaths < guilty
	case firstDoubt, secondDoubt:
		return a.End > a.From && a.Deaths == 0
	}
	return false
}

// base32Letters are what rand.Text is made of.
const base32Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// after is what the mark says to whoever has seen the one before it of the same partition.
//
// A mark's word is not taken for what other processes went through, since whoever may write to the topic may write anything: a record that is
// said to have ended a process is one only if this reader has seen the mark of its trial, alone, and after that the mark of another process that
// came in its place. So a mark in a small cycle has to be what this code makes of the mark before it. Where it is not (somebody made it up; or
// what was before it is gone by retention or compaction, or with the topic), it tells of an attempt at its records, and of nothing before: they are
// tried again, in small cycles, and nobody is condemned for it.
func (a attempt) after(before attempt, known bool) attempt {
	if a.Size == 0 {
		return a
	}
	if known {
		if d, ok := before.doubt(a.By, a.From); ok && d.size == a.Size && d.end == a.End {
			a.Deaths = min(a.Deaths, d.deaths)
			return a
		}
	}
	return attempt{By: a.By, From: a.From, Until: a.Until, Survived: a.Survived}
}

// doubt is a range of a partition in which some record may end the process.
type doubt struct {
	end    int64 // the offset after the last
	size   int   // records that are taken at a time
	deaths int   // as in attempt
}

const (
	// firstDoubt and secondDoubt are the sizes of cycles over a range that a process did not come to an end with, by how large it is;
	// at the end records are taken one by one. Most processes end for other reasons than a record, and 17 records one by one held a
	// partition up for 3 s; in eights they are 3 cycles, at the price of one more death where it is a record.
	firstDoubt  = 64
	secondDoubt = 8
	// guilty is how many deaths condemn a record that was alone in the process each time. One may be a coincidence: a
	// machine that is lost in just that moment.
	guilty = 2
)

// doubt says what the mark means for whoever comes to its partition, finds it at an offset, and is the process me.
func (a attempt) doubt(me string, at int64) (doubt, bool) {
	ordinary := a.Size == 0
	switch {
	case !ordinary && a.From < at && at < a.End: // what was marked is behind, the rest of the range is not
		return doubt{end: a.End, size: a.Size}, true
	case a.From != at:
		return doubt{}, false
	case ordinary && (a.By == me || a.Survived):
		return doubt{}, false
	case ordinary:
		return narrower(a.From, a.Until), true
	case a.Survived:
		return doubt{end: a.End, size: a.Size}, true
	case a.By == me: // the member was made anew, and the process lives
		return doubt{end: a.End, size: a.Size, deaths: a.Deaths}, true
	case a.Size == 1:
		return doubt{end: a.End, size: 1, deaths: a.Deaths + 1}, true
	default:
		return narrower(a.From, a.Until), true
	}
}

func narrower(from, until int64) doubt {
	switch n := until - from; {
	case n > firstDoubt:
		return doubt{end: until, size: firstDoubt}
	case n > secondDoubt:
		return doubt{end: until, size: secondDoubt}
	}
	return doubt{end: until, size: 1}
}

// span is what a cycle has taken of one partition.
type span struct {
	from, until int64
	records     int
}

// spans of records, by partition. Each partition's records are in their order.
func spans(records []*pipeline.Record) map[int32]span {
	taken := make(map[int32]span)
	for _, r := range records {
		s, seen := taken[r.Partition]
		if !seen {
			s.from = r.Offset
		}
		s.until = r.Offset + 1
		s.records++
		taken[r.Partition] = s
	}
	return taken
}
