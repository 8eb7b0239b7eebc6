// Package secret has the texts of a configuration that nobody may read in a log, such as passwords and tokens, and files that are replaced while
// the process lives. A file is read at each use. While it cannot be used, its last good content is kept, and that is said once. How references to
// files and variables are written is the configuration's to know; certificates are read in certs.
package secret
