//go:build nocloud

package service

import (
	"strings"
	"testing"

	"nearline/features/bigtable"
	"nearline/features/dynamodb"
	"nearline/features/firestore"
	"nearline/internal/config"
)

func TestWithoutACloudsClientItsStoreIsRefused(t *testing.T) {
	for name, store := range map[string]config.Store{
		"dynamodb": {DynamoDB: &dynamodb.Config{}}, "bigtable": {Bigtable: &bigtable.Config{}}, "firestore": {Firestore: &firestore.Config{}},
	} {
		c := configured(t, []string{nobody}, "reviews")
		c.Features.Store = store
		s, err := Open(t.Context(), c, quiet(t))
		if s != nil || err == nil || !strings.Contains(err.Error(), "features.store has "+name+": this binary was built with the tag nocloud") {
			t.Errorf("%s: got %v and %v, want what the binary lacks", name, s, err)
		}
	}
}
