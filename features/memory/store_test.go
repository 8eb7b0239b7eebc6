package memory

import (
	"testing"

	"nearline/features"
	"nearline/features/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) features.Store { return New() })
}
