package hostile

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// Record is one record, and what is to become of it.
type Record struct {
	Key, Value []byte
	Filler     int64 // a value of so many equal bytes, in place of Value
	Headers    []kgo.RecordHeader
	Kind       string
	// Scored and Deleted say that a result, or a tombstone, may come of it; Classes, of which classes its dead letter may be.
	Scored, Deleted bool
	Classes         []pipeline.Class
}

// Generator makes records from a seed. Not safe for concurrent use.
type Generator struct {
	random *rand.Rand
	n      int
}

// NewGenerator begins at the seed.
func NewGenerator(seed uint64) *Generator {
	return &Generator{random: rand.New(rand.NewPCG(seed, 0x686f7374696c65))} //nolint:gosec // a load, not a secret
}

// Next record: one in three is good, the others hurt.
func (g *Generator) Next() Record {
	g.n++
	if g.random.IntN(3) == 0 {
		return g.good()
	}
	r := makers[g.random.IntN(len(makers))](g)
	if r.Key == nil && r.Kind != "tombstone without a key" && g.random.IntN(4) > 0 {
		r.Key = g.key()
	}
	return r
}

func (g *Generator) key() []byte { return fmt.Appendf(nil, "item-%d", g.random.IntN(500)) }

func (g *Generator) good() Record {
	return Record{Key: g.key(), Value: g.review(nil), Kind: "good", Scored: true}
}

var words = strings.Fields("warm light soft loud dull cheap sturdy wobbly it the box lid zip arrived broke works shines and but never again")

func (g *Generator) text() string {
	text := make([]string, 3+g.random.IntN(40))
	for i := range text {
		text[i] = words[g.random.IntN(len(words))]
	}
	return strings.Join(text, " ")
}

// review is a valid one, with some fields set to something else.
func (g *Generator) review(set map[string]any) []byte {
	review := map[string]any{
		"review_id": fmt.Sprintf("r%d", g.n), "item_id": fmt.Sprintf("item-%d", g.random.IntN(500)),
		"title": g.text(), "text": g.text(), "rating": 1 + g.random.IntN(5),
	}
	for name, value := range set {
		if review[name] = value; value == absent {
			delete(review, name)
		}
	}
	b, err := json.Marshal(review)
	if err != nil {
		panic(err) // made of strings and numbers
	}
	return b
}

// absent takes a field out; any other value, null too, is set.
var absent = new(int)

// makers of what hurts.
var makers = []func(*Generator) Record{
	(*Generator).fuzzed, (*Generator).mutated, (*Generator).truncated, (*Generator).wrongType, (*Generator).wrongWhole, (*Generator).missing,
	(*Generator).deep, (*Generator).giant, (*Generator).encoding, (*Generator).trailing, (*Generator).empty, (*Generator).tombstone,
	(*Generator).number, (*Generator).headers,
}

func died(kind string, value []byte, classes ...pipeline.Class) Record {
	return Record{Kind: kind, Value: value, Classes: classes}
}

// fuzzed bytes; a byte that no text begins with stands first, so that they are never a review by chance.
func (g *Generator) fuzzed() Record {
	b := make([]byte, 1+g.random.IntN(2000))
	for i := range b {
		b[i] = byte(g.random.Uint32())
	}
	b[0] = 0xff
	return died("fuzzed bytes", b, pipeline.ClassDecode)
}

// mutated is a review with some bytes changed: whatever that makes of it.
func (g *Generator) mutated() Record {
	b := g.review(nil)
	for range 1 + g.random.IntN(8) {
		b[g.random.IntN(len(b))] = byte(g.random.Uint32())
	}
	r := died("changed bytes", b, pipeline.ClassDecode, pipeline.ClassInvalid)
	r.Scored = true
	return r
}

func (g *Generator) truncated() Record {
	b := g.review(nil)
	return died("cut off", b[:1+g.random.IntN(len(b)-1)], pipeline.ClassDecode)
}

// wrong values for a field, one of every type of JSON.
var wrong = []any{nil, true, 17, -1.5e300, "", []any{}, []any{"a"}, map[string]any{}, map[string]any{"text": "t"}, " \t\n"}

func (g *Generator) wrongType() Record {
	field := []string{"text", "title", "review_id"}[g.random.IntN(3)]
	value := wrong[g.random.IntN(len(wrong))]
	r := died(fmt.Sprintf("%s is %T", field, value), g.review(map[string]any{field: value}), pipeline.ClassInvalid)
	switch value.(type) { // an id may be absent or a number, a title absent; texts of them are as good as any
	case nil, int, string:
		if r.Scored = field != "text" && (field == "review_id" || value != 17); r.Scored {
			r.Classes = nil
		}
	}
	return r
}

func (g *Generator) wrongWhole() Record {
	whole := []string{"null", "true", "17", `"text"`, "[]", "[" + string(g.review(nil)) + "]", "{}", "nil", "'", "{'text': 'x'}", "<xml/>"}
	return died("not a review", []byte(whole[g.random.IntN(len(whole))]), pipeline.ClassDecode, pipeline.ClassInvalid)
}

func (g *Generator) missing() Record {
	return died("without text", g.review(map[string]any{"text": absent}), pipeline.ClassInvalid)
}

func (g *Generator) deep() Record {
	depth := 101 + g.random.IntN(1000)
	if g.random.IntN(50) == 0 {
		depth += 100_000
	}
	opening, closing := "[", "]"
	if g.random.IntN(2) == 0 {
		opening, closing = `{"a":`, "}"
	}
	b := g.review(nil)
	b = append(b[:len(b)-1], `,"nest":`+strings.Repeat(opening, depth)+"1"...)
	if g.random.IntN(2) == 0 {
		b = append(b, strings.Repeat(closing, depth)+"}"...)
	}
	return died("nested deep", b, pipeline.ClassDecode)
}

// giant is larger than max_value_bytes, and rare.
func (g *Generator) giant() Record {
	if g.random.IntN(20) > 0 {
		return g.wrongType()
	}
	value := g.review(map[string]any{"text": strings.Repeat(g.text()+" ", 1+(1<<20+g.random.IntN(3<<20))/10)})
	return died("giant", value[:min(len(value), 4<<20)], pipeline.ClassTooLarge)
}

func (g *Generator) encoding() Record {
	bad := []string{"\xff", "\xc3\x28", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80", "tr\xe8s"}
	b := g.review(map[string]any{"text": "here: MARK"})
	return died("not UTF-8", []byte(strings.Replace(string(b), "MARK", bad[g.random.IntN(len(bad))], 1)), pipeline.ClassDecode)
}

func (g *Generator) trailing() Record {
	return died("something follows", append(g.review(nil), []string{"{}", "x", ",", "\x00", "]"}[g.random.IntN(5)]...), pipeline.ClassDecode)
}

func (g *Generator) empty() Record {
	return died("empty", []byte(strings.Repeat(" ", g.random.IntN(3))), pipeline.ClassDecode)
}

func (g *Generator) tombstone() Record {
	if g.random.IntN(2) == 0 {
		return Record{Kind: "tombstone", Key: g.key(), Deleted: true}
	}
	return died("tombstone without a key", nil, pipeline.ClassNoKey)
}

func (g *Generator) number() Record {
	b := g.review(map[string]any{"review_id": 7})
	numbers := []string{"1e999", "-1e999", "1.5", "1" + strings.Repeat("0", 400)}
	return died("a number out of range", []byte(strings.Replace(string(b), `"review_id":7`, `"review_id":`+numbers[g.random.IntN(len(numbers))], 1)), pipeline.ClassInvalid)
}

// headers without end, on a good review: what becomes of it depends on what topics take.
func (g *Generator) headers() Record {
	if g.random.IntN(50) > 0 {
		return g.truncated()
	}
	r := g.good()
	r.Kind, r.Classes = "many headers", []pipeline.Class{pipeline.ClassTooLarge}
	r.Headers = make([]kgo.RecordHeader, 1+g.random.IntN(20_000))
	for i := range r.Headers {
		r.Headers[i] = kgo.RecordHeader{Key: "h"}
	}
	return r
}

// Bomb is a batch whose first record is a value of that many equal bytes, between good neighbours.
func (g *Generator) Bomb(partition int32, codec kgo.CompressionCodecType, size int64) *Batch {
	b := &Batch{Partition: partition, Codec: codec}
	bomb := Record{Key: g.key(), Filler: size, Kind: "bomb", Classes: []pipeline.Class{pipeline.ClassTooLarge}}
	for _, r := range []Record{g.good(), bomb, g.good()} {
		g.n++
		b.Records = append(b.Records, r)
	}
	return b
}

var codecs = []kgo.CompressionCodecType{kgo.CodecNone, kgo.CodecGzip, kgo.CodecSnappy, kgo.CodecLz4, kgo.CodecZstd}

// Batch of the next records, of any codec; a batch is filled up to about half a megabyte.
func (g *Generator) Batch(partition int32, most int) *Batch {
	b := &Batch{Partition: partition, Codec: codecs[g.random.IntN(len(codecs))]}
	size := 0
	for len(b.Records) < most && size < 512<<10 {
		r := g.Next()
		b.Records = append(b.Records, r)
		if size += len(r.Value) + 4*len(r.Headers); len(r.Value) > 512<<10 {
			b.Codec = []kgo.CompressionCodecType{kgo.CodecGzip, kgo.CodecZstd}[g.random.IntN(2)] // or it would not pass its topic
		}
	}
	return b
}
