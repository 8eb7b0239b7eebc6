package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"nearline/internal/files"
)

// maxBytes bounds each file: the bundle of all authorities that browsers know has a quarter of a megabyte.
const maxBytes = 4 << 20

// authorities are the certificates of a file.
type authorities struct {
	text []byte
	pool *x509.CertPool
	all  []*x509.Certificate
}

// loadAuthorities, or return the last ones where the file is as it was.
func loadAuthorities(path string, last *authorities) (*authorities, error) {
	text, err := files.ReadText(path, maxBytes)
	if err != nil {
		return nil, err
	}
	if last != nil && bytes.Equal(text, last.text) {
		return last, nil
	}
	certificates, err := certificatesIn(text)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range certificates {
		pool.AddCert(c)
	}
	return &authorities{text, pool, certificates}, nil
}

// latest moment at which one of them is still valid.
func (a *authorities) latest() (c *x509.Certificate) {
	for _, other := range a.all {
		if c == nil || other.NotAfter.After(c.NotAfter) {
			c = other
		}
	}
	return c
}

// certificatesIn a file, at least one. A block that is cut off means that the file is still being written.
func certificatesIn(text []byte) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	if isDamaged(text) {
		return nil, errors.New("a block of it is cut off or damaged: want whole certificates in PEM, each -----BEGIN at the head of a line; is it still being written?")
	}
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if len(found) == 0 {
				return nil, errors.New("there is no certificate in it: want PEM, with lines -----BEGIN CERTIFICATE-----")
			}
			return found, nil
		}
		if block.Type != "CERTIFICATE" {
			if strings.Contains(block.Type, "PRIVATE KEY") {
				return nil, errors.New("there is a private key in it: want certificates alone")
			}
			continue // some tools put parameters beside them
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in it cannot be read (%w): want PEM as the authority issued it", len(found)+1, err)
		}
		found = append(found, c)
	}
}

// isDamaged says that a text has a block that cannot be read. The library passes over such a one without a word, and takes the next.
func isDamaged(text []byte) bool {
	const begin = "-----BEGIN "
	begun := bytes.Count(text, []byte("\n"+begin))
	if bytes.HasPrefix(text, []byte(begin)) {
		begun++
	}
	read := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		read++
	}
	return read != begun
}

// pair is a certificate, those between it and its authority, and its key.
type pair struct {
	cert, key   []byte
	certificate tls.Certificate
	chain       []*x509.Certificate
}

// keyError says that it is the key's file that is wrong.
type keyError struct{ error }

func (e keyError) Unwrap() error { return e.error }

func isOfKey(err error) bool {
	_, ok := errors.AsType[keyError](err)
	return ok
}

// loadPair, or return the last one where the files are as they were. One without the other is none: whoever replaces both does so one by one. Where
// both are replaced at once, as by the swap of a link, that may happen between the two reads: the files are then read again.
func loadPair(read reading, cert, key string, last *pair) (*pair, error) {
	p, err := readPair(read, cert, key, last)
	for range 2 {
		if err == nil {
			break
		}
		again, stays := readPair(read, cert, key, last)
		if stays != nil && stays.Error() == err.Error() && bytes.Equal(p.cert, again.cert) && bytes.Equal(p.key, again.key) {
			break
		}
		p, err = again, stays
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// reading is files.ReadText.
type reading func(path string, most int64) ([]byte, error)

// readPair has what was read beside an error, too.
func readPair(read reading, cert, key string, last *pair) (*pair, error) {
	p := &pair{}
	var err error
	if p.cert, err = read(cert, maxBytes); err != nil {
		return p, err
	}
	if p.key, err = read(key, maxBytes); err != nil {
		return p, keyError{err}
	}
	if last != nil && bytes.Equal(p.cert, last.cert) && bytes.Equal(p.key, last.key) {
		return last, nil
	}
	if p.chain, err = certificatesIn(withoutKeys(p.cert)); err != nil {
		return p, err
	}
	if err := checkKey(p.key); err != nil {
		return p, keyError{err}
	}
	if p.certificate, err = tls.X509KeyPair(p.cert, p.key); err != nil {
		return p, p.unfit(cert, err)
	}
	return p, nil
}

// unfit says what is wrong with a certificate and a key that do not go together.
func (p *pair) unfit(cert string, err error) error {
	for i, c := range p.chain {
		if i == 0 {
			continue
		}
		own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		if _, err := tls.X509KeyPair(own, p.key); err == nil {
			return fmt.Errorf("the certificate of the key, that of %s, is number %d in it: want it first, and then each one's issuer", nameOf(c), i+1)
		}
	}
	return keyError{fmt.Errorf("it does not go with the certificate in %s (%s): want the key of that certificate", cert, strings.TrimPrefix(err.Error(), "tls: "))}
}

// withoutKeys is a file of a certificate without its key, which some have in it.
func withoutKeys(text []byte) []byte {
	var b bytes.Buffer
	rest := text
	for {
		block, after := pem.Decode(rest)
		if block == nil {
			b.Write(rest)
			return b.Bytes()
		}
		if !strings.Contains(block.Type, "PRIVATE KEY") {
			_ = pem.Encode(&b, block) // to memory
		}
		rest = after
	}
}

// checkKey says what is wrong with a key's file by itself, in words that the library has not.
func checkKey(text []byte) error {
	if isDamaged(text) {
		return errors.New("a block of it is cut off or damaged: want the whole key in PEM, is it still being written?")
	}
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return errors.New("there is no private key in it: want PEM, with lines -----BEGIN PRIVATE KEY-----")
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return errors.New("it is locked by a passphrase: want it without, such as by openssl pkey -in KEY -out PLAIN, in a file that only the service can read")
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return nil
		}
	}
}

// earliest is the certificate of the chain that expires first.
func (p *pair) earliest() (c *x509.Certificate) {
	for _, other := range p.chain {
		if c == nil || other.NotAfter.Before(c.NotAfter) {
			c = other
		}
	}
	return c
}

// judge says what keeps a certificate from being valid now. The time of now is not in the words: what is logged once has to say the same each time.
func judge(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("the certificate of %s expired at %s: want a new one in its place", nameOf(c), stamp(c.NotAfter))
	case now.Before(c.NotBefore):
		return fmt.Errorf("the certificate of %s is not valid before %s, by the clock here: is a clock wrong?", nameOf(c), stamp(c.NotBefore))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// nameOf a certificate, for messages.
func nameOf(c *x509.Certificate) string {
	if name := c.Subject.String(); name != "" {
		return name
	}
	return strings.Join(c.DNSNames, ", ")
}
