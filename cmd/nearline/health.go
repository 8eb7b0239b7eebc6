package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
	url := c.Flags().String("url", "", "`URL` of the service, without the page (default: http://127.0.0.1:8080)")
	file := c.Flags().String("config", "", "take the address from serving.http of the configuration in `FILE`")
	patience := c.Flags().Duration("timeout", 5*time.Second, "how long the answer may take")
	c.MarkFlagsMutuallyExclusive("url", "config")
	c.RunE = func(c *cobra.Command, args []string) error {
		page := "healthz"
		if len(args) > 0 {
			page = strings.TrimPrefix(args[0], "/")
		}
		if strings.HasSuffix(page, ".yaml") || strings.HasSuffix(page, ".yml") {
			return fmt.Errorf("there is no page %q: did you mean nearline health --config %s?", args[0], args[0])
		}
		base, err := serviceURL(*url, *file)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), *patience)
		defer cancel()
		if err := observe.Probe(ctx, base+"/"+page); err != nil {
			if !slices.Contains(pages, page) {
				err = fmt.Errorf("%w: the pages are %s", err, strings.Join(pages, ", "))
			}
			return fmt.Errorf("%s: %w", page, err)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: ok\n", page)
		return nil
	}
	return c
}

// pages that say whether a service is well.
var pages = []string{"healthz", "readyz", "streamz"}

// serviceURL is where the service that is asked listens, without a slash at the end.
func serviceURL(url, file string) (string, error) {
	if url != "" && !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
		return "", fmt.Errorf("--url is %q: want one with its scheme, such as http://127.0.0.1:8080", url)
	}
	if url != "" {
		return strings.TrimRight(url, "/"), nil
	}
	server := serving.DefaultConfig()
	if file != "" {
		loaded, _, err := config.Load(file)
		if err != nil {
			return "", errors.Join(fmt.Errorf("%s says no address, since it is wrong: name it with --url", file), err)
		}
		server = loaded.Serving
	}
	return server.URL()
}
