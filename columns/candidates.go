package columns

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"nearline/features"
	"nearline/pipeline"
)

// Stored is a list of texts in a view: a field of texts, or the last ones of an aggregate.
type Stored struct {
	Finder *features.Finder
	Field  string
	// Key is the path of the key in the events; "" is the view's own.
	Key string
}

// CandidatesConfig says what is to be ranked for an event, and what is known of it. Finders share what they remember with lookup steps.
type CandidatesConfig struct {
	Model string
	// List is the path of the candidates in events: ids.
	List string
	// Otherwise is the list of an event that has none; nil is no candidate.
	Otherwise *Stored
	// History is what somebody had before, youngest first as a view's last has it; nil for a model that does not ask.
	History *Stored
	// Items is the view that each candidate is looked up in, by its id; nil looks nothing up. As is what its features are called in Inputs.
	Items *features.Finder
	As    string
	// Inputs are the columns of a candidate, whose id is called item_id there.
	Inputs map[string]Config
	Wait   bool
	// Most is how many candidates the model takes for one event.
	Most int
	// Turn is asked before so many candidates are looked up; an error of it is Lists' own. nil is for whoever need not wait.
	Turn func(ctx context.Context, candidates int) error
}

// Candidates makes of events what a model ranks: for each the candidates, with what is known of them. Each item of a cycle is looked up once, all in one
// round trip. Safe for concurrent use.
type Candidates struct {
	config    CandidatesConfig
	list      pipeline.Path
	otherwise *stored
	history   *stored
	columns   *Maker
	// Places of the columns that are the same for all rows that an item is a candidate of, among the numbers and among the texts, and
	// whether there are columns for which both count.
	numbers, texts []int
	mixed          bool
	// tells of how fresh features are; otherwise a step before it does.
	tells bool
}

// stored is where a list is found.
type stored struct {
	finder *features.Finder
	key    pipeline.Path
	field  int
}

// NewCandidates makes what fills a model that ranks. Columns are those of the steps before it, with examples of what they hold; reads is what earlier steps want the
// decoder to read, and is returned with what this one wants.
func NewCandidates(c CandidatesConfig, wanted []pipeline.Column, columns []pipeline.Field, reads []string) (*Candidates, []string, error) {
	names := pipeline.FieldNames(columns)
	made := &Candidates{config: c, tells: !slices.Contains(names, features.FreshnessField)}
	made.list, reads = pipeline.FindPath(c.List, names, reads)
	var errs []error
	open := func(s *Stored, what string) *stored {
		if s == nil {
			return nil
		}
		found := &stored{finder: s.Finder, field: slices.Index(s.Finder.View().Fields(), s.Field)}
		if found.field < 0 || !s.Finder.View().ListsTexts(found.field) {
			errs = append(errs, fmt.Errorf("%s.field is %q: want a field of view %s that is a list of texts (last, or type: texts)", what, s.Field, s.Finder.View().Name()))
		}
		path := s.Key
		if path == "" {
			path = s.Finder.View().Key()
		}
		found.key, reads = pipeline.FindPath(path, names, reads)
		return found
	}
	made.otherwise, made.history = open(c.Otherwise, "otherwise"), open(c.History, "history")
	own := []pipeline.Field{{Name: pipeline.CandidateID, Value: pipeline.StringValue("")}}
	if c.Items != nil {
		own = append(own, pipeline.Field{Name: c.As, Value: pipeline.ObjectValue(c.Items.View().Defaults()...)})
	}
	for _, column := range own {
		if slices.Contains(names, column.Name) {
			errs = append(errs, fmt.Errorf("an earlier step adds %q, which is what candidates have: name it otherwise with as", column.Name))
		}
	}
	columns = append(own, columns...)
	var err error
	made.columns, err = newMaker(c.Model, wanted, c.Inputs, func(path string) (source, error) {
		if found, ok := made.own(path); ok {
			return found, checkInside(path, columns)
		}
		found := source{path: path}
		found.Path, reads = pipeline.FindPath(path, names, reads)
		return found, checkInside(path, columns)
	})
	made.numbers, made.texts = made.columns.places(onItem)
	made.mixed = slices.ContainsFunc(made.columns.values, func(v columnValue) bool { return v.of == onBoth })
	return made, reads, errors.Join(append(errs, err)...)
}

// own is the source of a path that is a candidate's own.
func (c *Candidates) own(path string) (source, bool) {
	found := source{path: path}
	name, rest, _ := strings.Cut(path, ".")
	switch {
	case name == pipeline.CandidateID:
		found.own = ofCandidate
	case c.config.Items != nil && name == c.config.As:
		found.own, found.field = ofCandidatesView, -1
		if rest != "" {
			name, found.rest, _ = strings.Cut(rest, ".")
			found.field = slices.Index(c.config.Items.View().Fields(), name)
		}
	default:
		return found, false
	}
	return found, true
}

// candidateList is a list that is being made.
type candidateList struct {
	pipeline.CandidateList
	// freshness is the worst of what was found, and Default only where nothing was known of anything. at is the latest event in it, zero for none.
	freshness features.Freshness
	at        time.Time

	known []int // where the cycle has what it knows of each item
}

// Lists of rows, in their order. A row whose event does not fit gets its fault, and those that have one are passed by.
func (c *Candidates) Lists(ctx context.Context, rows []*pipeline.Row) ([]pipeline.CandidateList, error) {
	histories, offline, err := c.stored(ctx, rows)
	if err != nil {
		return nil, err
	}
	if err := c.turn(ctx, rows, &offline); err != nil {
		return nil, err
	}
	known := knownItems.Get().(*known) //nolint:errcheck // the pool holds nothing else
	defer known.done()
	lists := make([]candidateList, len(rows))
	for i, row := range rows {
		if row.Fault != nil {
			continue
		}
		before := len(known.items)
		if row.Fault = c.gather(&lists[i], i, row, &offline, known); row.Fault != nil {
			known.forget(before)
			continue
		}
		if c.history != nil {
			lists[i].History = c.history.texts(row, &histories)
			slices.Reverse(lists[i].History) // of our own
		}
		lists[i].freshness = max(c.history.staleness(row, &histories), c.otherwise.staleness(row, &offline))
	}
	if err := c.look(ctx, known); err != nil {
		return nil, err
	}
	now := time.Now().UnixMilli()
	c.learn(known, now)
	for i, row := range rows {
		if row.Fault == nil && len(lists[i].Items) > 0 {
			row.Fault = c.fill(&lists[i], row, known, now)
		}
	}
	made := make([]pipeline.CandidateList, len(lists))
	for i := range lists {
		lists[i].Fields = c.said(rows[i], &lists[i])
		made[i] = lists[i].CandidateList
	}
	return made, nil
}

// turn asks for that of all candidates, those that come twice among them.
func (c *Candidates) turn(ctx context.Context, rows []*pipeline.Row, offline *features.Answers) error {
	if c.config.Turn == nil {
		return nil
	}
	candidates := 0
	for _, row := range rows {
		switch value := c.list.Value(row); {
		case row.Fault != nil:
		case value.Kind == pipeline.List, value.Kind == pipeline.Strings:
			candidates += value.Len()
		case value.Kind == pipeline.Null && c.otherwise != nil:
			candidates += len(c.otherwise.texts(row, offline))
		}
	}
	return c.config.Turn(ctx, candidates)
}

// stored lists of all rows.
func (c *Candidates) stored(ctx context.Context, rows []*pipeline.Row) (histories, offline features.Answers, err error) {
	asking, within := errgroup.WithContext(ctx)
	ask := func(s *stored, into *features.Answers) {
		if s == nil {
			return
		}
		keys := make([]string, len(rows))
		for i, row := range rows {
			keys[i], _ = s.key.Value(row).Text()
		}
		asking.Go(func() (err error) {
			*into, err = s.finder.FindAll(within, keys, c.config.Wait)
			return err
		})
	}
	ask(c.history, &histories)
	ask(c.otherwise, &offline)
	return histories, offline, asking.Wait()
}

// gather the candidates of row number i, each once.
func (c *Candidates) gather(list *candidateList, i int, row *pipeline.Row, offline *features.Answers, known *known) *pipeline.Fault {
	value := c.list.Value(row)
	switch value.Kind {
	case pipeline.Null:
		if c.otherwise != nil {
			for _, id := range c.otherwise.texts(row, offline) {
				known.add(list, i, id)
			}
		}
	case pipeline.List, pipeline.Strings:
		n := value.Len()
		list.Items, list.known = make([]string, 0, n), make([]int, 0, n)
		for at := range n {
			var id string
			if value.Kind == pipeline.Strings {
				id = value.Strings[at]
			} else {
				id, _ = value.List[at].Text()
			}
			if id == "" {
				return c.columns.fault("%s[%d] is no id: want texts or numbers, each of an item", &c.list, at)
			}
			known.add(list, i, id)
		}
	default:
		return c.columns.fault("%s is no list: want ids of items", &c.list)
	}
	if len(list.Items) > c.config.Most {
		return c.columns.fault("there are %d candidates: model %s takes at most %d (models.batch.max_tokens)", len(list.Items), c.config.Model, c.config.Most)
	}
	return nil
}

// staleness is Stale for a list that is remembered from before the store went away, and Fresh otherwise.
func (s *stored) staleness(row *pipeline.Row, found *features.Answers) features.Freshness {
	if s != nil {
		if key, _ := s.key.Value(row).Text(); found.Key(key).Freshness == features.Stale {
			return features.Stale
		}
	}
	return features.Fresh
}

// texts that are stored for a row; a list of the caller's own.
func (s *stored) texts(row *pipeline.Row, found *features.Answers) []string {
	key, _ := s.key.Value(row).Text()
	entry := found.Key(key).Entry
	if entry == nil {
		return nil
	}
	value := &entry.Values[s.field].Value
	texts := make([]string, 0, len(value.List))
	for _, v := range value.List {
		texts = append(texts, v.Str)
	}
	return texts
}

// known is what a cycle knows of the items that its rows ask for, each once.
type known struct {
	at    map[string]int // in items, and in facts
	items []knownItem
	facts []fact

	keys    []string // scratch of a look
	found   []features.Found
	values  []given // scratch of columns
	numbers []float64
	texts   []string
}

type knownItem struct {
	id    string
	list  int // the last one that it is in
	found features.Found
}

// fact is what lists need of an item beside its columns. It is small, and by itself, since there are tens of thousands in a cycle, each of them in many lists.
type fact struct {
	latest    int64 // time of an event, in milliseconds since 1970; 0 for none
	freshness features.Freshness
	fault     *pipeline.Fault // of whoever asks for it
}

// knownItems are empty ones: a cycle of long lists fills a map of tens of thousands.
var knownItems = sync.Pool{New: func() any { return &known{at: map[string]int{}} }}

func (k *known) done() {
	k.forget(0)
	clear(k.facts)
	clear(k.keys[:cap(k.keys)])
	clear(k.found[:cap(k.found)])
	clear(k.values)
	clear(k.texts)
	knownItems.Put(k)
}

// add a candidate to list number i, if it is not in it.
func (k *known) add(list *candidateList, i int, id string) {
	at, ok := k.at[id]
	switch {
	case !ok:
		at = len(k.items)
		k.at[id], k.items = at, append(k.items, knownItem{id: id, list: i, found: features.Found{Freshness: features.Default}})
	case k.items[at].list == i:
		return
	}
	k.items[at].list = i
	list.Items, list.known = append(list.Items, id), append(list.known, at)
}

// forget the items from one on.
func (k *known) forget(from int) {
	if from == 0 {
		clear(k.at)
	} else {
		for i := range k.items[from:] {
			delete(k.at, k.items[from+i].id)
		}
	}
	clear(k.items[from:])
	k.items = k.items[:from]
}

// lookedAtOnce is how many items one trip to the store is for, each trip with a deadline of its own: a cycle of long lists has tens of thousands. A guess.
const lookedAtOnce = 2000

// look all items up.
func (c *Candidates) look(ctx context.Context, known *known) error {
	if c.config.Items == nil {
		return nil
	}
	for some := range slices.Chunk(known.items, lookedAtOnce) {
		known.keys, known.found = known.keys[:0], slices.Grow(known.found[:0], len(some))[:len(some)]
		for i := range some {
			known.keys = append(known.keys, some[i].id)
		}
		if err := c.config.Items.Look(ctx, known.keys, known.found, c.config.Wait); err != nil {
			return err
		}
		for i := range some {
			some[i].found = known.found[i]
		}
	}
	return nil
}

// learn what all lists need of the items.
func (c *Candidates) learn(known *known, now int64) {
	n, numbers, texts := len(known.items), len(c.numbers), len(c.texts)
	known.facts = sized(known.facts, n)
	known.numbers, known.texts = sized(known.numbers, n*numbers), sized(known.texts, n*texts)
	known.values = sized(known.values, len(c.columns.values))
	of := c.scope(nil, now)
	rowOfNumbers, rowOfTexts := make([]float64, c.columns.numbers), make([]string, c.columns.texts)
	for i := range known.items {
		of.item = &known.items[i]
		known.facts[i] = fact{freshness: of.item.found.Freshness}
		if entry := of.item.found.Entry; entry != nil {
			known.facts[i].latest = entry.At
		}
		if known.facts[i].fault = c.columns.put(&of, onItem, known.values, rowOfNumbers, rowOfTexts); known.facts[i].fault != nil {
			continue
		}
		for j, place := range c.numbers {
			known.numbers[i*numbers+j] = rowOfNumbers[place]
		}
		for j, place := range c.texts {
			known.texts[i*texts+j] = rowOfTexts[place]
		}
	}
}

// sized is a slice of so many, with what may be in it.
func sized[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

func (c *Candidates) scope(row *pipeline.Row, now int64) scope {
	of := scope{row: row, now: now}
	if c.config.Items != nil {
		of.view = c.config.Items.View()
	}
	return of
}

// fill a list's columns.
func (c *Candidates) fill(list *candidateList, row *pipeline.Row, known *known, now int64) *pipeline.Fault {
	of := c.scope(row, now)
	ofRow, textsOfRow := make([]float64, c.columns.numbers), make([]string, c.columns.texts)
	if fault := c.columns.put(&of, onRow, known.values, ofRow, textsOfRow); fault != nil {
		return fault
	}
	list.Numbers = make([]float64, 0, len(ofRow)*len(list.Items))
	if len(textsOfRow) > 0 {
		list.Texts = make([]string, 0, len(textsOfRow)*len(list.Items))
	}
	latest, anything := int64(0), false
	for _, at := range list.known {
		fact := &known.facts[at]
		if fact.fault != nil {
			fault := *fact.fault // each row's own
			return &fault
		}
		if fact.freshness != features.Default {
			anything, list.freshness, latest = true, max(list.freshness, fact.freshness), max(latest, fact.latest)
		}
		list.Numbers, list.Texts = append(list.Numbers, ofRow...), append(list.Texts, textsOfRow...)
		numbers, texts := list.Numbers[len(list.Numbers)-len(ofRow):], list.Texts[len(list.Texts)-len(textsOfRow):]
		for j, number := range known.numbers[at*len(c.numbers):][:len(c.numbers)] {
			numbers[c.numbers[j]] = number
		}
		for j, text := range known.texts[at*len(c.texts):][:len(c.texts)] {
			texts[c.texts[j]] = text
		}
		if c.mixed {
			of.item = &known.items[at]
			if fault := c.columns.put(&of, onBoth, known.values, numbers, texts); fault != nil {
				return fault
			}
		}
	}
	if !anything && c.config.Items != nil {
		list.freshness = features.Default
	}
	if latest > 0 {
		list.at = time.UnixMilli(latest)
	}
	return nil
}
