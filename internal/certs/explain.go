package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Explain says in words what a connection to the server at address failed of, and which key helps; "" where it is not about TLS.
func (f *Files) Explain(address string, err error) string {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Sprintf("%s answers, but does not speak TLS there: want its port for TLS, or no %s", address, f.key)
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return f.unknown(address, unknown.Cert)
	}
	if hostname, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the certificate of %s is for %s and not for %s: want an address that is in it, or its name in %s.server_name",
			address, namesIn(hostname.Certificate), hostname.Host, f.key)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			if wrong := judge(invalid.Cert, time.Now()); wrong != nil {
				return fmt.Sprintf("%s cannot be trusted: %v", address, wrong)
			}
		}
		return fmt.Sprintf("the certificate of %s cannot be trusted: %s", address, strings.TrimPrefix(invalid.Error(), "x509: "))
	}
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" {
		return f.remote(address, strings.TrimPrefix(remote.Err.Error(), "tls: "))
	}
	return ""
}

func (f *Files) unknown(address string, c *x509.Certificate) string {
	by := "an authority"
	if c != nil {
		by = c.Issuer.String()
	}
	if f.ca == nil {
		return fmt.Sprintf("the certificate of %s was issued by %s, which this system does not know: want the file of that authority in %s.ca", address, by, f.key)
	}
	return fmt.Sprintf("the certificate of %s was issued by %s, which is not among the authorities of %s.ca: add that authority to the file", address, by, f.key)
}

// remote is what the other side has said.
func (f *Files) remote(address, alert string) string {
	own := "no certificate was shown"
	if c := f.Leaf(); c != nil {
		own = "the certificate of " + nameOf(c) + " was shown"
	}
	switch alert {
	case "certificate required":
		return fmt.Sprintf("%s asks for a certificate, and %s: want one in %s.cert and %s.key", address, own, f.key, f.key)
	case "bad certificate", "unsupported certificate", "unknown certificate", "unknown certificate authority", "revoked certificate", "expired certificate", "access denied":
		return fmt.Sprintf("%s refuses the certificate (%s; %s): want one in %s.cert and %s.key that it trusts", address, alert, own, f.key, f.key)
	case "handshake failure":
		if f.Leaf() == nil { // with TLS 1.2 some servers say no more where a certificate is missing
			return fmt.Sprintf("%s ended the handshake (%s), and %s: want one in %s.cert and %s.key if it asks for one, or TLS 1.2 or later there", address, alert, own, f.key, f.key)
		}
		fallthrough
	case "protocol version not supported", "insufficient security level":
		return fmt.Sprintf("%s and this program have no way of TLS in common (%s): want TLS 1.2 or later there", address, alert)
	case "unrecognized name":
		return fmt.Sprintf("%s does not know the name that it was called by: want another in %s.server_name", address, f.key)
	}
	return fmt.Sprintf("%s ended the connection: TLS alert %s", address, alert)
}

// namesIn a certificate that say whose it is.
func namesIn(c *x509.Certificate) string {
	names := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name at all (" + nameOf(c) + ")"
	}
	if most := 10; len(names) > most {
		names = append(names[:most], "others")
	}
	return strings.Join(names, ", ")
}
