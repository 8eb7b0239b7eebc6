package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nearline/internal/certs"
	"nearline/internal/config"
	"nearline/internal/observe"
	"nearline/serving"
)

func healthCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "health [PAGE]",
		Short: "Ask a running service whether it is well: for probes where there is no shell and no curl",
		Long: `Asks the running service a page, and exits with 0 when all is well. Otherwise it prints what is missing and exits with 1.

PAGE is healthz (must the process be restarted? the default), readyz (can it answer requests?) or streamz (do records flow?).`,
		Example: `  nearline health
  nearline health streamz --config /etc/nearline/nearline.yaml`,
		Args: cobra.MaximumNArgs(1),
	}
	address := c.Flags().String("url", "", "`URL` of the service, without the page (default: http://127.0.0.1:8080)")
	ca := c.Flags().String("ca", "", "`FILE` of the authorities that may have issued the certificate of --url (default: the system's)")
	file := c.Flags().String("config", "", "take the address from serving.http of the configuration in `FILE`, and the certificate from serving.tls")
	patience := c.Flags().Duration("timeout", 5*time.Second, "how long the answer may take")
	c.MarkFlagsMutuallyExclusive("url", "config")
	c.MarkFlagsMutuallyExclusive("ca", "config")
	c.RunE = func(c *cobra.Command, args []string) error {
		page := "healthz"
		if len(args) > 0 {
			page = strings.TrimPrefix(args[0], "/")
		}
		if strings.HasSuffix(page, ".yaml") || strings.HasSuffix(page, ".yml") {
			return fmt.Errorf("there is no page %q: did you mean nearline health --config %s?", args[0], args[0])
		}
		var unread error
		base, secured, err := serviceURL(*address, *ca, *file, func(err error) { unread = err })
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), *patience)
		defer cancel()
		if err := observe.Probe(ctx, base+"/"+page, secured); err != nil {
			err = untrusted(err, *ca)
			if !slices.Contains(pages, page) {
				err = fmt.Errorf("%w: the pages are %s", err, strings.Join(pages, ", "))
			}
			return fmt.Errorf("%s: %w", page, err)
		}
		if unread != nil { // no reason to end a service that is well, and one to tell whoever looks
			fmt.Fprintf(c.ErrOrStderr(), "nearline: %v; the service uses its last good pair, and the certificate that it shows was not looked at\n", unread)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: ok\n", page)
		return nil
	}
	return c
}

// untrusted says what to do about an authority that --ca does not have, or the system where that is not given.
func untrusted(err error, ca string) error {
	unknown, ok := errors.AsType[x509.UnknownAuthorityError](err)
	if !ok {
		return err
	}
	authority := "its authority"
	if unknown.Cert != nil {
		authority = unknown.Cert.Issuer.String()
	}
	if ca == "" {
		return fmt.Errorf("%w: want --ca FILE, with %s in it", err, authority)
	}
	return fmt.Errorf("%w: want %s in the file of --ca, %s", err, authority, ca)
}

// pages that say whether a service is well.
var pages = []string{"healthz", "readyz", "streamz"}

// serviceURL is where the service that is asked listens, without a slash at the end, and how TLS is spoken with it if it is. Unread is as of
// serving.Config.Client.
func serviceURL(service, ca, file string, unread func(error)) (string, *tls.Config, error) {
	if service != "" && !strings.HasPrefix(service, "http://") && !strings.HasPrefix(service, "https://") {
		return "", nil, fmt.Errorf("--url is %q: want one with its scheme, such as http://127.0.0.1:8080", service)
	}
	if ca != "" {
		return trusting(service, ca)
	}
	if service != "" {
		return strings.TrimRight(service, "/"), nil, nil
	}
	server := serving.DefaultConfig()
	if file != "" {
		loaded, err := config.LoadServing(file)
		if err != nil {
			return "", nil, errors.Join(fmt.Errorf("%s says no address, since it is wrong: name it with --url", file), err)
		}
		server = loaded
	}
	base, err := server.URL()
	if err != nil {
		return "", nil, err
	}
	return base, server.Client(unread), nil
}

// trusting is a service whose certificate authorities in a file have issued.
func trusting(service, ca string) (string, *tls.Config, error) {
	at, err := url.Parse(service)
	if err != nil || at.Scheme != "https" {
		return "", nil, fmt.Errorf("--ca is %q and --url %q: want a --url that begins with https://, since authorities are asked for nothing else", ca, service)
	}
	secured, err := certs.New("--ca", certs.Config{CA: ca}).Client(at.Hostname())
	if err != nil {
		return "", nil, fmt.Errorf("--ca is %q: %w", ca, err)
	}
	return strings.TrimRight(service, "/"), secured, nil
}
