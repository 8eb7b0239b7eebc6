// Package examples has the configurations that are also run as they stand.
package examples

import _ "embed"

// Shop is shop.yaml, which the embedded mode runs.
//
//go:embed shop.yaml
var Shop []byte
