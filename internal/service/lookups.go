package service

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"nearline/serving"
)

// lookups answer for the online API.
type lookups struct{ service *Service }

var _ serving.Features = lookups{}

// Views that are declared.
func (l lookups) Views() (views []serving.View) {
	for _, v := range l.service.views {
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
	v := l.service.view(name)
	if v == nil {
		var known []string
		for _, v := range l.service.views {
			known = append(known, v.Name())
		}
		return serving.Values{}, fmt.Errorf("%w as %q: there is %s", serving.ErrUnknownView, name, cmp.Or(strings.Join(known, ", "), "none"))
	}
	found, err := v.store.Get(ctx, v.View, []string{key})
	if err != nil {
		return serving.Values{}, fmt.Errorf("look up %s %q: %w", name, key, err)
	}
	if found[0] == nil {
		return serving.Values{}, fmt.Errorf("%w %q of view %s", serving.ErrUnknownKey, key, name)
	}
	return serving.Values{View: name, Key: key, Fields: found[0].Now(v.View, time.Now()), At: time.UnixMilli(found[0].At)}, nil
}
