package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// metaspace puts a visible character for each ASCII space, and maybe one more before a word that has none, and splits
// before every such character.
type metaspace struct {
	replacement string
	prepend     prependScheme
	whole       bool // does not split
}

// prependScheme says which words get the character put before them.
type prependScheme int

const (
	prependAlways prependScheme = iota
	prependFirst                // the one that begins the input
	prependNever
)

func parseMetaspace(at string, raw json.RawMessage) (preTokenizer, error) {
	f := struct {
		Type        string  `json:"type"`
		Replacement *string `json:"replacement"`
		AddPrefix   *bool   `json:"add_prefix_space"` // of older files
		Prepend     string  `json:"prepend_scheme"`
		Split       *bool   `json:"split"`
		StrRep      *string `json:"str_rep"` // of older files: the replacement once more
	}{Prepend: "always"}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	if f.Replacement == nil {
		return nil, missing(at, "replacement")
	}
	if utf8.RuneCountInString(*f.Replacement) != 1 {
		return nil, fmt.Errorf("%s.replacement is %q: want one character", at, *f.Replacement)
	}
	p := metaspace{replacement: *f.Replacement, whole: f.Split != nil && !*f.Split}
	switch f.Prepend {
	case "always":
	case "first":
		p.prepend = prependFirst
	case "never":
		p.prepend = prependNever
	default:
		return nil, unsupported(at+".prepend_scheme", f.Prepend, "always", "first", "never")
	}
	if f.AddPrefix != nil && !*f.AddPrefix && p.prepend != prependNever {
		return nil, fmt.Errorf("%s.add_prefix_space is false: want %s.prepend_scheme to be never", at, at)
	}
	return p, nil
}

// spreads says whether one character may become several, between which a split would then fall, or an added token end.
func (ns normalizers) spreads(tokens *tokenMatcher) bool {
	for _, n := range ns {
		switch n.(type) {
		case strip, nmt, stripAccents:
		case lowercase: // U+0130 becomes an i and a dot
			if tokens == nil || tokens.endsIn('i') {
				return true
			}
		default:
			return true
		}
	}
	return false
}

// dropPrepended says whether what a Prepend has put before the text may go again.
func (ns normalizers) dropPrepended() bool {
	before := ""
	for _, n := range ns {
		switch n := n.(type) {
		case prepend:
			before = n.text + before
		case unicodeForm, *precompiled, lowercase:
		case *replace: // it may take what is put before, or that and more of the same
			if _, found := n.find([]byte(before+before), new(budget)); found && before != "" {
				return true
			}
		default:
			if before != "" {
				return true
			}
		}
	}
	return false
}

// checkFirst refuses what would need more than is known of where words come from. The reference asks of each word whether it begins where the
// input does, and one character of the input may have become several, of several words; added tokens split, too.
func (ps preTokenizers) checkFirst(at string, ns normalizers, tokens *tokenMatcher) error {
	rewritten, split := ns.spreads(tokens), tokens != nil || ns.dropPrepended()
	for _, p := range ps {
		switch p := p.(type) {
		case metaspace:
			if p.prepend == prependFirst && split && rewritten {
				return fmt.Errorf("%s has a Metaspace with prepend_scheme first after parts that split and parts that rewrite the text, which is "+
					"not supported: want always or never, or the Metaspace in front", at)
			}
			rewritten, split = true, split || !p.whole
		case byteLevel:
			rewritten, split = rewritten || p.addSpace, split || p.scan != nil
		case byteChars:
			rewritten = true
		default:
			split = true
		}
	}
	return nil
}

func (p metaspace) cuts() cuts {
	if p.whole {
		return cutNever
	}
	return cutAtSpaces
}

func (p metaspace) split(dst, src *pieces) {
	dst.newText(src)
	for i, at := range src.words {
		word := src.text[at.start:at.end]
		start := len(dst.own)
		if p.prepend == prependAlways || p.prepend == prependFirst && i == 0 && src.first {
			if word[0] != ' ' && !bytes.HasPrefix(word, []byte(p.replacement)) {
				dst.own = append(dst.own, p.replacement...)
			}
		}
		start = p.appendWord(dst, word, start)
		dst.words = append(dst.words, span{start, len(dst.own)})
	}
	dst.text = dst.own
}

// appendWord appends word to the text of dst, and all words in it but the last, which begins at the place returned.
func (p metaspace) appendWord(dst *pieces, word []byte, start int) int {
	copied := 0
	for i := 0; i < len(word); {
		size := 1
		switch {
		case word[i] == ' ':
		case word[i] == p.replacement[0] && bytes.HasPrefix(word[i:], []byte(p.replacement)):
			size = len(p.replacement)
		default:
			i++
			continue
		}
		dst.own = append(dst.own, word[copied:i]...)
		if !p.whole && i > 0 {
			dst.words = append(dst.words, span{start, len(dst.own)})
			start = len(dst.own)
		}
		dst.own = append(dst.own, p.replacement...)
		i += size
		copied = i
	}
	dst.own = append(dst.own, word[copied:]...)
	return start
}
