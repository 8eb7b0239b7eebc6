// Package observe is how the service is seen from outside: its log, its metrics, its health, and the handlers that answer with these. The server
// that they are mounted on is serving's. It knows nothing of Kafka or of models: whoever has something to report registers a check or a collector.
package observe
