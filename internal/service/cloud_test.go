//go:build !nocloud

package service

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nearline/features"
	"nearline/features/bigtable"
	"nearline/features/dynamodb"
	"nearline/features/firestore"
	"nearline/internal/config"
)

// cloudless is an environment without credentials and region of a cloud.
func cloudless(t *testing.T) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
	} {
		t.Setenv(name, value)
	}
}

// clouds are stores at addresses where nobody is.
func clouds() map[string]config.Store {
	d, b, f := dynamodb.DefaultConfig(), bigtable.DefaultConfig(), firestore.DefaultConfig()
	d.Region, d.Endpoint = "eu-west-1", "http://"+nobody
	b.Project, b.Instance, b.Emulator = "shop-prod", "features", nobody
	f.Project, f.Emulator = "shop-prod", nobody
	return map[string]config.Store{"dynamodb": {DynamoDB: &d}, "bigtable": {Bigtable: &b}, "firestore": {Firestore: &f}}
}

func TestAServiceHasTheCloudsStoreThatIsNamed(t *testing.T) {
	cloudless(t)
	for name, store := range clouds() {
		t.Run(name, func(t *testing.T) {
			c := configured(t, []string{nobody}, "reviews")
			c.Features.Store = store
			c.Features.Views = []features.ViewConfig{{Name: "item", Key: "item_id", Fields: []features.FieldConfig{{Name: "reviews", Count: &features.CountConfig{}}}}}
			ctx, cancel := context.WithCancel(t.Context())
			s, err := Open(ctx, c, quiet(t))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			cancel() // as intake ends; the cycles in hand go on
			if got := fmt.Sprintf("%T", s.views.named("item").store); got != "*"+name+".Store" {
				t.Errorf("the view is in a %s", got)
			}
			asking, done := context.WithTimeout(t.Context(), 10*time.Second)
			defer done()
			if _, err := s.views.named("item").finder.Find(asking, "kettle"); err == nil || asking.Err() != nil || strings.Contains(err.Error(), context.Canceled.Error()) {
				t.Errorf("got %v, want that nobody answers", err)
			}
		})
	}
}

func TestAStoreThatCannotBeOpenedEndsOpen(t *testing.T) {
	cloudless(t)
	store := clouds()["dynamodb"]
	store.DynamoDB.Region = ""
	c := configured(t, []string{nobody}, "reviews")
	c.Features.Store = store
	if s, err := Open(t.Context(), c, quiet(t)); s != nil || err == nil || !strings.Contains(err.Error(), "features.store.dynamodb.region is empty") {
		t.Errorf("got %v and %v, want which key is empty", s, err)
	}
}
