// Package deploy has the tests of what is shipped to run: the service's own image, locked up as it should be run, and the Compose
// file with its Prometheus, alerts and dashboard.
package deploy
