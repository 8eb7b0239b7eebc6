package kafka

const (
	// DefaultMaxRecordBytes is a broker's message.max.bytes where nobody changed it.
	DefaultMaxRecordBytes = 1_048_588
	// MaxRecordBytes bounds one record, uncompressed: brokers and clients alike take requests of up to 100 MiB unless they are told otherwise.
	MaxRecordBytes = 64 << 20
)
