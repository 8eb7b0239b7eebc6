package decompress

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/harness/hostile"
)

// fetch has the client's own code take batches apart, as if they had been fetched one after another.
func fetch(t testing.TB, d kgo.Decompressor, batches ...*hostile.Batch) ([]*kgo.Record, error) {
	t.Helper()
	all, next := encode(t, batches...)
	return process(t, d, all, next)
}

// encode batches as a broker has them, and say which offset comes after them.
func encode(t testing.TB, batches ...*hostile.Batch) (all []byte, next int64) {
	t.Helper()
	next = 100
	for _, b := range batches {
		encoded, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		binary.BigEndian.PutUint64(encoded, uint64(next))
		next += int64(len(b.Records))
		all = append(all, encoded...)
	}
	return all, next
}

func process(t testing.TB, d kgo.Decompressor, all []byte, want int64) ([]*kgo.Record, error) {
	t.Helper()
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t", Offset: 100},
		&kmsg.FetchResponseTopicPartition{RecordBatches: all}, d, nil)
	if got.Err == nil && next != want {
		t.Errorf("the client goes on at offset %d, want %d", next, want)
	}
	return got.Records, got.Err
}

func records(values ...string) []hostile.Record {
	all := make([]hostile.Record, len(values))
	for i, v := range values {
		all[i] = hostile.Record{Key: fmt.Appendf(nil, "k%d", i), Value: []byte(v), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(v[:min(3, len(v))])}}}
	}
	return all
}

var codecs = map[string]kgo.CompressionCodecType{
	"gzip": kgo.CodecGzip, "snappy": kgo.CodecSnappy, "lz4": kgo.CodecLz4, "zstd": kgo.CodecZstd,
}

func describe(records []*kgo.Record) string {
	var b strings.Builder
	for _, r := range records {
		fmt.Fprintf(&b, "%d %q=%q nil=%t %v\n", r.Offset, r.Key, r.Value, r.Value == nil, r.Headers)
	}
	return b.String()
}

func TestOrdinaryBatchesAreWhatTheClientMakesOfThem(t *testing.T) {
	for name, codec := range codecs {
		generator := hostile.NewGenerator(uint64(codec))
		d := NewBounded(64 << 20)
		for range 10 {
			b := generator.Batch(0, 50)
			b.Codec = codec
			want, err := fetch(t, kgo.DefaultDecompressor(), b)
			if err != nil {
				t.Fatal(err)
			}
			got, err := fetch(t, d, b)
			if err != nil || describe(got) != describe(want) {
				t.Fatalf("%s: got %v and\n%s, want\n%s", name, err, describe(got), describe(want))
			}
			for _, r := range got {
				if d.withheld(r) != nil {
					t.Errorf("%s: offset %d is withheld", name, r.Offset)
				}
			}
		}
	}
}

// watch returns how many bytes of the heap are in use at the most while f runs, beside those before, as far as a look every
// millisecond tells. Garbage is collected early meanwhile: it is what is held that counts.
func watch(f func()) int64 {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	inUse := func() int64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64())
	}
	runtime.GC()
	before, peak := inUse(), int64(0)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for ticker := time.NewTicker(time.Millisecond); ; {
			select {
			case <-done:
				ticker.Stop()
				return
			case <-ticker.C:
				peak = max(peak, inUse()-before)
			}
		}
	}()
	f()
	close(done)
	<-ended
	return max(peak, inUse()-before)
}

func TestBombsAreDefused(t *testing.T) {
	const limit = 64 << 20
	for name, size := range map[string]int64{"gzip": 256 << 20, "zstd": 1<<30 + 77, "lz4": 240 << 20, "snappy": 80 << 20} {
		t.Run(name, func(t *testing.T) {
			b := hostile.NewGenerator(1).Bomb(0, codecs[name], size)
			d := NewBounded(limit)
			encoded, next := encode(t, b)
			var got []*kgo.Record
			var err error
			peak := watch(func() { got, err = process(t, d, encoded, next) })
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d MiB: the heap grew by %d MiB", size>>20, peak>>20)
			if peak > limit {
				t.Errorf("the heap grew by %d MiB, want less than %d", peak>>20, limit>>20)
			}
			if len(got) != 3 || d.withheld(got[0]) != nil || d.withheld(got[2]) != nil || !bytes.Equal(got[2].Value, b.Records[2].Value) {
				t.Fatalf("got %d records, want three, and the bomb's neighbours whole", len(got))
			}
			w := d.withheld(got[1])
			if w == nil || w.Length != size || w.SHA256 != filled(size) || string(w.FirstBytes) != strings.Repeat("z", 64) {
				t.Errorf("got %+v, want %d bytes with sha256 %x", w, size, filled(size))
			}
			if got[1].Offset != 101 || !bytes.Equal(got[1].Key, b.Records[1].Key) || got[1].Value == nil || len(got[1].Value) > 0 {
				t.Errorf("got %s, want the bomb's place and key, and an empty value", describe(got[1:2]))
			}
			runtime.KeepAlive(got)
		})
	}
}

func filled(size int64) (sum [sha256.Size]byte) {
	h := sha256.New()
	block := bytes.Repeat([]byte("z"), 1<<20)
	for left := size; left > 0; left -= int64(len(block)) {
		h.Write(block[:min(left, int64(len(block)))])
	}
	h.Sum(sum[:0])
	return sum
}

func TestOnlyTheLargestRecordsOfABatchAreWithheld(t *testing.T) {
	const limit = 8 << 20
	random := rand.New(rand.NewPCG(3, 4))
	b := &hostile.Batch{Codec: kgo.CodecZstd}
	for i := range 1200 {
		r := hostile.Record{Key: fmt.Appendf(nil, "k%d", i), Value: bytes.Repeat([]byte{byte(i)}, random.IntN(40_000))}
		if i%100 == 50 {
			r.Value = nil
		}
		b.Records = append(b.Records, r)
	}
	d := NewBounded(limit)
	got, err := fetch(t, d, b)
	if err != nil || len(got) != len(b.Records) {
		t.Fatalf("got %d records, %v: want %d", len(got), err, len(b.Records))
	}
	largestKept, smallestWithheld, kept := 0, 1<<30, 0
	for i, r := range got {
		want := b.Records[i]
		if w := d.withheld(r); w != nil {
			smallestWithheld = min(smallestWithheld, len(want.Value))
			if w.Length != int64(len(want.Value)) || w.SHA256 != sha256.Sum256(want.Value) {
				t.Errorf("record %d: got %+v, want %d bytes", i, w, len(want.Value))
			}
			continue
		}
		largestKept, kept = max(largestKept, len(want.Value)), kept+len(want.Value)
		if !bytes.Equal(r.Value, want.Value) || (r.Value == nil) != (want.Value == nil) {
			t.Errorf("record %d came out as another one", i)
		}
	}
	if largestKept > smallestWithheld || smallestWithheld == 1<<30 || kept < limit/8 || kept > limit/2 {
		t.Errorf("got %d bytes kept, the largest of %d, and one of %d withheld: want as many small ones as fit", kept, largestKept, smallestWithheld)
	}
}

func TestShellTellsOfKeyAndHeadersToo(t *testing.T) {
	const limit = 8 << 20
	key := bytes.Repeat([]byte("key"), 1000)
	heavy := hostile.Record{Key: key, Headers: make([]kgo.RecordHeader, 100_000)} // a tombstone
	for i := range heavy.Headers {
		heavy.Headers[i] = kgo.RecordHeader{Key: "hh"}
	}
	noKey := hostile.Record{Filler: limit}
	d := NewBounded(limit)
	got, err := fetch(t, d, &hostile.Batch{Codec: kgo.CodecGzip, Records: []hostile.Record{heavy, noKey}})
	if err != nil || len(got) != 2 {
		t.Fatalf("got %d records, %v: want 2", len(got), err)
	}
	w := d.withheld(got[0])
	if w == nil || w.KeyLength != 3000 || w.KeySHA256 != sha256.Sum256(key) || w.Headers != 100_000 || w.HeadersLength != 200_000 || w.Length != 0 {
		t.Errorf("got %+v, want that it tells of key and headers", w)
	}
	if got[0].Key != nil || got[0].Value != nil {
		t.Errorf("got %s, want no key, and a value that is null still", describe(got[:1]))
	}
	if w := d.withheld(got[1]); w == nil || w.KeyLength != 0 || got[1].Key != nil || w.Length != limit {
		t.Errorf("got %+v and key %q, want none", w, got[1].Key)
	}
}

func TestBatchOfTooManyRecordsIsRefused(t *testing.T) {
	b := &hostile.Batch{Codec: kgo.CodecZstd, Records: make([]hostile.Record, 200_000)}
	for i := range b.Records {
		b.Records[i].Value = []byte("x")
	}
	peak := watch(func() {
		_, err := fetch(t, NewBounded(64<<20), b)
		var refused *kgo.ErrDecompressTooLarge
		if !errors.As(err, &refused) || refused.Offset != 100 || refused.NextOffset != 200_100 {
			t.Errorf("got %v, want ErrDecompressTooLarge with the batch's place", err)
		}
	})
	if peak > 64<<20 {
		t.Errorf("the heap grew by %d MiB for a batch that was refused", peak>>20)
	}
}

func TestBatchThatDoesNotFitBesideOthersWaits(t *testing.T) {
	d := NewBounded(8 << 20)
	batch := func() *hostile.Batch {
		return &hostile.Batch{Codec: kgo.CodecLz4, Records: records(strings.Repeat("v", 3<<20))}
	}
	held, err := fetch(t, d, batch(), batch())
	if err != nil || len(held) != 2 {
		t.Fatalf("got %d records, %v: want two batches of 3 MiB in 8", len(held), err)
	}
	if _, err := fetch(t, d, batch()); !errors.Is(err, ErrFull) {
		t.Errorf("got %v for a third, want ErrFull", err)
	}
	runtime.KeepAlive(held)
	if again, err := fetch(t, d, batch(), batch()); err != nil || len(again) != 2 {
		t.Errorf("got %d records, %v, once the first were let go: want two", len(again), err)
	}
}

func TestWindowLargerThanMemoryIsNotMade(t *testing.T) {
	const size = 128 << 20
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed, zstd.WithWindowSize(1<<29), zstd.WithEncoderConcurrency(1))
	if err == nil {
		_, err = io.CopyN(w, zeros{}, size)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	// The same frame, as one segment that is its own window.
	var header zstd.Header
	if err := header.Decode(packed.Bytes()); err != nil || header.WindowSize != 1<<29 {
		t.Fatalf("got a window of %d, %v: want 512 MiB", header.WindowSize, err)
	}
	single := append([]byte{}, packed.Bytes()[:4]...)
	single = append(single, packed.Bytes()[4]&^0xc0|0xa0)
	single = binary.LittleEndian.AppendUint32(single, size)
	single = append(single, packed.Bytes()[header.HeaderSize:]...)

	for name, src := range map[string][]byte{"a window": packed.Bytes(), "one segment": single, "twice": append(slices.Clone(single), single...)} {
		var n int64
		peak := watch(func() {
			stream, err := unpack(src, kgo.CodecZstd)
			if err != nil {
				t.Fatal(err)
			}
			if n, err = io.Copy(io.Discard, stream); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		if n%size != 0 || n == 0 || peak > 64<<20 {
			t.Errorf("%s: got %d bytes, with %d MiB: want %d with less than 64", name, n, peak>>20, int64(size))
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestMarkCannotBeForged(t *testing.T) {
	a, b := NewBounded(1<<20), NewBounded(1<<20)
	r := &kgo.Record{Headers: []kgo.RecordHeader{{Key: a.mark, Value: make([]byte, binary.Size(leftOut{}))}}}
	if a.withheld(r) == nil || b.withheld(r) != nil {
		t.Error("a mark of one client is known to another")
	}
}

// Whatever a batch decompresses to: where all of it may stay it comes out as it was, and where little may, the
// same records stand at the same places, none heavier than allowed.
func FuzzRewrite(f *testing.F) {
	var plain bytes.Buffer
	for _, b := range []*hostile.Batch{
		{Records: records("one", "two", "")},
		{Records: []hostile.Record{{}, {Key: []byte{}}, {Value: []byte{}}, {Filler: 5000, Key: bytes.Repeat([]byte("k"), 100)}}},
		hostile.NewGenerator(7).Batch(0, 10),
	} {
		b.Codec = kgo.CodecNone
		encoded, err := b.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded[61:], uint16(600))
		plain.Write(encoded[61:])
	}
	f.Add(plain.Bytes(), uint16(0))
	d := NewBounded(1 << 20)
	f.Fuzz(func(t *testing.T, body []byte, most uint16) {
		var c census
		if err := c.take(bytes.NewReader(body)); err != nil {
			return
		}
		whole, err := d.rewrite(bytes.NewReader(body), 1<<62, len(body))
		if err != nil || !bytes.Equal(whole, body) && reencoded(t, body) {
			t.Fatalf("got %x, %v: want it unchanged, %x", whole, err, body)
		}
		few, err := d.rewrite(bytes.NewReader(body), int(most), len(body))
		if err != nil {
			t.Fatal(err)
		}
		want, got := take(t, body), take(t, few)
		if len(want) != c.records {
			return // offsets that go back, or numbers that are longer than need be: no broker would have taken it
		}
		if len(want) != len(got) {
			t.Fatalf("got %d records of %d", len(got), len(want))
		}
		for i := range got {
			if got[i].Offset != want[i].Offset || got[i].Timestamp != want[i].Timestamp || (got[i].Value == nil) != (want[i].Value == nil) {
				t.Errorf("record %d: got %+v, want %+v", i, got[i], want[i])
			}
			w := d.withheld(got[i])
			if w == nil && !bytes.Equal(got[i].Value, want[i].Value) || w != nil && w.SHA256 != sha256.Sum256(want[i].Value) {
				t.Errorf("record %d: got %q and %+v, want %q", i, got[i].Value, w, want[i].Value)
			}
		}
	})
}

// reencoded says that a batch has its lengths written as briefly as can be, as everybody writes them.
func reencoded(t *testing.T, body []byte) bool {
	for rest := body; len(rest) > 0; {
		n, used := binary.Varint(rest)
		if used != len(binary.AppendVarint(nil, n)) {
			return false
		}
		rest = rest[used+int(n):]
	}
	return true
}

// take reads a body as the client does.
func take(t *testing.T, body []byte) []*kgo.Record {
	b := &hostile.Batch{}
	encoded, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	encoded = append(encoded[:61], body...)
	clear(encoded[27:43]) // timestamps
	binary.BigEndian.PutUint32(encoded[8:], uint32(len(encoded)-12))
	count := 0
	for rest := body; len(rest) > 0; count++ {
		n, used := binary.Varint(rest)
		rest = rest[used+int(n):]
	}
	binary.BigEndian.PutUint32(encoded[57:], uint32(count))
	binary.BigEndian.PutUint32(encoded[23:], uint32(max(count-1, 0)))
	got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{DisableCRCValidation: true, Offset: -1 << 40},
		&kmsg.FetchResponseTopicPartition{RecordBatches: encoded}, kgo.DefaultDecompressor(), nil)
	return got.Records
}

// Whatever bytes a batch has: nothing is made of them that the client's own decompressor would not make, and nothing panics.
func FuzzDecompress(f *testing.F) {
	for _, codec := range codecs {
		for _, records := range [][]hostile.Record{records("one", "two"), {{Filler: 600 << 10}, {Value: []byte("x")}}} {
			encoded, err := (&hostile.Batch{Codec: codec, Records: records}).Encode()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(encoded[61:], uint8(codec))
		}
	}
	client := kgo.DefaultDecompressor()
	f.Fuzz(func(t *testing.T, src []byte, codec uint8) {
		d := NewBounded(1 << 20)
		got, err := d.Decompress(src, kgo.CompressionCodecType(codec%5))
		if err != nil {
			return
		}
		if len(got) > 1<<20 && codec%5 != 0 {
			t.Fatalf("got %d bytes, want no more than the bound", len(got))
		}
		want, err := client.Decompress(src, kgo.CompressionCodecType(codec%5))
		if err == nil && !bytes.Equal(got, want) && !bytes.Contains(got, []byte(d.mark)) {
			t.Errorf("got %x, want %x", got, want)
		}
	})
}

// BenchmarkDecompress of 200 reviews, beside the client's own decompressor.
func BenchmarkDecompress(b *testing.B) {
	generator := hostile.NewGenerator(1)
	batch := &hostile.Batch{}
	for len(batch.Records) < 200 {
		if r := generator.Next(); r.Kind == "good" {
			batch.Records = append(batch.Records, r)
		}
	}
	for name, codec := range codecs {
		batch.Codec = codec
		encoded, err := batch.Encode()
		if err != nil {
			b.Fatal(err)
		}
		for who, d := range map[string]kgo.Decompressor{"ours": NewBounded(64 << 20), "client": kgo.DefaultDecompressor()} {
			b.Run(name+"/"+who, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := d.Decompress(encoded[61:], codec); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(batch.Records)*b.N)/b.Elapsed().Seconds(), "reviews/s")
			})
		}
	}
}
