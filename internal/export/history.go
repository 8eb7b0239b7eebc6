package export

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/features"
	"nearline/pipeline"
)

// asked is what all rows together ask of one view.
type asked struct {
	view *View
	keys map[string]*history
	// told are the histories with updates of the partition that is being read.
	told    []*history
	now     int64    // latest time of an event in it
	first   int64    // when its first update was; math.MaxInt64 before that
	answers [][]byte // by row
	unknown int      // answers that are the view's defaults
	scratch []byte
}

// history of one key, as far as rows ask for it.
type history struct {
	moments []moment
	last    int64 // of them
	updates []told
	// partition that its updates are in.
	partition int32
	answered  bool
}

// nowhere is the partition of a key without updates.
const nowhere = -1

// moment is a row, and its time in milliseconds since 1970.
type moment struct {
	row int32
	at  int64
}

// told is an update, and when it was. It is kept as its bytes and parsed once more when it counts, since a parsed one is several times as large.
type told struct {
	at    int64
	value []byte
	// now is the latest time of an event in its partition by then, for a view that forgets.
	now int64
}

// add a row.
func (a *asked) add(row int32, key string, at int64) {
	h := a.keys[key]
	if h == nil {
		h = &history{last: math.MinInt64, partition: nowhere}
		a.keys[strings.Clone(key)] = h // lest all that was read of the row stays for it
	}
	h.moments = append(h.moments, moment{row, at})
	h.last = max(h.last, at)
}

// begin to answer so many rows.
func (a *asked) begin(rows int) {
	a.answers = make([][]byte, rows)
	for _, h := range a.keys {
		slices.SortFunc(h.moments, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	}
}

// hear of an update of a key.
func (a *asked) hear(h *history, u told) {
	if u.at >= h.last {
		return
	}
	if len(h.updates) == 0 {
		a.told = append(a.told, h)
	}
	u.value = bytes.Clone(u.value) // lest the whole fetch stays for it
	h.updates = append(h.updates, u)
}

// answerPartition answers the rows whose keys have updates in the partition that was read, and says how many of these counted.
func (a *asked) answerPartition(partition int32) (counted int64, err error) {
	for _, h := range a.told {
		n, err := a.answer(h)
		if err != nil {
			return counted, fmt.Errorf("%s[%d]: %w", a.view.Updates, partition, err)
		}
		counted += int64(n)
		h.updates = nil
	}
	a.told, a.now = a.told[:0], 0
	return counted, nil
}

// answer the rows of one key: each has the updates that are earlier than it, in the order of time; of the same time, in that of the topic.
func (a *asked) answer(h *history) (counted int, err error) {
	slices.SortStableFunc(h.updates, func(a, b told) int { return cmp.Compare(a.at, b.at) })
	replay := features.NewReplay(a.view.View)
	for _, m := range h.moments {
		for ; counted < len(h.updates) && h.updates[counted].at < m.at; counted++ {
			update, err := a.view.ParseUpdate(h.updates[counted].value)
			if err != nil {
				return counted, err // it was read before
			}
			replay.Add(update, max(h.updates[counted].now, update.At))
		}
		at := time.UnixMilli(m.at)
		values, latest := replay.Values(at)
		if latest.IsZero() {
			a.unknown++
		}
		a.scratch = a.view.appendAnswer(a.scratch[:0], values, latest, at)
		a.answers[m.row] = bytes.Clone(a.scratch)
	}
	h.answered = true
	return counted, nil
}

// answerRest answers the rows whose keys have no updates.
func (a *asked) answerRest() {
	values, none := features.NewReplay(a.view.View).Values(time.Time{})
	rest := a.view.appendAnswer(nil, values, none, time.Time{})
	for _, h := range a.keys {
		if h.answered {
			continue
		}
		for _, m := range h.moments {
			a.answers[m.row] = rest
			a.unknown++
		}
	}
}

// judge says what rows lack, where partitions do not begin with their first update but at some later time.
func (a *asked) judge(begins map[int32]int64, partitions int, report *ViewReport) {
	if len(begins) == 0 {
		return
	}
	report.Cut = true
	for _, begin := range begins {
		if t := time.UnixMilli(begin); begin < math.MaxInt64 && t.After(report.Since) {
			report.Since = t
		}
	}
	partitioner := kgo.StickyKeyPartitioner(nil).ForTopic(a.view.Updates) // as the service does
	for key, h := range a.keys {
		if h.partition == nowhere {
			h.partition = int32(partitioner.Partition(&kgo.Record{Key: []byte(key)}, partitions)) //nolint:gosec // there are so many
		}
		begin, cut := begins[h.partition]
		if !cut {
			continue
		}
		for _, m := range h.moments {
			if m.at <= begin {
				report.Blind++
			} else {
				report.Short++
			}
		}
	}
}

// appendAnswer writes "VIEW":{…},"VIEW_at":"2026-01-31T12:00:00.000Z","VIEW_age_seconds":12.5, both null where the values are defaults.
func (v *View) appendAnswer(dst []byte, values []pipeline.Field, latest, at time.Time) []byte {
	names := v.names()
	dst = appendName(dst, names[0])
	dst = append(dst, '{')
	for i, f := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		// Views have numbers and lists, whose text is JSON.
		dst = append(appendName(dst, f.Name), features.FormatValue(f.Value)...)
	}
	dst = appendName(append(dst, "},"...), names[1])
	if latest.IsZero() {
		return append(appendName(append(dst, "null,"...), names[2]), "null"...)
	}
	dst = latest.UTC().AppendFormat(dst, `"2006-01-02T15:04:05.000Z"`)
	dst = appendName(append(dst, ','), names[2])
	return strconv.AppendFloat(dst, float64(at.UnixMilli()-latest.UnixMilli())/1000, 'f', -1, 64)
}

func appendName(dst []byte, name string) []byte {
	dst, _ = jsontext.AppendQuote(dst, name) // fails only for what is no UTF-8, and becomes it
	return append(dst, ':')
}
