#!/bin/sh
# Runs a broker as the official image does: every KAFKA_A_B_C is the property a.b.c ("__" is an underscore, "___" a dash), and
# the log directory is formatted with CLUSTER_ID the first time. "zookeeper" as argument runs a ZooKeeper instead, which
# brokers before KRaft need.
set -eu
java="java ${KAFKA_HEAP_OPTS:--Xmx512m} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.showDateTime=true
	-Dorg.slf4j.simpleLogger.showThreadName=false ${KAFKA_OPTS:-}"

if [ "${1:-}" = zookeeper ]; then
	mkdir -p /tmp/zookeeper
	exec $java -Dzookeeper.admin.enableServer=false org.apache.zookeeper.server.ZooKeeperServerMain 2181 /tmp/zookeeper
fi

properties=/tmp/server.properties
env | awk '
	/^KAFKA_(HEAP_OPTS|OPTS|JVM_|JMX_|LOG4J_|GC_LOG_|VERSION)/ || !/^KAFKA_/ { next }
	{
		at = index($0, "=")
		name = tolower(substr($0, 7, at - 7))
		gsub(/___/, "-", name)
		gsub(/__/, "\001", name)
		gsub(/_/, ".", name)
		gsub(/\001/, "_", name)
		print name "=" substr($0, at + 1)
	}' >$properties

if [ -n "${KAFKA_PROCESS_ROLES:-}" ]; then
	directory=${KAFKA_LOG_DIRS:-${KAFKA_LOG_DIR:-/tmp/kraft-combined-logs}}
	if [ ! -f "${directory%%,*}/meta.properties" ]; then
		java -Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
			kafka.tools.StorageTool format --cluster-id "${CLUSTER_ID:?names the cluster}" --config $properties
	fi
fi
exec $java kafka.Kafka $properties
