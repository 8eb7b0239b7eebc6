package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nearline/internal/files"
	"nearline/internal/harness/certstest"
)

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// selfSigned is a certificate of a key.
func selfSigned(t *testing.T, key any) []byte {
	t.Helper()
	var public any
	switch of := key.(type) {
	case *rsa.PrivateKey:
		public = &of.PublicKey
	case *ecdsa.PrivateKey:
		public = &of.PublicKey
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "joe"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der)
}

func TestPairsAreTakenInEveryFormThatToolsWrite(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalECPrivateKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	authority := certstest.New("authority").PEM
	ofRSA, ofEC := selfSigned(t, rsaKey), selfSigned(t, ecKey)
	pkcs1, ec := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), block("EC PRIVATE KEY", ecDER)
	parameters := block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7})
	crlf := func(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")) }
	mark := []byte("\xef\xbb\xbf")
	for name, c := range map[string]struct{ cert, key []byte }{
		"PKCS#1":                    {ofRSA, pkcs1},
		"PKCS#8":                    {ofRSA, block("PRIVATE KEY", pkcs8)},
		"EC":                        {ofEC, ec},
		"EC after its parameters":   {ofEC, slices.Concat(parameters, ec)},
		"lines of Windows":          {crlf(ofEC), crlf(ec)},
		"with marks of byte order":  {slices.Concat(mark, ofEC), slices.Concat(mark, ec)},
		"a chain":                   {slices.Concat(ofEC, authority), ec},
		"words before it":           {slices.Concat([]byte("subject=CN = joe\nissuer=-----\n"), ofEC), ec},
		"both in one file":          {slices.Concat(ec, ofEC), slices.Concat(ec, ofEC)},
		"no line end at the end":    {bytes.TrimSpace(ofEC), bytes.TrimSpace(ec)},
		"empty lines around all":    {slices.Concat([]byte("\n\n"), ofEC, []byte("\n\n")), slices.Concat([]byte("\n"), ec, []byte("\n"))},
		"the key behind its chain":  {slices.Concat(ofEC, authority, ec), slices.Concat(ofEC, authority, ec)},
		"parameters beside the key": {slices.Concat(parameters, ofEC), ec},
	} {
		folder := t.TempDir()
		config := Config{Cert: certstest.Write(folder, "cert", c.cert), Key: certstest.Write(folder, "key", c.key)}
		if err := config.Validate("x"); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if leaf := New("x", config).Leaf(); leaf == nil || leaf.Subject.CommonName != "joe" {
			t.Errorf("%s: got %v, want the certificate of joe", name, leaf)
		}
	}
	folder := t.TempDir()
	for name, c := range map[string]struct {
		cert, key []byte
		want      string
	}{
		"joined without a line end": {slices.Concat(bytes.TrimSpace(ofEC), authority), ec, "x.cert is "},
		"UTF-16":                    {slices.Concat([]byte("\xff\xfe"), ofEC), ec, "is UTF-16"},
		"a key of OpenSSH":          {ofEC, block("OPENSSH PRIVATE KEY", []byte("x")), "x.key is "},
		"a locked key of old":       {ofEC, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x")}), "locked by a passphrase"},
		"half a key":                {ofEC, ec[:len(ec)/2], "x.key is "},
		"a public key":              {ofEC, block("PUBLIC KEY", []byte("x")), "no private key in it"},
		"too much":                  {bytes.Repeat([]byte("x"), maxBytes+1), ec, "has more than"},
	} {
		err := Config{Cert: certstest.Write(folder, "cert", c.cert), Key: certstest.Write(folder, "key", c.key)}.Validate("x")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// Authorities that have expired stay in bundles for years.
func TestABundleMayHaveExpiredAuthorities(t *testing.T) {
	p := newPlace(t)
	expired := certstest.New("x").Issue("expired", certstest.Options{From: time.Now().Add(-2 * time.Hour), To: time.Now().Add(-time.Hour)}).Cert
	p.client.CA = certstest.Write(p.folder, "bundle", slices.Concat(expired, p.authority.PEM, expired))
	if err := p.client.Validate("x"); err != nil {
		t.Error(err)
	}
	f := New("x", p.client)
	if _, err, _ := connect(t, f, New("y", p.server).Server(0)); err != nil {
		t.Error(err)
	}
	if err := f.Judge(time.Now()); err != nil {
		t.Errorf("got %v, want that one of them is good", err)
	}
	if key, at := f.Soonest(); at.Before(time.Now()) {
		t.Errorf("%s expires at %v: want the one that is good for longest", key, at)
	}
}

// Kubernetes swaps a link, so that both files are others between the read of the one and of the other.
func TestAPairThatIsSwappedBetweenTheReadsIsReadAgain(t *testing.T) {
	authority, folder := certstest.New("authority"), t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
		authority.Issue(name, certstest.Options{}).Write(filepath.Join(folder, name), "tls")
	}
	swap := func(to string) {
		t.Helper()
		next := filepath.Join(folder, "next")
		if err := os.Symlink(to, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(folder, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	at := func(file string) string { return filepath.Join(folder, "..data", file) }
	for _, swaps := range []int{1, 2, 3} {
		swap("one")
		left := swaps
		read := func(path string, most int64) ([]byte, error) {
			data, err := files.ReadText(path, most)
			if left > 0 && strings.HasSuffix(path, ".crt") {
				swap([]string{"one", "two"}[left%2])
				left--
			}
			return data, err
		}
		p, err := loadPair(read, at("tls.crt"), at("tls.key"), nil)
		if (err == nil) != (swaps < 3) {
			t.Errorf("%d swaps: got %v, want a pair unless that goes on", swaps, err)
		}
		if err == nil && p.chain[0].Subject.CommonName == "" {
			t.Errorf("%d swaps: got no pair", swaps)
		}
	}
}

func TestACertificateOfTheFutureIsSaidTheSameEachTime(t *testing.T) {
	now := time.Now()
	c := &x509.Certificate{Subject: pkix.Name{CommonName: "joe"}, NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}
	one, two := judge(c, now), judge(c, now.Add(time.Minute))
	if one == nil || two == nil || one.Error() != two.Error() || !strings.Contains(one.Error(), "CN=joe is not valid before "+stamp(c.NotBefore)) {
		t.Errorf("got %v, and a minute later %v: want the same, since it is logged once", one, two)
	}
}
