package cluster

import (
	"context"
	"fmt"

	"github.com/moby/moby/client"
)

// EitherImage is the official image where it is here or can be pulled, and otherwise the one that stands in for it and that
// `make e2e-images` builds.
func EitherImage(ctx context.Context, official, standIn string) (string, error) {
	engine, err := dial(ctx)
	if err != nil {
		return "", err
	}
	defer engine.Close()
	return either(ctx, engine, official, standIn)
}

func either(ctx context.Context, engine *client.Client, official, standIn string) (string, error) {
	if present(ctx, engine, official) {
		return official, nil
	}
	err := pull(ctx, engine, official)
	if err == nil {
		return official, nil
	}
	if present(ctx, engine, standIn) {
		return standIn, nil
	}
	return "", fmt.Errorf("%s cannot be pulled, and %s, which stands in for it, is not built: run `make e2e-images` (%w)", official, standIn, err)
}
