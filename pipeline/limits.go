package pipeline

import (
	"regexp"
	"strconv"
	"time"
)

// Bounds that several rooms keep, each stated here alone.
const (
	// MaxTopicName is Kafka's own limit of a topic's name, in characters.
	MaxTopicName = 249
	// DefaultRecordBytes is the broker's message.max.bytes where nobody changed it.
	DefaultRecordBytes = 1_048_588
	// MaxRecordBytes bounds one record, uncompressed: brokers and clients take requests of up to 100 MiB unless they are told otherwise.
	MaxRecordBytes = 64 << 20
	// Longest time that a key of the configuration may say, a hundred years: what is to be for good says so.
	Longest = 100 * 365 * 24 * time.Hour
)

var legalTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,` + strconv.Itoa(MaxTopicName) + `}$`)

// LegalTopic says whether Kafka allows a topic of that name; groups keep to the same rule.
func LegalTopic(name string) bool { return legalTopic.MatchString(name) }

var legalName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$`)

// LegalName says what pipelines and models may be called: a name that is a folder's, a group's and a metric's label, too.
func LegalName(name string) bool { return legalName.MatchString(name) }
