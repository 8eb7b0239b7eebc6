// Package observe is how the service is seen from outside: its log, its metrics, its health, and the HTTP server that
// shows them. It knows nothing of Kafka or of models: whoever has something to report registers a check or a collector.
package observe
