package serving

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Rankings answers requests as the stream would: the same body, and the same answer. Implementations are safe for concurrent use.
type Rankings interface {
	// Rank answers a request of a pipeline; "" is the only one that ranks. The error wraps ErrUnknownPipeline where there is no such pipeline, ErrRequest
	// where the request is at fault, and ErrBusy where Rank, which it asks for its turn, had none.
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
// with the result as it would be in the topic of results; 400 says what is wrong with a request, 404 that there is no such pipeline, 408 that the body did not
// come in time, 413 that it is too large, 415 that it is encoded, 429 that too much is in hand, and 503 that the model or the store of features does not answer.
func RankHandler(r Rankings) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if encoding := strings.Join(request.Header.Values("Content-Encoding"), ","); encoding != "" && !strings.EqualFold(encoding, "identity") {
			w.Header().Set("Accept-Encoding", "identity")
			answer(w, http.StatusUnsupportedMediaType, problem("the body has a Content-Encoding: want plain JSON, without one"))
			return
		}
		t := ticketOf(request.Context())
		body, err := t.read(request, r.Largest())
		if err != nil {
			unread(w, err, r.Largest())
			return
		}
		ctx, cancel := context.WithTimeout(request.Context(), rankTimeout)
		defer cancel()
		result, err := rank(ctx, t, r, request.URL.Query().Get("pipeline"), body)
		switch {
		case errors.Is(err, ErrBusy):
			refuse(w, err)
		case errors.Is(err, ErrUnknownPipeline):
			answer(w, http.StatusNotFound, problem(err.Error()))
		case errors.Is(err, ErrRequest):
			answer(w, http.StatusBadRequest, problem(err.Error()))
		case err != nil:
			answer(w, http.StatusServiceUnavailable, problem(err.Error()))
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(append(result, '\n')) // who went away needs no answer
		}
	})
}

// rank a request in its turn.
func rank(ctx context.Context, t *ticket, r Rankings, pipeline string, body []byte) ([]byte, error) {
	if err := t.work(ctx, len(body)); err != nil {
		return nil, err
	}
	defer t.done()
	return r.Rank(ctx, pipeline, body)
}

// unread says why a body could not be read.
func unread(w http.ResponseWriter, err error, limit int) {
	var late net.Error
	switch {
	case errors.Is(err, ErrBusy):
		_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // the rest is not waited for
		refuse(w, err)
	case errors.Is(err, errLarge):
		answer(w, http.StatusRequestEntityTooLarge, problem(fmt.Sprintf("%v: want at most %d bytes (input.max_value_bytes)", err, limit)))
	case errors.As(err, &late) && late.Timeout():
		answer(w, http.StatusRequestTimeout, problem("the body did not come in time (serving.read_timeout)"))
	default:
		answer(w, http.StatusBadRequest, problem("the body does not come to its end"))
	}
}
