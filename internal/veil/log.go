package veil

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
)

// Logger that hides values in messages and attributes, and logs to the same place.
func (v *Veil) Logger(logger *slog.Logger) *slog.Logger {
	if v == nil || logger == nil {
		return logger
	}
	return slog.New(&handler{v, logger.Handler()})
}

type handler struct {
	veil *Veil
	to   slog.Handler
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.to.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	shown := slog.NewRecord(r.Time, r.Level, h.veil.Text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		shown.AddAttrs(h.attr(a))
		return true
	})
	return h.to.Handle(ctx, shown)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	shown := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		shown[i] = h.attr(a)
	}
	return &handler{h.veil, h.to.WithAttrs(shown)}
}

func (h *handler) WithGroup(name string) slog.Handler { return &handler{h.veil, h.to.WithGroup(name)} }

func (h *handler) attr(a slog.Attr) slog.Attr {
	value := a.Value.Resolve()
	switch value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, h.veil.Text(value.String()))
	case slog.KindGroup:
		var members []any
		for _, member := range value.Group() {
			members = append(members, h.attr(member))
		}
		return slog.Group(a.Key, members...)
	case slog.KindAny:
		return h.any(a.Key, value.Any())
	}
	return slog.Attr{Key: a.Key, Value: value}
}

// any value stays as it is where nothing has to be hidden.
func (h *handler) any(key string, value any) slog.Attr {
	var text string
	switch of := value.(type) {
	case error:
		text = of.Error()
	case fmt.Stringer:
		text = of.String()
	default:
		text = fmt.Sprint(value)
		if document, err := json.Marshal(value); err == nil && !bytes.Equal(h.veil.JSON(document), document) {
			return slog.String(key, h.veil.Text(text))
		}
	}
	if shown := h.veil.Text(text); shown != text {
		return slog.String(key, shown)
	}
	return slog.Any(key, value)
}
