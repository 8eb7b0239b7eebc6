// Package dev is what `nearline dev`, `send` and `tail` are made of: a broker inside the process, a sample stream of
// reviews, a view of what comes out, and two small Kafka tools for people without another client at hand.
//
// Everything here speaks the real Kafka protocol to the service, as any client would; nothing here is in the path of a
// record that somebody else produced. Flags and the order of start and stop are cmd's.
package dev
