package consumers

import "nearline/pipeline"

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
	// By names the process.
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
