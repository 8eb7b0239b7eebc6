import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Apache's own kafka-clients. What it does is in contract.md. */
public final class Client {
    private static final int BATCH = 10; // events in a transaction
    private static final Duration QUIET = Duration.ofSeconds(2);
    private static final Duration TIMEOUT = Duration.ofSeconds(150);
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Map<String, String> options = new HashMap<>();

    public static void main(String[] args) throws Exception {
        Client client = new Client();
        for (int i = 1; i < args.length; i++) {
            boolean hasValue = i + 1 < args.length && !args[i + 1].startsWith("--");
            client.options.put(args[i].substring(2), hasValue ? args[++i] : "");
        }
        switch (args[0]) {
            case "write" -> client.write();
            case "read" -> client.read();
            default -> throw new IllegalArgumentException("want write or read, not " + args[0]);
        }
    }

    private int number(String option) {
        return Integer.parseInt(options.get(option));
    }

    private void write() throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", options.get("brokers"));
        config.put("compression.type", options.getOrDefault("compression", "none"));
        config.put("linger.ms", "5");
        boolean transactional = options.containsKey("transactional");
        config.put("enable.idempotence", Boolean.toString(transactional || options.containsKey("idempotent")));
        if (transactional) {
            config.put("transactional.id", options.get("transactional"));
        }
        int count = number("count");
        int aborted = 0;
        List<Future<RecordMetadata>> acknowledgements = new ArrayList<>();
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            if (!transactional) {
                for (int n = 0; n < count; n++) {
                    acknowledgements.add(producer.send(event(options.get("prefix") + "-" + n, n)));
                }
            } else {
                int abortEvery = number("abort-every");
                producer.initTransactions();
                for (int begin = 0; begin < count; begin += BATCH) {
                    int end = Math.min(begin + BATCH, count);
                    if (begin / BATCH % abortEvery == abortEvery - 1) {
                        producer.beginTransaction();
                        for (int n = begin; n < end; n++) {
                            producer.send(event(options.get("prefix") + "-aborted-" + n, n));
                        }
                        producer.flush(); // so that the brokers have what is aborted
                        producer.abortTransaction();
                        aborted += end - begin;
                    }
                    producer.beginTransaction();
                    for (int n = begin; n < end; n++) {
                        acknowledgements.add(producer.send(event(options.get("prefix") + "-" + n, n)));
                    }
                    producer.commitTransaction();
                }
            }
            for (Future<RecordMetadata> acknowledgement : acknowledgements) {
                acknowledgement.get();
            }
        }
        print(Map.of("client", "kafka-clients " + version(), "written", count, "aborted", aborted));
    }

    private ProducerRecord<byte[], byte[]> event(String id, int n) throws Exception {
        String key = options.get("prefix") + "-key-" + n % number("keys");
        byte[] value = JSON.writeValueAsBytes(Map.of("review_id", id, "item_id", key, "text", "Number " + n + " is warm and light."));
        int badEvery = number("bad-every");
        if (n % badEvery == badEvery - 1) {
            value = Arrays.copyOf(value, value.length / 2);
        }
        var record = new ProducerRecord<>(options.get("topic"), bytes(key), value);
        record.headers().add("event", bytes(id)).add("tag", bytes("one")).add("tag", bytes("two")).add("empty", new byte[0]);
        return record;
    }

    private void read() throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", options.get("brokers"));
        config.put("isolation.level", "read_committed"); // its default is read_uncommitted
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            for (String topic : options.get("topics").split(",")) {
                consumer.partitionsFor(topic).forEach(p -> all.add(new TopicPartition(topic, p.partition())));
            }
            consumer.assign(all);
            consumer.seekToBeginning(all);
            int count = number("count");
            int have = 0;
            long until = System.nanoTime() + TIMEOUT.toNanos();
            while (System.nanoTime() < until) {
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200))) {
                    Map<String, List<String>> headers = new LinkedHashMap<>();
                    for (Header h : r.headers()) {
                        headers.computeIfAbsent(h.key(), k -> new ArrayList<>()).add(text(h.value()));
                    }
                    print(Map.of("topic", r.topic(), "partition", r.partition(), "offset", r.offset(),
                            "key", text(r.key()), "value", text(r.value()), "headers", headers));
                    if (++have == count) {
                        until = System.nanoTime() + QUIET.toNanos();
                    }
                }
            }
        }
    }

    private static String version() throws Exception {
        Properties properties = new Properties();
        try (var resource = KafkaProducer.class.getResourceAsStream("/kafka/kafka-version.properties")) {
            properties.load(resource);
        }
        return properties.getProperty("version");
    }

    private static void print(Object line) throws Exception {
        System.out.println(JSON.writeValueAsString(line));
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
