// Package certstest issues certificates for tests: of any authority, for any name, of any time.
package certstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority issues certificates.
type Authority struct {
	// PEM is its own certificate.
	PEM []byte

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Pair is a certificate and its key, in PEM.
type Pair struct{ Cert, Key []byte }

// Options of a certificate.
type Options struct {
	// Hosts are names and addresses of a server; none are needed for a client.
	Hosts []string
	// From and To are when it is valid: an hour ago and in an hour where they are zero.
	From, To time.Time
}

// New authority, which is valid for a day.
func New(name string) *Authority {
	now := time.Now()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := &Authority{key: newKey()}
	a.certificate = sign(template, template, a.key, a.key)
	a.PEM = encode("CERTIFICATE", a.certificate.Raw)
	return a
}

// Issue a certificate to a name.
func (a *Authority) Issue(name string, o Options) Pair {
	now := time.Now()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: o.From, NotAfter: o.To, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if o.From.IsZero() {
		template.NotBefore = now.Add(-time.Hour)
	}
	if o.To.IsZero() {
		template.NotAfter = now.Add(time.Hour)
	}
	for _, host := range o.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key := newKey()
	certificate := sign(template, a.certificate, key, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	return Pair{encode("CERTIFICATE", certificate.Raw), encode("PRIVATE KEY", der)}
}

// Write the pair as NAME.crt and NAME.key, and return their paths.
func (p Pair) Write(folder, name string) (cert, key string) {
	return Write(folder, name+".crt", p.Cert), Write(folder, name+".key", p.Key)
}

// Write a file, in the place of one that is there, and return its path.
func Write(folder, name string, data []byte) string {
	path := filepath.Join(folder, name)
	must(os.WriteFile(path, data, 0o600))
	return path
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return key
}

func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(err)
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	must(err)
	certificate, err := x509.ParseCertificate(der)
	must(err)
	return certificate
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// must hold for what depends on nothing but this file and a folder of the test's.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
