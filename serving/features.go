package serving

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"nearline/pipeline"
)

// Features answers what is known of keys. Implementations are safe for concurrent use.
type Features interface {
	// Views that there are, in the order of the configuration.
	Views() []View
	// Feature values of a key as of now; an error wraps ErrUnknownView or ErrUnknownKey where there is nothing to answer, and
	// ErrBadKey where what there is cannot be read.
	Lookup(ctx context.Context, view, key string) (Values, error)
}

// What Lookup's errors wrap.
var (
	ErrUnknownView = errors.New("no such view")
	ErrUnknownKey  = errors.New("nothing is known of the key")
	ErrBadKey      = errors.New("what is stored of the key cannot be read")
)

// View describes one view.
type View struct {
	Name string `json:"name"`
	// Key is the path that the key has in events.
	Key    string   `json:"key"`
	Fields []string `json:"fields"`
	// Keys that are known; null where the store cannot say.
	Keys *int `json:"keys"`
}

// Values of one key.
type Values struct {
	View, Key string
	Fields    []pipeline.Field
	// At is the time of the latest event.
	At time.Time
}

// lookupTimeout is how long a store may take for one key before the request is told so.
const lookupTimeout = 5 * time.Second

// FeaturesHandler answers
//
//	GET /v1/features            a list of the views
//	GET /v1/features/VIEW/KEY   values of a key, the time of its latest event, and its age in seconds
//
// and for what is not there 404 with an error; for a key whose entry in the store cannot be read, 500 with why; where too much is in hand, 429.
func FeaturesHandler(f Features) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/features", func(w http.ResponseWriter, _ *http.Request) {
		views := f.Views()
		if views == nil {
			views = []View{}
		}
		answer(w, http.StatusOK, views)
	})
	mux.HandleFunc("GET /v1/features/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, problem("want /v1/features/VIEW/KEY"))
	})
	mux.HandleFunc("GET /v1/features/{view}/{key...}", func(w http.ResponseWriter, r *http.Request) {
		if err := ticketOf(r.Context()).take(firstRead); err != nil {
			refuse(w, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), lookupTimeout)
		defer cancel()
		found, err := f.Lookup(ctx, r.PathValue("view"), r.PathValue("key"))
		switch {
		case errors.Is(err, ErrUnknownView), errors.Is(err, ErrUnknownKey):
			answer(w, http.StatusNotFound, problem(err.Error()))
		case errors.Is(err, ErrBadKey): // asking again does not help
			answer(w, http.StatusInternalServerError, problem(err.Error()))
		case err != nil:
			answer(w, http.StatusServiceUnavailable, problem(err.Error()))
		default:
			values := make(map[string]any, len(found.Fields))
			for _, f := range found.Fields {
				values[f.Name] = f.Value.Any()
			}
			answer(w, http.StatusOK, map[string]any{
				"view": found.View, "key": found.Key, "values": values,
				"at": found.At.UTC(), "age_seconds": max(time.Since(found.At).Seconds(), 0),
			})
		}
	})
	return mux
}

// problem is the one form of errors.
func problem(text string) any {
	if len(text) > maxProblem {
		text = strings.ToValidUTF8(text[:maxProblem], "") + "…"
	}
	return map[string]string{"error": text}
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"the answer has no form in JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
