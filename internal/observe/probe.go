package observe

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxReport bounds what is read of an answer: a service with a hundred pipelines says less.
const maxReport = 1 << 20

// Probe asks a page of a running service, such as http://127.0.0.1:8080/readyz, as a prober without an HTTP client of its own
// would. The error says what is missing, or that nobody answers. Secured is how https is spoken; nil trusts the system's authorities.
func Probe(ctx context.Context, url string, secured *tls.Config) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	// Not the default client: it would go through a proxy that the environment names.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: secured}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReport))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer of %s: %w", url, err)
	case response.StatusCode == http.StatusOK:
		return nil
	}
	var report Report
	if json.Unmarshal(body, &report) != nil || len(report.Missing) == 0 {
		return fmt.Errorf("%s answers %s: want a page of Nearline's, such as /healthz", url, response.Status)
	}
	return errors.New(strings.Join(report.Missing, "; "))
}
