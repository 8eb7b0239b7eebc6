package certs

import (
	"net"
	"strings"

	"nearline/internal/problems"
)

// Config of TLS, the same in every section that has some. All files are PEM. They are read again for each connection, so what takes their place needs
// no restart: a certificate counts once its key is there, too.
type Config struct {
	// CA is a file of the authorities that vouch for the other side; empty are the system's. During a rotation it has the old and the new ones.
	CA string `yaml:"ca"`
	// Cert is a file of the own certificate, with those between it and its authority, and Key one of its key, without a passphrase.
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// ServerName is what a server's certificate has to be for; empty is the host that is connected to.
	ServerName string `yaml:"server_name"`
}

// Validate names every problem, each with its key below path, its value and the remedy. The files are read.
func (c Config) Validate(path string) error {
	var p problems.List
	f := New(path, c)
	if c.CA != "" {
		if _, err := f.ca.Read(); err != nil {
			p.Add(path+".ca", "is %q: %v", c.CA, err)
		}
	}
	switch {
	case c.Cert == "" && c.Key != "":
		p.Add(path+".cert", "is missing and %s.key is %q: want both, or neither", path, c.Key)
	case c.Cert != "" && c.Key == "":
		p.Add(path+".key", "is missing and %s.cert is %q: want both, or neither", path, c.Cert)
	case c.Cert != "":
		if _, err := f.pair.Read(); err != nil {
			at, file := ".cert", c.Cert
			if isOfKey(err) {
				at, file = ".key", c.Key
			}
			p.Add(path+at, "is %q: %v", file, err)
		}
	}
	if name := c.ServerName; strings.ContainsAny(name, "/: \t\n") && net.ParseIP(name) == nil {
		p.Add(path+".server_name", "is %q: want the name in the server's certificate, without a port, such as kafka.example", name)
	}
	return p.Err()
}

// Paths of the files, for whoever knows which folder they are relative to.
func (c *Config) Paths() []*string { return []*string{&c.CA, &c.Cert, &c.Key} }
