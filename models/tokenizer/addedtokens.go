package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is looked for in the text itself, before the text is split into words.
type addedToken struct {
	id         int64
	singleWord bool // only where no word character touches it
	lstrip     bool // takes the spaces before it
	rstrip     bool // takes the spaces after it
	hidden     bool // is text where it stands
}

// tokenMatcher finds added tokens: the leftmost first, of those that begin there the longest.
type tokenMatcher struct {
	tokens []addedToken
	trie   *trie     // values are places in tokens
	first  [256]bool // bytes that tokens begin with
	last   [256]bool // and end with
}

func (m *tokenMatcher) endsIn(b byte) bool { return m.last[b] }

// matches starts a search. A nil matcher finds nothing.
func (m *tokenMatcher) matches(text []byte) tokenMatches {
	return tokenMatches{matcher: m, text: text}
}

// tokenMatches steps through the added tokens of a text and the text between them.
type tokenMatches struct {
	matcher *tokenMatcher
	text    []byte
	token   *addedToken

	from int // where to look for the next token
	done int // the end of what earlier tokens took
	gap  span

	spaces int // the end of the spaces after the last token that takes them
}

// next moves to the next token and says whether there is one.
func (m *tokenMatches) next() bool {
	if m.matcher == nil {
		return false
	}
	for i := m.from; i < len(m.text); i++ {
		if !m.matcher.first[m.text[i]] {
			continue
		}
		place, n := m.matcher.trie.longest(root, m.text[i:])
		if n == 0 {
			continue
		}
		start, stop := i, i+n
		token := &m.matcher.tokens[place]
		if token.hidden || token.singleWord && (endsInWord(m.text[:start]) || beginsInWord(m.text[stop:])) {
			i = stop - 1
			continue
		}
		m.from = stop
		if token.lstrip {
			// What earlier tokens took is not looked at: a text of spaces, where those are tokens, would be at each.
			from := min(m.done, start)
			start = max(from+len(trimRightSpace(m.text[from:start])), m.done)
		}
		if token.rstrip {
			if stop >= m.spaces { // or else the spaces are known that tokens before it took, too
				m.spaces = stop + leadingSpace(m.text[stop:])
			}
			stop = m.spaces
		}
		if start >= stop { // an earlier token took all of it, and what is empty is no token
			m.done, i = stop, i+n-1
			continue
		}
		m.token, m.gap, m.done = token, span{min(m.done, start), start}, stop
		return true
	}
	m.from = len(m.text)
	return false
}

// before returns the text between the token before and this one.
func (m *tokenMatches) before() []byte { return m.text[m.gap.start:m.gap.end] }

// rest returns the text after the last token that next found.
func (m *tokenMatches) rest() []byte { return m.text[m.done:] }

func endsInWord(text []byte) bool {
	r, n := utf8.DecodeLastRune(text)
	return n > 0 && isWord(r)
}

func beginsInWord(text []byte) bool {
	r, n := utf8.DecodeRune(text)
	return n > 0 && isWord(r)
}

func trimRightSpace(text []byte) []byte {
	for {
		r, n := utf8.DecodeLastRune(text)
		if n == 0 || !unicode.IsSpace(r) {
			return text
		}
		text = text[:len(text)-n]
	}
}

func leadingSpace(text []byte) int {
	i := 0
	for {
		r, n := utf8.DecodeRune(text[i:])
		if n == 0 || !unicode.IsSpace(r) {
			return i
		}
		i += n
	}
}

// addedTokens is what the file's added_tokens come to.
type addedTokens struct {
	raw, normal *tokenMatcher
	ids         map[string]int64
	limit       int64 // above every id
}

// addedFile is an entry of added_tokens.
type addedFile struct {
	ID         *uint32 // nil for one of another file
	Content    string
	SingleWord bool
	LStrip     bool
	RStrip     bool
	Normalized bool
	Special    bool
}

// parseAddedTokens wants every key, as the reference does.
func parseAddedTokens(at string, list []json.RawMessage) ([]addedFile, error) {
	tokens := make([]addedFile, len(list))
	for i, raw := range list {
		if err := tokens[i].parse(fmt.Sprintf("%s[%d]", at, i), raw); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

func (f *addedFile) parse(at string, data []byte) error {
	var keys struct {
		ID         *uint32 `json:"id"`
		Content    *string `json:"content"`
		SingleWord *bool   `json:"single_word"`
		LStrip     *bool   `json:"lstrip"`
		RStrip     *bool   `json:"rstrip"`
		Normalized *bool   `json:"normalized"`
		Special    *bool   `json:"special"`
	}
	if err := decode(at, data, &keys); err != nil {
		return err
	}
	if keys.ID == nil {
		return missing(at, "id")
	}
	if keys.Content == nil {
		return missing(at, "content")
	}
	for _, flag := range []struct {
		key  string
		from *bool
		to   *bool
	}{
		{"single_word", keys.SingleWord, &f.SingleWord}, {"lstrip", keys.LStrip, &f.LStrip}, {"rstrip", keys.RStrip, &f.RStrip},
		{"normalized", keys.Normalized, &f.Normalized}, {"special", keys.Special, &f.Special},
	} {
		if flag.from == nil {
			return missing(at, flag.key)
		}
		*flag.to = *flag.from
	}
	f.ID, f.Content = keys.ID, *keys.Content
	return nil
}

// makeAddedTokens gives ids as the reference does: the model's own id if it has the token, or else the next free one. The id in the file is not
// looked at. Tokens are added group by group; a later entry for a token replaces the earlier. With unsplit, special ones are not to be found.
func makeAddedTokens(at string, groups [][]addedFile, unsplit bool, m model, n normalizer) (addedTokens, error) {
	added := addedTokens{ids: make(map[string]int64)}
	list := slices.Concat(groups...)
	last := make(map[string]int, len(list))
	special := make(map[string]bool) // once special, a token stays so
	for i, f := range list {
		last[f.Content] = i
		special[f.Content] = special[f.Content] || f.Special
	}
	holders := make(map[int64]string)
	for _, group := range groups {
		next := max(int64(m.size()), added.limit)
		for _, f := range group {
			if _, ok := added.ids[f.Content]; ok || f.Content == "" {
				continue
			}
			id, ok := m.id(f.Content)
			if !ok {
				id = next
				next++
			}
			if other, ok := holders[id]; ok {
				return added, fmt.Errorf("%s: %q and %q get the same id, %d, as model.vocab has gaps or an id twice: want ids one after the other", at, other, f.Content, id)
			}
			holders[id] = f.Content
			added.ids[f.Content] = id
			added.limit = max(added.limit, id+1)
		}
	}
	var rawTokens, normalTokens matcherBuilder
	for i, f := range list {
		if f.Content == "" || last[f.Content] != i {
			continue
		}
		token := addedToken{id: added.ids[f.Content], singleWord: f.SingleWord, lstrip: f.LStrip, rstrip: f.RStrip, hidden: unsplit && special[f.Content]}
		b, key := &rawTokens, f.Content
		if f.Normalized {
			b, key = &normalTokens, string(n.appendNormal(nil, []byte(f.Content), new(scratch)))
		}
		if err := b.add(key, token); err != nil {
			return added, fmt.Errorf("%s[%d] %q %w", at, i, f.Content, err)
		}
	}
	added.raw, added.normal = rawTokens.build(), normalTokens.build()
	return added, nil
}

type matcherBuilder struct {
	tokens []addedToken
	places map[string]int32
}

// add refuses what the reference leaves to chance (two tokens that read the same) or cannot match.
func (b *matcherBuilder) add(key string, token addedToken) error {
	if key == "" {
		return fmt.Errorf("is empty once normalized")
	}
	if _, ok := b.places[key]; ok {
		return fmt.Errorf("reads %q once normalized, as another added token does", key)
	}
	if b.places == nil {
		b.places = make(map[string]int32)
	}
	b.places[key] = int32(len(b.tokens))
	b.tokens = append(b.tokens, token)
	return nil
}

func (b *matcherBuilder) build() *tokenMatcher {
	if len(b.tokens) == 0 {
		return nil
	}
	m := &tokenMatcher{tokens: b.tokens, trie: newTrie(b.places)}
	for key := range b.places {
		m.first[key[0]], m.last[key[len(key)-1]] = true, true
	}
	return m
}
