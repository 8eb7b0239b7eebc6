// Package layers holds one test: imports point one way. The rules are the table in rules.go; a new package adds its
// line there, or the test says so.
package layers
