package tokenizer

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// precompiled rewrites text by the map that SentencePiece keeps in its models: a double array of keys, then the texts to
// put in their place.
//
// The reference looks up each grapheme cluster under 6 bytes, and if nothing is found, or the cluster is longer, each of
// its characters. A lookup gives the shortest key that the cluster begins with, and its text then stands for the whole
// cluster: marks are lost where a map has an entry for the letter alone. It is not what SentencePiece does, but it is
// what models on the reference are used with.
//
// Nearly all clusters are one character, so each rune has its own answer in a table, and clusters are looked for only
// where two runes may belong to one.
type precompiled struct {
	units []uint32
	texts string

	ascii   [utf8.RuneSelf]rewrite
	answers runeTable[rewrite]
}

// rewrite is what a rune alone becomes: texts[at:at+n], or itself if at is below 0.
type rewrite struct {
	at, n         int32
	joinsPrevious bool // it may belong to the cluster before it
	joinsNext     bool // what follows may belong to its cluster, even if that does not join what is before
}

// maxCluster is the length in bytes from which a cluster is taken apart.
const maxCluster = 6

func parsePrecompiled(at string, raw json.RawMessage) (normalizer, error) {
	var f struct {
		Type string  `json:"type"`
		Map  *string `json:"precompiled_charsmap"`
	}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	if f.Map == nil {
		return nil, missing(at, "precompiled_charsmap")
	}
	data, err := base64.StdEncoding.Strict().DecodeString(*f.Map)
	if err != nil {
		return nil, fmt.Errorf("%s.precompiled_charsmap: %w", at, err)
	}
	n, err := newPrecompiled(data)
	if err != nil {
		return nil, fmt.Errorf("%s.precompiled_charsmap %w", at, err)
	}
	return n, nil
}

// newPrecompiled reads the size of the double array in bytes, the array, and the texts, each of which ends with a zero.
func newPrecompiled(data []byte) (*precompiled, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("has %d bytes: want at least 8", len(data))
	}
	size, rest := uint64(binary.LittleEndian.Uint32(data)), data[4:]
	units := size / 4
	if units == 0 || units*4 > uint64(len(rest)) {
		return nil, fmt.Errorf("says that its trie has %d bytes: want 4 to the %d that follow", size, len(rest))
	}
	n := &precompiled{units: make([]uint32, units)}
	for i := range n.units {
		n.units[i] = binary.LittleEndian.Uint32(rest[4*i:])
	}
	n.texts = string(rest[4*units:])
	if !utf8.ValidString(n.texts) {
		return nil, fmt.Errorf("has texts that are not UTF-8")
	}
	n.answers.f = n.answer
	for i := range n.ascii {
		n.ascii[i] = n.answer(rune(i))
	}
	return n, nil
}

// find returns the text for the shortest key that text begins with.
func (n *precompiled) find(text []byte) (at, length int32, ok bool) {
	offset := func(unit uint32) uint32 { return unit >> 10 << (unit >> 9 & 1 * 8) }
	place := offset(n.units[0])
	for _, b := range text {
		if b == 0 {
			break
		}
		place ^= uint32(b)
		if uint64(place) >= uint64(len(n.units)) {
			break
		}
		unit := n.units[place]
		if unit&(1<<31|0xff) != uint32(b) {
			break
		}
		place ^= offset(unit)
		if unit>>8&1 == 0 {
			continue
		}
		if uint64(place) >= uint64(len(n.units)) {
			break
		}
		at := n.units[place] &^ (1 << 31)
		if uint64(at) > uint64(len(n.texts)) || int(at) < len(n.texts) && !utf8.RuneStart(n.texts[at]) {
			break
		}
		length := strings.IndexByte(n.texts[at:], 0)
		if length < 0 {
			length = len(n.texts) - int(at)
		}
		return int32(at), int32(length), true
	}
	return 0, 0, false
}

func (n *precompiled) answer(r rune) rewrite {
	const hangul = 0xac00 // a syllable that a vowel or a final may still join
	if r >= 0xd800 && r < 0xe000 {
		return rewrite{at: -1}
	}
	a := rewrite{
		joinsPrevious: joined('a', r) || joined(hangul, r),
		joinsNext:     joined(r, 'a') || joined(r, hangul) || joined(r, r) || r == '\r',
	}
	var ok bool
	if a.at, a.n, ok = n.find(utf8.AppendRune(nil, r)); !ok {
		a.at = -1
	}
	return a
}

// joined reports whether a and b are one cluster.
func joined(a, b rune) bool {
	text := utf8.AppendRune(utf8.AppendRune(nil, a), b)
	return clusterSize(text) == len(text)
}

// clusterSize returns the length of the grapheme cluster that text begins with, text not being empty.
func clusterSize(text []byte) int {
	size, _, _ := graphemes.SplitFunc(text, true) // it has no errors
	return size
}

func (n *precompiled) appendNormal(dst, src []byte, _ *scratch) []byte {
	for i := 0; i < len(src); {
		a, size := n.at(src[i:])
		next := i + size
		if next < len(src) {
			if b, _ := n.at(src[next:]); b.joinsPrevious || a.joinsNext {
				next = i + clusterSize(src[i:])
			}
		}
		if next == i+size {
			dst = n.appendRewrite(dst, a, src[i:next])
		} else {
			dst = n.appendCluster(dst, src[i:next])
		}
		i = next
	}
	return dst
}

func (n *precompiled) at(text []byte) (a rewrite, size int) {
	if text[0] < utf8.RuneSelf {
		return n.ascii[text[0]], 1
	}
	r, size := utf8.DecodeRune(text)
	return n.answers.at(r), size
}

func (n *precompiled) appendRewrite(dst []byte, a rewrite, encoded []byte) []byte {
	if a.at < 0 {
		return append(dst, encoded...)
	}
	return append(dst, n.texts[a.at:a.at+a.n]...)
}

func (n *precompiled) appendCluster(dst, cluster []byte) []byte {
	if len(cluster) < maxCluster {
		if at, length, ok := n.find(cluster); ok {
			return append(dst, n.texts[at:at+length]...)
		}
	}
	for len(cluster) > 0 {
		a, size := n.at(cluster)
		dst = n.appendRewrite(dst, a, cluster[:size])
		cluster = cluster[size:]
	}
	return dst
}

// cuts: a space between words is a cluster of its own. The parts that come after this one rely on letters and digits to
// stay such.
func (n *precompiled) cuts() cuts {
	for i := range n.ascii {
		a, b := &n.ascii[i], byte(i)
		if !isASCIIWord(b) && b != ' ' || a.at < 0 {
			continue
		}
		if text := n.texts[a.at : a.at+a.n]; len(text) != 1 || text[0] != b && !(isASCIIWord(b) && isASCIIWord(text[0])) {
			return cutNever
		}
	}
	return cutBetweenWords
}
