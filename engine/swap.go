package engine

import (
	"context"
	"time"

	"nearline/models"
)

// unloadPatience is how long a model may take to end what it has in hand once no program has it any more.
const unloadPatience = 30 * time.Second

// hold the models of these names that are loaded, for a program: they are not closed before it has let them go.
func (e *Engine) hold(names []string) map[string]*models.Model {
	e.mu.Lock()
	defer e.mu.Unlock()
	held := make(map[string]*models.Model)
	for _, name := range names {
		if m := e.loaded[name]; m != nil {
			held[name] = m
			e.users[m]++
		}
	}
	return held
}

// Unload a model: what asks for it from now on has none. It is closed once no program runs it any more.
func (e *Engine) Unload(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.loaded[name]
	if m == nil {
		return
	}
	delete(e.loaded, name)
	e.unloaded[m] = true
	e.closeUnused(m)
}

// letGo of models that were held.
func (e *Engine) letGo(held map[string]*models.Model) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range held {
		if e.users[m]--; e.users[m] == 0 {
			delete(e.users, m)
		}
		e.closeUnused(m)
	}
}

// closeUnused closes a model that is unloaded and that no program runs. It does so beside the caller, who may be a cycle. mu is held.
func (e *Engine) closeUnused(m *models.Model) {
	if !e.unloaded[m] || e.users[m] > 0 {
		return
	}
	delete(e.unloaded, m)
	e.closing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), unloadPatience)
		defer cancel()
		info := m.Info()
		if err := m.Close(ctx); err != nil {
			e.options.Logger.Warn("a model did not end in order", "model", info.Name, "version", info.Version, "error", err)
			return
		}
		e.options.Logger.Info("model unloaded", "model", info.Name, "version", info.Version)
	})
}
