//go:build nocloud

package mskiam

import (
	"context"
	"errors"
)

// Built says that this binary has the SDK.
const Built = false

// Credentials that this binary cannot find.
type Credentials struct{}

// New has none.
func New() *Credentials { return &Credentials{} }

// Retrieve fails.
func (*Credentials) Retrieve(context.Context) (access, key, session string, err error) {
	return "", "", "", errors.New("this binary was built with the tag nocloud, without the client of AWS")
}

// Forget nothing.
func (*Credentials) Forget() {}
