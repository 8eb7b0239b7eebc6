package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nearline/features"
	"nearline/internal/veil"
	"nearline/serving"
)

// lookups answer for the online API.
type lookups struct {
	all  views
	veil *veil.Veil
}

var _ serving.Features = lookups{}

// Views that are declared.
func (l lookups) Views() (views []serving.View) {
	for _, v := range l.all {
		described := serving.View{Name: v.Name(), Key: v.Key(), Fields: v.Fields()}
		if counting, ok := v.store.(interface{ Keys(view string) int }); ok {
			keys := counting.Keys(v.Name())
			described.Keys = &keys
		}
		views = append(views, described)
	}
	return views
}

// Lookup a key as of now.
func (l lookups) Lookup(ctx context.Context, name, key string) (serving.Values, error) {
	v := l.all.named(name)
	if v == nil {
		var known []string
		for _, v := range l.all {
			known = append(known, v.Name())
		}
		return serving.Values{}, fmt.Errorf("%w as %s: there is %s", serving.ErrUnknownView, repeated(name), cmp.Or(strings.Join(known, ", "), "none"))
	}
	found, err := v.finder.Find(ctx, key)
	err = l.veil.Error(err)
	switch {
	case err != nil && ctx.Err() != nil:
		return serving.Values{}, fmt.Errorf("look up %s %s: the store of features did not answer in time", name, repeated(key))
	case errors.Is(err, features.ErrBadEntry):
		return serving.Values{}, fmt.Errorf("%w: look up %s %s: %w", serving.ErrBadKey, name, repeated(key), err)
	case err != nil:
		v.logger.Debug("a request for features was not answered", "key", key, "error", err) // which says where the store is
		return serving.Values{}, fmt.Errorf("look up %s %s: the store of features does not answer", name, repeated(key))
	case found == nil:
		return serving.Values{}, fmt.Errorf("%w %s of view %s", serving.ErrUnknownKey, repeated(key), name)
	}
	return serving.Values{View: name, Key: key, Fields: found.Now(v.View, time.Now()), At: time.UnixMilli(found.At)}, nil
}
