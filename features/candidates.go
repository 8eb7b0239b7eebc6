package features

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"nearline/pipeline"
)

// Stored is a list of texts in a view: a field of texts, or the last ones of an aggregate.
type Stored struct {
	Finder *Finder
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
	Items *Finder
	As    string
	// Inputs are the columns of a candidate, whose id is called item_id there.
	Inputs map[string]ColumnConfig
	Wait   bool
	// Most is how many candidates the model takes for one event.
	Most int
}

// Candidates makes of events what a model ranks: for each the candidates, with what is known of them. Each item of a cycle is looked up once, all in one
// round trip. Safe for concurrent use.
type Candidates struct {
	config    CandidatesConfig
	list      source
	otherwise *stored
	history   *stored
	columns   *Columns
}

// stored is where a list is found.
type stored struct {
	finder *Finder
	key    source
	field  int
}

// CandidateID is what the id of a candidate is called in the inputs of its columns.
const CandidateID = "item_id"

// NewCandidates makes what fills a model that ranks. Columns are those of the steps before it, with examples of what they hold; reads is what earlier steps want the
// decoder to read, and is returned with what this one wants.
func NewCandidates(c CandidatesConfig, wanted []Column, columns []pipeline.Field, reads []string) (*Candidates, []string, error) {
	made := &Candidates{config: c}
	names := fieldNames(columns)
	made.list, reads = find(c.List, names, reads)
	var errs []error
	open := func(s *Stored, what string) *stored {
		if s == nil {
			return nil
		}
		found := &stored{finder: s.Finder, field: slices.Index(s.Finder.view.Fields(), s.Field)}
		if found.field < 0 || !s.Finder.view.listsTexts(found.field) {
			errs = append(errs, fmt.Errorf("%s.field is %q: want a field of view %s that is a list of texts (last, or type: texts)", what, s.Field, s.Finder.view.name))
		}
		path := s.Key
		if path == "" {
			path = s.Finder.view.key
		}
		found.key, reads = find(path, names, reads)
		return found
	}
	made.otherwise, made.history = open(c.Otherwise, "otherwise"), open(c.History, "history")
	own := []pipeline.Field{{Name: CandidateID, Value: pipeline.StringValue("")}}
	if c.Items != nil {
		own = append(own, pipeline.Field{Name: c.As, Value: pipeline.ObjectValue(c.Items.view.Defaults()...)})
	}
	for _, column := range own {
		if slices.Contains(names, column.Name) {
			errs = append(errs, fmt.Errorf("an earlier step adds %q, which is what candidates have: name it otherwise with as", column.Name))
		}
	}
	var err error
	made.columns, reads, err = NewColumns(c.Model, wanted, c.Inputs, append(own, columns...), reads)
	return made, reads, errors.Join(append(errs, err)...)
}

// listsTexts says whether a field is a list of texts.
func (v *View) listsTexts(field int) bool {
	return v.fields[field].kind == kindLast || v.fields[field].kind == kindTexts
}

// CandidateList is what a row has to be ranked.
type CandidateList struct {
	// Items are the candidates' ids, each once, in the order in which they first came.
	Items []string
	// Numbers and Texts are the columns of all of them, one after the other, as the model reads them.
	Numbers []float64
	Texts   []string
	// History is what somebody had before, oldest first.
	History []string
	// Freshness is the worst of what was found, and Default only where nothing was known of anything. At is the latest event in it, zero for none.
	Freshness Freshness
	At        time.Time
}

// Lists of rows, in their order. A row whose event does not fit gets its fault, and those that have one are passed by.
func (c *Candidates) Lists(ctx context.Context, rows []*pipeline.Row) ([]CandidateList, error) {
	lists := make([]CandidateList, len(rows))
	var histories, offline map[string]Found
	asking, within := errgroup.WithContext(ctx)
	ask := func(s *stored, into *map[string]Found) {
		if s == nil {
			return
		}
		keys := make([]string, len(rows))
		for i, row := range rows {
			keys[i], _ = textOf(s.key.value(row))
		}
		asking.Go(func() (err error) {
			*into, err = s.finder.find(within, keys, c.config.Wait)
			return err
		})
	}
	ask(c.history, &histories)
	ask(c.otherwise, &offline)
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	var all []string
	for i, row := range rows {
		if row.Fault != nil {
			continue
		}
		if lists[i].Items, row.Fault = c.items(row, offline); row.Fault != nil {
			continue
		}
		if c.history != nil {
			lists[i].History = c.history.texts(row, histories)
			slices.Reverse(lists[i].History) // of our own
		}
		lists[i].Freshness = max(c.history.staleness(row, histories), c.otherwise.staleness(row, offline))
		all = append(all, lists[i].Items...)
	}
	known, err := c.look(ctx, all)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if row.Fault == nil {
			c.fill(&lists[i], row, known)
		}
	}
	return lists, nil
}

// items are the candidates of a row, each once.
func (c *Candidates) items(row *pipeline.Row, offline map[string]Found) ([]string, *pipeline.Fault) {
	value := c.list.value(row)
	var ids []string
	switch value.Kind {
	case pipeline.Null:
		if c.otherwise != nil {
			ids = c.otherwise.texts(row, offline)
		}
	case pipeline.List:
		ids = make([]string, 0, len(value.List))
		for i, v := range value.List {
			id, ok := textOf(v)
			if !ok || id == "" {
				return nil, c.columns.fault("%s[%d] is no id: want texts or numbers, each of an item", c.list.path, i)
			}
			ids = append(ids, id)
		}
	default:
		return nil, c.columns.fault("%s is no list: want ids of items", c.list.path)
	}
	seen := make(map[string]struct{}, len(ids))
	ids = slices.DeleteFunc(ids, func(id string) bool {
		_, again := seen[id]
		seen[id] = struct{}{}
		return again
	})
	if len(ids) > c.config.Most {
		return nil, c.columns.fault("there are %d candidates: model %s takes at most %d (models.batch.max_tokens)", len(ids), c.config.Model, c.config.Most)
	}
	return ids, nil
}

// staleness is Stale for a list that is remembered from before the store went away, and Fresh otherwise.
func (s *stored) staleness(row *pipeline.Row, found map[string]Found) Freshness {
	if s != nil {
		if key, _ := textOf(s.key.value(row)); found[key].Freshness == Stale {
			return Stale
		}
	}
	return Fresh
}

// texts that are stored for a row; a list of the caller's own.
func (s *stored) texts(row *pipeline.Row, found map[string]Found) []string {
	key, _ := textOf(s.key.value(row))
	entry := found[key].Entry
	if entry == nil {
		return nil
	}
	value := entry.Values[s.field].Value
	texts := make([]string, 0, len(value.List))
	for _, v := range value.List {
		texts = append(texts, v.Str)
	}
	return texts
}

// knownItem is what was found of an item, once for all rows that ask for it.
type knownItem struct {
	feature   pipeline.Field
	freshness Freshness
	at        int64 // of its latest event, 0 for none
}

// lookedAtOnce is how many items one trip to the store is for, each trip with a deadline of its own: a cycle of long lists has tens of thousands. A guess.
const lookedAtOnce = 2000

// look all items up.
func (c *Candidates) look(ctx context.Context, ids []string) (map[string]*knownItem, error) {
	finder := c.config.Items
	if finder == nil || len(ids) == 0 {
		return nil, nil
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	known, now := make(map[string]*knownItem, len(ids)), time.Now()
	nothing := pipeline.Field{Name: c.config.As, Value: pipeline.ObjectValue(finder.view.defaults...)}
	for some := range slices.Chunk(ids, lookedAtOnce) {
		found, err := finder.find(ctx, some, c.config.Wait)
		if err != nil {
			return nil, err
		}
		for id, of := range found {
			item := &knownItem{feature: nothing, freshness: of.Freshness}
			if of.Entry != nil {
				item.feature.Value = pipeline.ObjectValue(of.Entry.Now(finder.view, now)...)
				item.at = of.Entry.At
			}
			known[id] = item
		}
	}
	return known, nil
}

// fill a list's columns.
func (c *Candidates) fill(list *CandidateList, row *pipeline.Row, known map[string]*knownItem) {
	candidate := *row // its features are those of the row, and of the candidate
	own := len(row.Features)
	candidate.Features = append(slices.Clip(row.Features), pipeline.Field{Name: CandidateID})
	if known != nil {
		candidate.Features = append(candidate.Features, pipeline.Field{})
	}
	latest, anything := int64(0), false
	for _, id := range list.Items {
		candidate.Features[own].Value = pipeline.StringValue(id)
		if item := known[id]; item != nil {
			candidate.Features[own+1] = item.feature
			if latest = max(latest, item.at); item.freshness != Default {
				anything, list.Freshness = true, max(list.Freshness, item.freshness)
			}
		}
		if list.Numbers, list.Texts, row.Fault = c.columns.Append(&candidate, list.Numbers, list.Texts); row.Fault != nil {
			return
		}
	}
	if !anything && known != nil {
		list.Freshness = Default
	}
	if latest > 0 {
		list.At = time.UnixMilli(latest)
	}
}
