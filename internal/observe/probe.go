package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// URL at which this machine reaches the server. An error says why it cannot be told.
func (c ServerConfig) URL() (string, error) {
	if c.Off() {
		return "", errors.New("serving.http is off: nobody answers probes; give it an address, such as :8080")
	}
	host, port, err := net.SplitHostPort(c.HTTP)
	if err != nil {
		return "", fmt.Errorf("serving.http is %q: want host:port", c.HTTP)
	}
	if port == "0" {
		return "", fmt.Errorf("serving.http is %q, any free port: the service's log says which, name it with --url", c.HTTP)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// maxReport bounds what is read of an answer: a service with a hundred pipelines says less.
const maxReport = 1 << 20

// Probe asks a page of a running service, such as http://127.0.0.1:8080/readyz, as a prober without an HTTP client of its own
// would. The error says what is missing, or that nobody answers.
func Probe(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	// Not the default client: it would go through a proxy that the environment names.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
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
