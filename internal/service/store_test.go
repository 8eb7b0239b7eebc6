package service

import (
	"testing"

	"nearline/features/redis"
	"nearline/internal/config"
)

func TestOpenStoreOpensTheOneThatIsNamed(t *testing.T) {
	if s, err := OpenStore(t.Context(), config.Store{}); s != nil || err != nil {
		t.Errorf("got %v and %v, want none", s, err)
	}
	c := redis.DefaultConfig()
	c.Addresses = []string{nobody}
	s, err := OpenStore(t.Context(), config.Store{Redis: &c})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, ok := s.(*redis.Store); !ok {
		t.Errorf("got %T", s)
	}
}
