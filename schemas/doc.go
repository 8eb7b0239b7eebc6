// Package schemas knows what bytes mean: it reads an event's bytes into a pipeline.Row, and writes a row with its
// predictions as a result. A format has a decoder and an encoder; which fields of an event matter is configuration
// (InputConfig.Map, OutputConfig.Copy), so that another kind of event needs no code.
//
// It owns the mapping of fields, the joining of title and text, and the limits on what one value may hold.
// It leaves keys, headers, topics and sizes of records to producers, and what predictions mean to models.
package schemas
