// Package certs has certificates, their keys and authorities as a configuration names them: files in PEM that are replaced while the process lives.
// They are read at each connection, on the side of clients and of servers alike. Whom to connect to, and what a peer may do, is for others to say.
package certs
