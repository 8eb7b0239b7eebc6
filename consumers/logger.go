package consumers

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
)

// clientLogger passes the client's own log on. What the client calls information is detail to an operator.
type clientLogger struct{ *slog.Logger }

func (l clientLogger) level(level kgo.LogLevel) slog.Level {
	switch level {
	case kgo.LogLevelError:
		return slog.LevelWarn
	case kgo.LogLevelWarn:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// Level that the client shall log at. It is asked at every line, so it must be cheap.
func (l clientLogger) Level() kgo.LogLevel {
	switch ctx := context.Background(); {
	case l.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelInfo
	case l.Enabled(ctx, slog.LevelInfo):
		return kgo.LogLevelWarn
	default:
		return kgo.LogLevelError
	}
}

// Log one line of the client.
func (l clientLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	l.Logger.Log(context.Background(), l.level(level), "kafka client: "+msg, keyvals...)
}
