// Package serving is the online API: what the stream knows and the loaded models answer, over HTTP. A folder a protocol; what is plain JSON of
// our own is here.
//
// It owns the listener, its limits and the admission of requests, and requests and answers. What it asks it reaches through interfaces of its own.
package serving
