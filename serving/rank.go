package serving

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Rankings answers requests as the stream would: the same body, and the same answer. Implementations are safe for concurrent use.
type Rankings interface {
	// Rank answers a request of a pipeline; "" is the only one that ranks. The error wraps ErrUnknownPipeline where there is no such pipeline, and ErrRequest
	// where the request is at fault.
	Rank(ctx context.Context, pipeline string, request []byte) ([]byte, error)
	// Largest request that any pipeline reads, in bytes.
	Largest() int
}

// What Rank's errors wrap.
var (
	ErrUnknownPipeline = errors.New("no such pipeline")
	ErrRequest         = errors.New("the request cannot be answered")
)

// rankTimeout is how long an answer may take before the request is told so.
const rankTimeout = 10 * time.Second

// RankHandler answers
//
//	POST /v1/rank                  a request as it would be in the topic of the pipeline that ranks
//	POST /v1/rank?pipeline=NAME    of one of several
//
// with the result as it would be in the topic of results; 400 says what is wrong with a request, 404 that there is no such pipeline, 413 that
// it is too large, and 503 that the model or the store of features does not answer.
func RankHandler(r Rankings) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		ctx, cancel := context.WithTimeout(request.Context(), rankTimeout)
		defer cancel()
		body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, int64(r.Largest())))
		if err != nil {
			status := http.StatusBadRequest
			if _, large := errors.AsType[*http.MaxBytesError](err); large {
				status = http.StatusRequestEntityTooLarge
			}
			answer(w, status, problem{err.Error()})
			return
		}
		result, err := r.Rank(ctx, request.URL.Query().Get("pipeline"), body)
		switch {
		case errors.Is(err, ErrUnknownPipeline):
			answer(w, http.StatusNotFound, problem{err.Error()})
		case errors.Is(err, ErrRequest):
			answer(w, http.StatusBadRequest, problem{err.Error()})
		case err != nil:
			answer(w, http.StatusServiceUnavailable, problem{err.Error()})
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(append(result, '\n')) // who went away needs no answer
		}
	})
}
