package production

import (
	"strings"

	"nearline/internal/config"
	"nearline/internal/secret"
	"nearline/kafka"
)

// access are the rules of who may listen, and who may ask.
func access() []Rule {
	return []Rule{
		{
			Name:  "kafka-tls",
			Wants: "kafka.tls is set, and tokens for kafka.sasl come from an endpoint with https",
			Why:   "events, results and passwords go to the brokers in the clear, and whoever is on the way reads and changes them",
			look:  (*look).kafkaTLS,
		},
		{
			Name:  "kafka-login",
			Wants: "kafka.sasl is set, or kafka.tls with a certificate of the service's own",
			Why:   "brokers cannot tell the service from anybody else, so that no ACL keeps others from its topics and groups",
			look:  (*look).kafkaLogin,
		},
		{
			Name:  "store-tls",
			Wants: "connections to the store are encrypted: features.store.redis.tls is set, no other store is an emulator, and the endpoint of DynamoDB has https",
			Why:   "what views know, and the store's password, go to it in the clear",
			look:  (*look).storeTLS,
			idle: func(c *config.Config) string {
				if c.Features.Store == (config.Store{}) {
					return "there is no store"
				}
				return ""
			},
		},
		{
			Name:  "store-login",
			Wants: "features.store.redis.password is set",
			Why:   "whoever reaches the store reads and changes what rankings and lookups go by",
			look:  (*look).storeLogin,
			idle: func(c *config.Config) string {
				if c.Features.Store.Redis == nil {
					return "there is no store of Redis"
				}
				return ""
			},
		},
		{
			Name:  "serving-tls",
			Wants: "serving.tls is set, unless serving.http is off or listens on this machine alone",
			Why:   "requests, answers and tokens go over the network in the clear",
			look:  (*look).servingTLS,
		},
		{
			Name:  "serving-tokens",
			Wants: "serving.tokens are set, unless serving.http is off; serving.admin_tokens, too, where serving.pprof is on",
			Why:   "whoever reaches the port reads what views know, has candidates ranked, and takes the model's time",
			look:  (*look).servingTokens,
		},
		{
			Name:  "secrets",
			Wants: "every secret comes from a file or a variable, which has no default",
			Why:   "who may read the configuration has the secret, as does every copy of it, and it cannot be replaced without a restart",
			look:  (*look).secrets,
		},
	}
}

func (l *look) kafkaTLS() {
	s := l.config.Kafka.SASL
	switch {
	case l.config.Kafka.TLS != nil:
	case s != nil && (s.Mechanism == kafka.Plain || s.Mechanism == kafka.OAuthBearer):
		l.finds("set kafka.tls: {ca: FILE}, or {} for the authorities of the system, and kafka.brokers to a listener with TLS; then replace what has been shown",
			"kafka.tls is missing, and kafka.sasl.mechanism is %q, which shows every broker, and all on the way, what it logs in with", s.Mechanism)
	default:
		l.finds("set kafka.tls: {ca: FILE}, or {} for the authorities of the system, and kafka.brokers to a listener with TLS", "kafka.tls is missing")
	}
	if s != nil && s.ClientCredentials != nil && inTheClear(s.ClientCredentials.TokenURL) {
		l.finds("set kafka.sasl.client_credentials.token_url to one that begins with https://", "kafka.sasl.client_credentials.token_url is %q", s.ClientCredentials.TokenURL)
	}
}

// inTheClear says that whoever is asked at a URL is asked without encryption.
func inTheClear(url string) bool { return strings.HasPrefix(strings.ToLower(url), "http://") }

func (l *look) kafkaLogin() {
	k := l.config.Kafka
	if k.SASL == nil && (k.TLS == nil || k.TLS.Cert == "") {
		l.finds("set kafka.sasl: {mechanism: "+kafka.Scram512+", user: NAME, password: ${file:/run/secrets/kafka}}, or kafka.tls.cert and kafka.tls.key",
			"kafka.sasl is missing, and kafka.tls has no certificate")
	}
}

func (l *look) storeTLS() {
	store := l.config.Features.Store
	if store.Redis != nil && store.Redis.TLS == nil {
		l.finds("set features.store.redis.tls: {ca: FILE}, or {} for the authorities of the system", "features.store.redis.tls is missing")
	}
	if store.DynamoDB != nil && inTheClear(store.DynamoDB.Endpoint) {
		l.finds("remove it, or set one that begins with https://", "features.store.dynamodb.endpoint is %q", store.DynamoDB.Endpoint)
	}
	if store.Bigtable != nil && store.Bigtable.Emulator != "" {
		l.finds("remove it", "features.store.bigtable.emulator is %q", store.Bigtable.Emulator)
	}
	if store.Firestore != nil && store.Firestore.Emulator != "" {
		l.finds("remove it", "features.store.firestore.emulator is %q", store.Firestore.Emulator)
	}
}

func (l *look) storeLogin() {
	if r := l.config.Features.Store.Redis; r != nil && r.Password.Empty() && (r.TLS == nil || r.TLS.Cert == "") {
		l.finds("set features.store.redis.password: ${file:/run/secrets/redis}", "features.store.redis.password is missing")
	}
}

func (l *look) servingTLS() {
	s := l.config.Serving
	if !s.Off() && s.TLS == nil && !local(s.HTTP) {
		l.finds("set serving.tls: {cert: FILE, key: FILE}, or serving.http to an address of this machine behind a proxy", "serving.tls is missing, and serving.http is %q", s.HTTP)
	}
}

// local says that an address is reached from its own machine alone.
func local(address string) bool {
	return strings.HasPrefix(address, "127.") || strings.HasPrefix(address, "localhost:") || strings.HasPrefix(address, "[::1]:")
}

func (l *look) servingTokens() {
	s := l.config.Serving
	if s.Off() {
		return
	}
	if len(s.Tokens) == 0 {
		l.finds("set serving.tokens: [${file:/run/secrets/readers}]", "serving.tokens is empty")
	}
	if s.Pprof && len(s.AdminTokens) == 0 {
		l.finds("set serving.admin_tokens: [${file:/run/secrets/admins}]", "serving.pprof is true and serving.admin_tokens is empty")
	}
}

func (l *look) secrets() {
	l.config.EachSecret(func(path string, s secret.Text) {
		if s.Written() == secret.Hidden {
			l.finds("set "+path+": ${file:/run/secrets/NAME}, or ${env:NAME} without a default", "%s is written in the configuration", path)
		}
	})
}
