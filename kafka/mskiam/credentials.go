//go:build !nocloud

package mskiam

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Built says that this binary has the SDK.
const Built = true

// Credentials of the SDK's chain, kept until shortly before they expire. Safe for concurrent use.
type Credentials struct {
	mu    sync.Mutex // guards chain
	chain aws.CredentialsProvider
}

// New has asked nobody yet.
func New() *Credentials { return &Credentials{} }

// Retrieve the credentials of now.
func (c *Credentials) Retrieve(ctx context.Context) (access, key, session string, err error) {
	chain, err := c.open(ctx)
	if err != nil {
		return "", "", "", err
	}
	found, err := chain.Retrieve(ctx)
	return found.AccessKeyID, found.SecretAccessKey, found.SessionToken, err
}

// Forget what is kept: it was not accepted. The chain is made anew, since variables and files may have changed.
func (c *Credentials) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.chain = nil
}

func (c *Credentials) open(ctx context.Context) (aws.CredentialsProvider, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chain == nil {
		loaded, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, err
		}
		c.chain = loaded.Credentials
	}
	return c.chain, nil
}
