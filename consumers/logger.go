package consumers

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

// clientLogger passes the client's own log on. What the client calls a warning is detail to an operator: above all every
// connection that it fails to open, many times a second as long as a broker is away.
type clientLogger struct{ *slog.Logger }

func (l clientLogger) level(level kgo.LogLevel) slog.Level {
	if level == kgo.LogLevelError {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Level that the client shall log at. It is asked at every line, so it must be cheap.
func (l clientLogger) Level() kgo.LogLevel {
	if l.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelError
}

// Log one line of the client. What is about credentials was told by the connection, once and with what to do: see kafka.Connection.Log.
func (l clientLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	at := l.level(level)
	for _, value := range keyvals {
		if err, ok := value.(error); ok && (kafka.Refused(err) || kafka.Passing(err)) {
			at = slog.LevelDebug
		}
	}
	l.Logger.Log(context.Background(), at, "kafka client: "+msg, keyvals...)
}
