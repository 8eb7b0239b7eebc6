package features

import (
	"time"

	"nearline/pipeline"
)

// Replay is what a view would have known of one key after some of its updates, from the code that keeps and looks up views online. Which updates
// count, and in which order they come, is the caller's matter. Not safe for concurrent use.
type Replay struct {
	view  *View
	state *State // nil before the first update
}

// NewReplay of a key of which nothing is known.
func NewReplay(view *View) *Replay { return &Replay{view: view} }

// Add an update. Now is the latest time of an event that had been in its partition by then, itself included, in milliseconds since 1970.
func (r *Replay) Add(u *Update, now int64) {
	if r.state == nil || r.view.expired(r.state, now) {
		r.state = r.view.newState()
	}
	r.view.add(r.state, u)
}

// Values as a lookup at that time would have had them, and the time of the latest event. That is zero, and the values are the view's defaults,
// where nothing was known, or nothing that is young enough for the view.
func (r *Replay) Values(at time.Time) (values []pipeline.Field, latest time.Time) {
	if r.state == nil {
		return r.view.Defaults(), time.Time{}
	}
	e := Entry{At: r.state.At, Values: r.view.Values(r.state, r.state.At)}
	if r.view.maxAge > 0 && e.Age(at) > r.view.maxAge {
		return r.view.Defaults(), time.Time{}
	}
	return e.Now(r.view, at), time.UnixMilli(e.At)
}

// DecodeUpdate reads a record of a view's updates. What it refuses becomes a dead letter online, and counts nowhere.
func (v *View) DecodeUpdate(record *pipeline.Record) (*Update, *pipeline.Fault) {
	switch {
	case len(record.Key) == 0:
		return nil, pipeline.Faultf(pipeline.ClassNoKey, pipeline.StageDecode, "an update of view %s without a key", v.name)
	case record.Key[0] == 0 || len(record.Key) > maxText:
		return nil, pipeline.Faultf(pipeline.ClassInvalid, pipeline.StageDecode, "no key of view %s is like that of this update", v.name)
	}
	update, err := v.ParseUpdate(record.Value)
	if err != nil {
		return nil, pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode, "no update of view %s: %v", v.name, err)
	}
	return update, nil
}
